"""Which messages belong together: THREAD's two algorithms, after the steps of RFC 5256 section 3. Pure.

A message is a *place*: 0 for the first one of the search result, and so on. A *dummy* stands for a message
that others name and that is not there; its place is a number beyond all messages. Functions that take long
on a large result are generators: they yield when others may have a turn, and return their result.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from postkeep.protocols.imap.sort import sort_steps

_ANCESTORS_MAX: Final = 256
"""Links looked at to see whether a new one closes a circle. A link that would take more is not made, or a
crafted mailbox would make us walk a chain of all its messages for each of them."""
_STEP_PLACES: Final = 16_384
"""Places handled before others get a turn."""


class Forest(NamedTuple):
    """Threads. Roots and children are in the order of the answer."""

    roots: list[int]
    children: dict[int, list[int]]
    messages: int
    """How many there are; a place from here on is a dummy."""


Steps = Generator[None, None, Forest]


class References:
    """The links between messages and what they refer to (step 1). Feed the messages in order."""

    def __init__(self) -> None:
        self._nodes: dict[str, int] = {}
        self._parents: list[int] = []
        self._places: list[int] = []
        """The message of a node; -1: there is none."""
        self._is_parent = bytearray()
        self._members: list[int] = []
        """The node of each message."""

    def add(self, identifier: str, references: Sequence[str]) -> None:
        """Take a message in: its Message-ID (empty: none), and its References, or else its In-Reply-To."""
        node = self._node(identifier) if identifier else self._new()
        if self._places[node] >= 0:  # the identifier is another message's already
            node = self._new()
        self._places[node] = len(self._members)
        self._members.append(node)
        last = -1
        for reference in references:
            following = self._node(reference)
            if last >= 0 and self._parents[following] < 0:
                self._link(last, following)
            last = following
        self._parents[node] = -1
        if last >= 0:
            self._link(last, node)

    def forest(self) -> Forest:
        """Return the threads with dummies pruned (steps 2 and 3), in no particular order."""
        count = len(self._members)
        roots: list[int] = []
        children: dict[int, list[int]] = {}
        tops: dict[int, int] = {}
        for place, node in enumerate(self._members):
            anchor = self._anchor(self._parents[node])
            if anchor < 0:
                roots.append(place)
                continue
            above = self._places[anchor]
            if above < 0:
                above = count + tops.setdefault(anchor, len(tops))
            children.setdefault(above, []).append(place)
        for dummy in range(count, count + len(tops)):
            if len(children[dummy]) == 1:
                roots += children.pop(dummy)
            else:
                roots.append(dummy)
        return Forest(roots, children, count)

    def _node(self, identifier: str) -> int:
        if (
            '"' in identifier
        ):  # a quoted local part is the same as one without quotes, where both are possible
            identifier = identifier.replace("\\", "").replace('"', "")
        node = self._nodes.get(identifier)
        if node is None:
            node = self._nodes[identifier] = self._new()
        return node

    def _new(self) -> int:
        self._parents.append(-1)
        self._places.append(-1)
        self._is_parent.append(0)
        return len(self._parents) - 1

    def _link(self, parent: int, child: int) -> None:
        """Put one node below another unless that closed a circle."""
        if parent == child:
            return
        if self._is_parent[child]:
            above = parent
            for _ in range(_ANCESTORS_MAX):
                if above in {child, -1}:
                    break
                above = self._parents[above]
            if above != -1:
                return
        self._parents[child] = parent
        self._is_parent[parent] = 1

    def _anchor(self, node: int) -> int:
        """Return the nearest message from a node upwards, or the topmost dummy; shortens the way there."""
        passed = []
        while node >= 0 and self._places[node] < 0 and self._parents[node] >= 0:
            passed.append(node)
            node = self._parents[node]
        for dummy in passed:
            self._parents[dummy] = node
        return node


def by_references(
    links: References, sent: Sequence[int], subjects: Sequence[str], is_reply: Callable[[int], bool]
) -> Steps:
    """Thread by REFERENCES. By place: the moment sent, the base subject as it is compared, whether the
    subject is that of a reply or a forwarded message."""
    yield
    forest = links.forest()
    yield
    ranks = yield from _ranks(sent)
    roots = sorted(forest.roots, key=lambda root: _rank(forest, ranks, root))
    yield
    roots = yield from _gather(Forest(roots, forest.children, forest.messages), ranks, subjects, is_reply)
    for number, siblings in enumerate(forest.children.values()):
        siblings.sort(key=ranks.__getitem__)
        if number % _STEP_PLACES == _STEP_PLACES - 1:
            yield
    roots.sort(key=lambda root: _rank(forest, ranks, root))
    return Forest(roots, forest.children, forest.messages)


def by_subject(sent: Sequence[int], subjects: Sequence[str]) -> Steps:
    """Thread by ORDEREDSUBJECT: the earliest message of a subject has all others of it as children."""
    threads: dict[str, list[int]] = {}
    for number, place in enumerate((yield from sort_steps(list(range(len(sent))), sent, reverse=False))):
        threads.setdefault(subjects[place], []).append(place)
        if number % _STEP_PLACES == _STEP_PLACES - 1:
            yield
    children = {members[0]: members[1:] for members in threads.values() if len(members) > 1}
    return Forest([members[0] for members in threads.values()], children, len(sent))


def _ranks(sent: Sequence[int]) -> Generator[None, None, list[int]]:
    ranks = [0] * len(sent)
    for rank, place in enumerate((yield from sort_steps(list(range(len(sent))), sent, reverse=False))):
        ranks[place] = rank
    return ranks


def _rank(forest: Forest, ranks: Sequence[int], root: int) -> int:
    """Return what a root is sorted by: a dummy by the first of its children."""
    return ranks[root] if root < forest.messages else min(ranks[child] for child in forest.children[root])


def _gather(
    forest: Forest, ranks: Sequence[int], subjects: Sequence[str], is_reply: Callable[[int], bool]
) -> Generator[None, None, list[int]]:
    """Join threads with the same base subject (step 5); returns the roots that are left."""
    messages, children = forest.messages, forest.children
    keys = [
        subjects[root if root < messages else min(children[root], key=ranks.__getitem__)]
        for root in forest.roots
    ]
    yield
    table = _subject_table(forest, keys, is_reply)
    yield
    gone: set[int] = set()
    made: list[int] = []
    dummy = max([messages - 1, *forest.roots])
    for number, (root, subject) in enumerate(zip(forest.roots, keys, strict=True)):
        if number % _STEP_PLACES == _STEP_PLACES - 1:
            yield
        first = table.get(subject, root)
        if first == root:
            continue
        gone.add(root)
        if first >= messages:
            children[first] += children.pop(root) if root >= messages else [root]
        elif is_reply(root) and not is_reply(first):
            children.setdefault(first, []).append(root)
        else:
            dummy += 1
            children[dummy] = [first, root]
            gone.add(first)
            made.append(dummy)
            table[subject] = dummy
    return [root for root in (*forest.roots, *made) if root not in gone]


def _subject_table(forest: Forest, keys: Sequence[str], is_reply: Callable[[int], bool]) -> dict[str, int]:
    """Return the root that each base subject is gathered at: a dummy before a message, one that is no reply
    before one that is, else the first. A message without a subject has no entry."""
    table: dict[str, int] = {}
    for root, subject in zip(forest.roots, keys, strict=True):
        first = table.setdefault(subject, root)
        if first < forest.messages and (root >= forest.messages or (is_reply(first) and not is_reply(root))):
            table[subject] = root
    table.pop("", None)
    return table


def render_threads(forest: Forest, numbers: Mapping[int, int] | Sequence[int]) -> Iterator[bytes]:
    """Write the threads of a THREAD answer one by one, a place by its number (RFC 5256 section 5)."""
    for root in forest.roots:
        written: list[bytes] = [b"("]
        waiting: list[int | bytes] = [b")", root]
        while waiting:
            piece = waiting.pop()
            if isinstance(piece, bytes):
                written.append(piece)
                continue
            below = forest.children.get(piece, ())
            if piece < forest.messages:
                written.append(b"%d" % numbers[piece])
                written.append(b" " if below else b"")
            if len(below) == 1 and piece < forest.messages:
                waiting.append(below[0])
                continue
            for child in reversed(below):
                waiting += (b")", child, b"(")
        yield b"".join(written)
