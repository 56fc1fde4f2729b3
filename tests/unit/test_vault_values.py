"""Flags and sets of UIDs."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postkeep.base.errors import InvalidInputError, LimitError
from postkeep.services.vault.flags import (
    DELETED,
    KEYWORDS_MAX,
    SEEN,
    Flags,
    change_flags,
    flag_names,
    parse_flags,
)
from postkeep.services.vault.uids import intersect_ranges, merge_ranges, ranges_of

RANGES = st.lists(
    st.tuples(st.integers(1, 60), st.integers(0, 10)).map(lambda pair: (pair[0], pair[0] + pair[1])),
    max_size=12,
)


def members(ranges: list[tuple[int, int]]) -> set[int]:
    return {uid for low, high in ranges for uid in range(low, high + 1)}


def test_system_flags_are_bits_and_keywords_keep_their_first_spelling() -> None:
    flags = parse_flags(["\\SEEN", "Work", "\\deleted", "WORK", "$Forwarded"])
    assert flags == Flags(SEEN | DELETED, ("Work", "$Forwarded"))
    assert flag_names(*flags) == ("\\Seen", "\\Deleted", "Work", "$Forwarded")
    assert flag_names(0, None) == ()


@pytest.mark.parametrize(
    "name", ["", "\\Recent", "\\Seen ", "two words", "a\x00b", "é", "a]", 'a"', "a" * 101, "a\n"]
)
def test_what_is_no_flag_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_flags([name])


def test_a_message_has_a_limited_number_of_keywords() -> None:
    full = parse_flags(f"k{n}" for n in range(KEYWORDS_MAX))
    with pytest.raises(LimitError):
        parse_flags(f"k{n}" for n in range(KEYWORDS_MAX + 1))
    with pytest.raises(LimitError):
        change_flags(full, "add", Flags(0, ("one-more",)))
    assert change_flags(full, "add", Flags(SEEN, ("K1",))) == Flags(SEEN, full.keywords)
    with pytest.raises(InvalidInputError):
        change_flags(full, "toggle", Flags(0))


def test_flags_are_added_removed_and_replaced() -> None:
    now = Flags(SEEN, ("a", "b"))
    assert change_flags(now, "add", Flags(DELETED, ("B", "c"))) == Flags(SEEN | DELETED, ("a", "b", "c"))
    assert change_flags(now, "remove", Flags(SEEN | DELETED, ("A",))) == Flags(0, ("b",))
    assert change_flags(now, "replace", Flags(DELETED, ("z",))) == Flags(DELETED, ("z",))


@given(RANGES)
def test_merged_ranges_hold_the_same_uids_in_order_with_gaps_between(ranges: list[tuple[int, int]]) -> None:
    merged = merge_ranges(ranges)
    assert members(merged) == members(ranges)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(merged))
    assert ranges_of(sorted(members(ranges))) == merged


@given(RANGES, RANGES)
def test_an_intersection_holds_what_both_hold(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    both = intersect_ranges(merge_ranges(one), merge_ranges(other))
    assert members(both) == members(one) & members(other)


@pytest.mark.parametrize("bad", [(0, 1), (5, 4), (1, 2**32), (-3, -1)])
def test_ranges_that_are_none_are_refused(bad: tuple[int, int]) -> None:
    with pytest.raises(InvalidInputError):
        merge_ranges([bad])


def test_ranges_are_limited() -> None:
    with pytest.raises(LimitError):
        merge_ranges([(n, n) for n in range(1, 100_003)])
