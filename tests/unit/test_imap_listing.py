"""LIST in its extended form, along the examples of RFC 5258 section 5 and its kin; names and their tree."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postkeep.base.ids import new_id
from postkeep.faces.imap.listing import render_list
from postkeep.faces.imap.names import Named, Tree, canonical, is_valid, levels_above, parents
from postkeep.protocols.imap.client import ResponseReader
from postkeep.protocols.imap.commands import ListMailboxes, ReturnAttribute, SelectionOption
from postkeep.services.vault.api import MailboxRow

SUBSCRIBED, RECURSIVE = SelectionOption.SUBSCRIBED, SelectionOption.RECURSIVEMATCH


def mailbox(name: str, *, subscribed: bool = False, role: str = "", selectable: bool = True) -> Named:
    return Named(name, MailboxRow(new_id(), role, None, subscribed, selectable, 1, 1, 1, 0, 0, 0, 0))


FRUIT = Tree(
    [
        mailbox("INBOX", role="inbox", subscribed=True),
        mailbox("Fruit", subscribed=False),
        mailbox("Fruit/Apple"),
        mailbox("Fruit/Banana", subscribed=True),
        mailbox("Tofu"),
        mailbox("Vegetable", subscribed=True),
        mailbox("Vegetable/Broccoli", subscribed=True),
        mailbox("Vegetable/Corn"),
        mailbox("Sent", role="sent"),
        mailbox("Old/Kept", role="archive"),
    ],
    1,
    frozenset({"Fruit/Peach", "Bread/Rye"}),
)
"""The mailboxes of RFC 5258 section 5, and two with a special use."""


def listed(*patterns: str, tree: Tree = FRUIT, **options: object) -> dict[str, tuple[set[str], object]]:
    """Attributes and extended data by name, as a client reads them."""
    options.setdefault("extended", True)
    command = ListMailboxes("", patterns, **options)  # type: ignore[arg-type]
    reader = ResponseReader()
    reader.feed(render_list(tree, command, utf8=True))
    found: dict[str, tuple[set[str], object]] = {}
    while (response := reader.next_response()) is not None:
        attributes, _, name, *more = response.values
        assert isinstance(attributes, list)
        assert isinstance(name, bytes)
        assert name.decode() not in found
        found[name.decode()] = ({str(word) for word in attributes}, more[0] if more else None)
    return found


def test_all_mailboxes_and_all_subscribed_ones() -> None:
    assert listed("*", extended=False)["Fruit"] == ({"\\HasChildren"}, None)
    assert set(listed("*")) == set(FRUIT.by_name) | {"Old"}
    subscribed = listed("*", selection=frozenset({SUBSCRIBED}))
    assert subscribed == {
        "INBOX": ({"\\Subscribed", "\\HasNoChildren"}, None),
        "Fruit/Banana": ({"\\Subscribed", "\\HasNoChildren"}, None),
        "Fruit/Peach": ({"\\Subscribed", "\\NonExistent", "\\Noselect"}, None),
        "Vegetable": ({"\\Subscribed", "\\HasChildren"}, None),
        "Vegetable/Broccoli": ({"\\Subscribed", "\\HasNoChildren"}, None),
        "Bread/Rye": ({"\\Subscribed", "\\NonExistent", "\\Noselect"}, None),
    }
    assert set(listed("*", selection=frozenset({SelectionOption.REMOTE}))) == set(listed("*"))


def test_what_lies_above_subscribed_mailboxes_is_told_with_childinfo() -> None:
    child = [b"CHILDINFO", [b"SUBSCRIBED"]]
    assert listed("%", selection=frozenset({SUBSCRIBED, RECURSIVE})) == {
        "INBOX": ({"\\Subscribed", "\\HasNoChildren"}, None),
        "Fruit": ({"\\HasChildren"}, child),
        "Vegetable": ({"\\Subscribed", "\\HasChildren"}, child),
        "Bread": ({"\\NonExistent", "\\Noselect"}, child),
    }
    special = listed("%", selection=frozenset({SelectionOption.SPECIAL_USE, RECURSIVE}))
    assert special == {
        "Sent": ({"\\Sent", "\\HasNoChildren"}, None),
        "Old": ({"\\NonExistent", "\\Noselect", "\\HasChildren"}, [b"CHILDINFO", [b"SPECIAL-USE"]]),
    }


def test_several_patterns_name_each_mailbox_once() -> None:
    assert set(listed("INBOX", "Vegetable/%", "Veg*")) == {
        "INBOX",
        "Vegetable",
        "Vegetable/Broccoli",
        "Vegetable/Corn",
    }
    returned = listed("Vegetable/*", returns=frozenset({ReturnAttribute.SUBSCRIBED}))
    assert {name for name, (words, _) in returned.items() if "\\Subscribed" in words} == {
        "Vegetable/Broccoli"
    }


def test_both_criteria_must_hold() -> None:
    both = frozenset({SUBSCRIBED, SelectionOption.SPECIAL_USE})
    assert listed("*", selection=both) == {}
    assert set(listed("*", selection=frozenset({SelectionOption.SPECIAL_USE}))) == {"Sent", "Old/Kept"}


def test_lsub_shows_names_without_a_mailbox_and_what_lies_above_them() -> None:
    everything = listed("*", lsub=True, extended=False)
    assert set(everything) == {
        *("INBOX", "Fruit/Banana", "Fruit/Peach", "Vegetable", "Vegetable/Broccoli", "Bread/Rye")
    }
    level = listed("%", lsub=True, extended=False)
    assert level == {
        "INBOX": ({"\\HasNoChildren"}, None),
        "Vegetable": ({"\\HasChildren"}, None),
        "Fruit": ({"\\Noselect"}, None),
        "Bread": ({"\\Noselect"}, None),
    }


def test_two_mailboxes_of_one_name_are_both_shown() -> None:
    tree = Tree([mailbox("a"), mailbox("a"), mailbox("a (2)")], 1)
    assert set(tree.by_name) == {"a", "a (2)", "a (2) (2)"}
    assert len({named.row.id for named in tree.by_name.values()}) == 3
    assert all(name == named.name for name, named in tree.by_name.items())


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a//b",
        "/a",
        "a%",
        "*",
        "#news",
        "a\x07",
        "a\x85",
        "a\u2028b",
        "x" * 1001,
        "é" * 501,
        "/".join("a" * 33),
    ],
)
def test_names_that_no_mailbox_can_have(name: str) -> None:
    assert not is_valid(name)


@given(st.text(st.sampled_from("aé\u0301/Inbox#"), max_size=12))
def test_a_name_has_one_spelling(name: str) -> None:
    spelled = canonical(name)
    assert canonical(spelled) == spelled
    assert canonical(unicodedata.normalize("NFD", name)) == spelled


@given(st.lists(st.text("ab/", max_size=8), max_size=8))
def test_levels_above_are_the_parents_of_all(names: list[str]) -> None:
    valid = [name for name in names if is_valid(name)]
    assert levels_above(valid) == {above for name in valid for above in parents(name)}
