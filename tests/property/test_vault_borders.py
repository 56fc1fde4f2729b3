"""The runs of UIDs that are left are what a set says, whatever went in whatever order (J1)."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postkeep.base.errors import IntegrityError
from postkeep.stores.vault_borders import (
    borders_around,
    merged,
    pack_borders,
    runs_left,
    unpack_borders,
)


def runs_of(uids: set[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for uid in sorted(uids):
        if runs and runs[-1][1] == uid - 1:
            runs[-1] = runs[-1][0], uid
        else:
            runs.append((uid, uid))
    return runs


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, list[set[int]]]:
    """A mailbox's UIDNEXT, and the sets of UIDs that went from it, one command after another."""
    uid_next = draw(st.integers(1, 60))
    there = set(range(1, uid_next))
    steps = []
    for _ in range(draw(st.integers(0, 6))):
        gone = draw(st.sets(st.sampled_from(sorted(there)))) if there else set()
        if gone:
            steps.append(gone)
            there -= gone
    return uid_next, steps


@given(histories())
def test_what_is_left_and_what_went_are_each_others_complement(history: tuple[int, list[set[int]]]) -> None:
    uid_next, steps = history
    packed = [pack_borders(runs_of(step)) for step in steps]
    gone: set[int] = set().union(*steps)
    flat = list(runs_left(packed, uid_next))
    assert list(zip(flat[::2], flat[1::2], strict=True)) == runs_of(set(range(1, uid_next)) - gone)
    assert all(low <= high for low, high in zip(flat[::2], flat[1::2], strict=True))
    assert all(after > before + 1 for before, after in pairwise(flat) if flat.index(before) % 2)
    assert merged(packed) == runs_of(gone)
    assert unpack_borders(borders_around(runs_left(packed, uid_next), uid_next)) == runs_of(gone)


@given(histories(), st.data())
def test_damaged_history_gives_an_error_or_the_truth(
    history: tuple[int, list[set[int]]], data: st.DataObject
) -> None:
    uid_next, steps = history
    steps.append(data.draw(st.sets(st.integers(1, uid_next + 2), min_size=1)))
    try:
        flat = list(runs_left([pack_borders(runs_of(step)) for step in steps], uid_next))
    except IntegrityError:
        return
    left = {uid for low, high in zip(flat[::2], flat[1::2], strict=True) for uid in range(low, high + 1)}
    assert left == set(range(1, uid_next)) - set().union(*steps)


def test_a_run_that_went_after_it_had_gone_is_found_out() -> None:
    with pytest.raises(IntegrityError):
        runs_left([pack_borders([(3, 9)]), pack_borders([(4, 5)])], 20)
