"""THREAD against a second implementation: RFC 5256 section 3 step by step, with objects and recursion."""

import itertools
import random
from collections.abc import Generator, Sequence
from typing import NamedTuple, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postkeep.protocols.imap.sort import sort_steps
from postkeep.protocols.imap.thread import Forest, References, by_references, by_subject, render_threads

T = TypeVar("T")


class Mail(NamedTuple):
    """What threading sees of a message."""

    identifier: str
    references: Sequence[str]
    sent: int
    subject: str
    reply: bool


class Node:
    """A container of the textbook: a message or a dummy, its parent, its children."""

    def __init__(self, place: int | None) -> None:
        self.place = place
        self.parent: Node | None = None
        self.children: list[Node] = []

    def detach(self) -> None:
        if self.parent is not None:
            self.parent.children.remove(self)
            self.parent = None

    def put_below(self, parent: "Node") -> None:
        above: Node | None = parent
        while above is not None:
            if above is self:
                return
            above = above.parent
        self.detach()
        self.parent = parent
        parent.children.append(self)


class Textbook:
    """RFC 5256, REFERENCES."""

    def __init__(self, mails: Sequence[Mail]) -> None:
        self.mails = mails
        self.by_id: dict[str, Node] = {}
        self.every: list[Node] = []

    def run(self) -> str:
        for place, mail in enumerate(self.mails):
            self._step_1(place, mail)
        root = Node(None)
        for node in self.every:
            if node.parent is None:
                node.put_below(root)
        self._step_3(root, is_root=True)
        self._sort(root)
        self._step_5(root)
        self._step_6(root)
        return "".join(f"({self._render(child)})" for child in root.children)

    def _container(self, identifier: str) -> Node:
        if identifier not in self.by_id:
            self.by_id[identifier] = Node(None)
            self.every.append(self.by_id[identifier])
        return self.by_id[identifier]

    def _step_1(self, place: int, mail: Mail) -> None:
        node = self._container(mail.identifier) if mail.identifier else Node(None)
        if node.place is not None:
            node = Node(None)
        if node not in self.every:
            self.every.append(node)
        node.place = place
        chain = [self._container(reference) for reference in mail.references]
        for parent, child in itertools.pairwise(chain):
            if child.parent is None:
                child.put_below(parent)
        node.detach()
        if chain:
            node.put_below(chain[-1])

    def _step_3(self, node: Node, *, is_root: bool = False) -> None:
        for child in list(node.children):
            self._step_3(child)
            if child.place is not None:
                continue
            if not child.children:
                child.detach()
            elif not is_root or len(child.children) == 1:
                child.detach()
                for grandchild in list(child.children):
                    grandchild.put_below(node)

    def _order(self, node: Node) -> tuple[int, int]:
        if node.place is None:
            return min(self._order(child) for child in node.children)
        return self.mails[node.place].sent, node.place

    def _sort(self, node: Node) -> None:
        node.children.sort(key=self._order)

    def _speaker(self, node: Node) -> Mail:
        return self.mails[self._order(node)[1]]

    def _step_5(self, root: Node) -> None:
        table: dict[str, Node] = {}
        for node in root.children:
            subject = self._speaker(node).subject
            if not subject:
                continue
            known = table.get(subject)
            if known is None or (
                known.place is not None
                and (node.place is None or (self._speaker(known).reply and not self._speaker(node).reply))
            ):
                table[subject] = node
        for node in list(root.children):
            subject = self._speaker(node).subject
            if not subject or table[subject] is node:
                continue
            known = table[subject]
            if known.place is None and node.place is None:
                for child in list(node.children):
                    child.put_below(known)
                node.detach()
            elif known.place is None or (self._speaker(node).reply and not self._speaker(known).reply):
                node.put_below(known)
            else:
                dummy = Node(None)
                dummy.put_below(root)
                known.put_below(dummy)
                node.put_below(dummy)
                table[subject] = dummy

    def _step_6(self, node: Node) -> None:
        for child in node.children:
            self._step_6(child)
        self._sort(node)

    def _render(self, node: Node) -> str:
        below = [self._render(child) for child in node.children]
        if node.place is None:
            return "".join(f"({text})" for text in below)
        if len(below) == 1:
            return f"{node.place + 1} {below[0]}"
        return " ".join([str(node.place + 1), "".join(f"({text})" for text in below)]).rstrip()


def finish(steps: Generator[None, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            value: T = stop.value
            return value


def links_of(mails: Sequence[Mail]) -> References:
    links = References()
    for mail in mails:
        links.add(mail.identifier, mail.references)
    return links


def threads(mails: Sequence[Mail]) -> str:
    steps = by_references(
        links_of(mails),
        [mail.sent for mail in mails],
        [mail.subject for mail in mails],
        lambda place: mails[place].reply,
    )
    return rendered(finish(steps))


def rendered(forest: Forest) -> str:
    return b"".join(render_threads(forest, range(1, forest.messages + 1))).decode()


identifiers = st.sampled_from(["", *"abcdefghij"])
mails_drawn = st.lists(
    st.builds(
        Mail,
        identifiers,
        st.lists(st.sampled_from("abcdefghijklm"), max_size=4),
        st.integers(0, 6),
        st.sampled_from(["", "", "x", "y"]),
        st.booleans(),
    ),
    max_size=14,
)


@settings(max_examples=400)
@given(mails_drawn)
def test_threads_are_those_of_the_textbook(mails: list[Mail]) -> None:
    assert threads(mails) == Textbook(mails).run()


def test_a_large_mailbox_of_conversations_is_threaded_as_in_the_textbook() -> None:
    rng = random.Random(5256)
    mails: list[Mail] = []
    for number in range(600):
        known = rng.sample(mails, 1)[0] if mails and rng.random() < 0.7 else None
        chain = [*known.references, known.identifier][-rng.randint(1, 8) :] if known is not None else []
        subject = known.subject if known is not None else f"s{rng.randrange(150)}"
        identifier = f"m{number if rng.random() < 0.98 else rng.randrange(600)}"
        mails.append(Mail(identifier, chain, rng.randrange(10**6), subject, known is not None))
    rng.shuffle(mails)
    answer = threads(mails)
    assert answer == Textbook(mails).run()
    assert answer.count("(") > 100


@pytest.mark.parametrize(
    ("mails", "expected"),
    [
        ([], ""),
        ([Mail("a", [], 0, "", reply=False)], "(1)"),
        ([Mail("a", ["a"], 0, "", reply=False)], "(1)"),
        (
            [Mail("a", ["b"], 0, "", reply=False), Mail("b", ["a"], 1, "", reply=False)],
            "(2 1)",
        ),
        (  # the missing parent keeps its two children together, one alone needs no parent
            [Mail("a", ["x"], 0, "", reply=False), Mail("b", ["x"], 1, "", reply=False)],
            "((1)(2))",
        ),
        ([Mail("a", ["x"], 0, "", reply=False)], "(1)"),
        (  # a reply goes below the message that is none, whichever came first
            [Mail("a", [], 0, "s", reply=True), Mail("b", [], 1, "s", reply=False)],
            "(2 1)",
        ),
        (  # two that are no replies are siblings
            [Mail("a", [], 0, "s", reply=False), Mail("b", [], 1, "s", reply=False)],
            "((1)(2))",
        ),
        (  # the example of section 4: 3 6 with two branches
            [
                Mail("2", [], 2, "p", reply=False),
                Mail("3", [], 3, "q", reply=False),
                Mail("6", ["3"], 6, "q", reply=True),
                Mail("4", ["3", "6"], 4, "q", reply=True),
                Mail("23", ["4"], 23, "q", reply=True),
                Mail("44", ["6"], 44, "q", reply=True),
                Mail("7", ["44"], 7, "q", reply=True),
                Mail("96", ["7"], 96, "q", reply=True),
            ],
            "(1)(2 3 (4 5)(6 7 8))",
        ),
        ([Mail('"x"@y', [], 0, "", reply=False), Mail("b", ["x@y"], 1, "", reply=False)], "(1 2)"),
    ],
)
def test_the_cases_that_the_steps_name(mails: list[Mail], expected: str) -> None:
    assert threads(mails) == expected


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["", "a", "b", "c"])), max_size=12))
def test_ordered_subjects_are_gathered_below_their_first_message(drawn: list[tuple[int, str]]) -> None:
    forest = finish(by_subject([sent for sent, _ in drawn], [subject for _, subject in drawn]))
    order = sorted(range(len(drawn)), key=lambda place: (drawn[place][0], place))
    firsts = list({drawn[at][1]: at for at in reversed(order)}.values())[::-1]
    firsts.sort(key=order.index)
    expected = {first: [at for at in order if drawn[at][1] == drawn[first][1]] for first in firsts}
    assert {root: [root, *forest.children.get(root, [])] for root in forest.roots} == expected
    assert forest.roots == firsts


def test_a_chain_of_all_messages_and_a_crafted_mailbox_take_bounded_time() -> None:
    """Depth costs no recursion, and links below a long chain no walk along all of it."""
    chain = [Mail(str(number), [str(number - 1)], number, "", reply=False) for number in range(1, 50_001)]
    answer = threads(chain)
    assert answer.count("(") == 1
    assert answer.split()[-1] == "50000)"
    links = links_of(chain)
    for number in range(20_000):  # each has a child already, and wants to go below the end of the chain
        links.add(f"child{number}", [f"parent{number}"])
        links.add(f"parent{number}", ["50000"])
    assert len(links.forest().roots) == 20_001


@given(st.lists(st.integers(0, 9), max_size=60), st.booleans())
def test_places_are_sorted_as_python_sorts_them(values: list[int], reverse: bool) -> None:  # noqa: FBT001
    places = list(range(len(values)))
    assert finish(sort_steps(places, values, reverse=reverse)) == sorted(
        places, key=values.__getitem__, reverse=reverse
    )


@pytest.mark.parametrize("reverse", [False, True])
def test_many_places_are_sorted_in_steps_with_equal_ones_in_order(reverse: bool) -> None:  # noqa: FBT001
    rng = random.Random(7)
    values = [rng.randrange(1000) for _ in range(70_000)]
    steps = sort_steps(list(range(70_000)), values, reverse=reverse)
    assert finish(steps) == sorted(range(70_000), key=values.__getitem__, reverse=reverse)
