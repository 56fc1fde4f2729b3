"""The view of a mailbox over runs of UIDs, held against a plain list of messages."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.imap_rows import Row, columns_of, packed

from postkeep.base.errors import IntegrityError
from postkeep.faces.imap.row_blocks import BLOCKS_MAX
from postkeep.faces.imap.uid_runs import UidRuns
from postkeep.faces.imap.view import Changes, View, batches, runs_of
from postkeep.protocols.imap.sequence import parse_sequence, spans_of
from postkeep.services.vault.rows_api import Rows

UIDS = st.sets(st.integers(1, 60))
FLAGS = st.sampled_from([(), ("\\Seen",), ("\\Seen", "$X"), ("\\Deleted",)])


def view_of(uids: set[int], *, loaded: bool = True) -> View:
    view = View(packed(*spans_of(sorted(uids))))
    if loaded:
        view.put(columns_of(Row(uid) for uid in sorted(uids)))
    return view


def applied(view: View, rows: Rows, modseq: int) -> Changes:
    changes = view.apply(rows)
    view.reach(modseq)
    return changes


def uids_of(view: View) -> list[int]:
    return list(view.uids_in([range(len(view))]))


def load(view: View, rows: dict[int, Row]) -> None:
    """Ask for what is missing, as the face does."""
    for low, high in list(view.missing([range(len(view))])):
        view.put(columns_of(row for uid, row in sorted(rows.items()) if low <= uid <= high))


@given(UIDS, UIDS)
def test_a_client_that_follows_the_announcements_ends_with_the_same_mailbox(
    uids: set[int], gone: set[int]
) -> None:
    view = view_of(uids)
    theirs, by_uid = sorted(uids), sorted(uids)
    view.vanish(spans_of(sorted(gone)))
    assert uids_of(view) == theirs  # until they may be told
    removed = view.expunge()
    for number, times in removed.numbers:
        for _ in range(times):
            del theirs[number - 1]
    for low, high in removed.uids:
        assert set(range(low, high + 1)) <= uids
        by_uid = [uid for uid in by_uid if not low <= uid <= high]
    assert theirs == by_uid == uids_of(view) == sorted(uids - gone)
    assert view.expunge() == ([], [])
    assert [view.position(uid) for uid in range(70)] == [
        theirs.index(uid) if uid in theirs else None for uid in range(70)
    ]
    assert [view.uid_at(at) for at in range(len(view))] == theirs


@given(st.sets(st.integers(1, 50)), st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1))
def test_sets_name_the_positions_that_a_plain_reading_names(
    uids: set[int], spans: list[tuple[int, int]]
) -> None:
    view = view_of(uids, loaded=False)
    sequence = parse_sequence(b",".join(b"%d:%d" % span for span in spans))
    named = {number for low, high in spans for number in range(min(low, high), max(low, high) + 1)}
    runs = view.positions(sequence, uid=True)
    assert runs is not None
    assert list(view.uids_in(runs)) == sorted(uids & named)
    covered = {uid for low, high in view.uid_ranges(runs) for uid in range(low, high + 1)}
    assert covered & uids == uids & named
    assert {uid for low, high in view.uid_spans(runs) for uid in range(low, high + 1)} == uids & named
    by_number = view.positions(sequence, uid=False)
    if max(named) > len(uids):
        assert by_number is None
    else:
        assert [at + 1 for run in by_number or [] for at in run] == sorted(named)


@settings(max_examples=200)
@given(
    st.sets(st.integers(1, 3000), max_size=40),
    st.lists(
        st.tuples(
            st.dictionaries(st.integers(1, 3000), FLAGS, max_size=8),
            st.integers(0, 3),
            st.sets(st.integers(1, 3000), max_size=8),
            st.booleans(),
            st.booleans(),
        ),
        max_size=6,
    ),
)
def test_whatever_changes_and_whenever_rows_are_read_the_view_is_the_mailbox(
    uids: set[int],
    steps: list[tuple[dict[int, tuple[str, ...]], int, set[int], bool, bool]],
) -> None:
    """A state machine in one function: changes, new messages, expunges, loads and rests, in any order."""
    rows = {uid: Row(uid) for uid in uids}
    view = view_of(uids, loaded=False)
    theirs = sorted(uids)
    uid_next, modseq = 3001, 1
    for changed, arrived, gone, loads, rests in steps:
        if loads:
            load(view, rows)
        modseq += 1
        news = {uid: Row(uid, modseq, flags) for uid, flags in changed.items() if uid in rows}
        news |= {uid: Row(uid, modseq) for uid in range(uid_next, uid_next + arrived)}
        uid_next += arrived
        rows |= news
        answer = columns_of(row for _, row in sorted(news.items()))
        changes = applied(view, answer, modseq)
        assert changes == ([at for at, uid in enumerate(sorted(news)) if uid in theirs], arrived)
        theirs += sorted(set(news) - set(theirs))
        view.vanish(spans_of(sorted(gone)))
        rows = {uid: row for uid, row in rows.items() if uid not in gone}
        for number, times in view.expunge().numbers:
            del theirs[number - 1 : number - 1 + times]
        if rests:
            view.rest()
    load(view, rows)
    assert uids_of(view) == theirs == sorted(rows)
    found = view.columns([range(len(view))])
    assert list(found.uids) == theirs
    assert [view.flag_sets[number] for number in found.flags] == [rows[uid].flags for uid in theirs]
    assert list(found.modseqs) == [rows[uid].modseq for uid in theirs]
    assert bytes(found.bodies) == b"".join(rows[uid].body for uid in theirs)
    assert all(found.there)
    for at, uid in enumerate(theirs):
        assert (view.flags(at), view.modseq(at)) == (rows[uid].flags, rows[uid].modseq)
        assert (view.size(at), view.date_ms(at), view.saved_ms(at)) == (10 * uid, 1000 * uid, 1000 * uid + 1)
        assert view.body(at) == rows[uid].body


def test_what_a_command_of_ours_changed_is_not_told_twice_and_what_others_changed_is() -> None:
    view = view_of({1, 2, 3})
    view.apply_own(columns_of([Row(2, 7, ("\\Seen",))]), 7)
    news = columns_of([Row(1, 6, ("\\Flagged",)), Row(2, 7, ("\\Seen",)), Row(3, 8)])
    assert applied(view, news, 8) == ([0, 2], 0)
    assert applied(view, columns_of([Row(2, 9)]), 9) == ([0], 0)


def test_rows_that_are_gone_are_missing_and_say_so() -> None:
    view = view_of({1, 2, 3}, loaded=False)
    view.put(columns_of([Row(1), Row(3)]))
    assert list(view.missing([range(3)])) == [(1, 3)]
    found = view.columns([range(3)])
    assert list(found.uids) == [1, 2, 3]
    assert list(found.there) == [1, 0, 1]
    assert list(found.sizes) == [10, 0, 30]
    with pytest.raises(LookupError):
        view.flags(1)


def test_rows_are_dropped_beyond_what_is_kept_and_all_of_them_when_idle() -> None:
    last = (BLOCKS_MAX + 2) << 10
    view = View(packed((1, last)))
    for block in range(BLOCKS_MAX + 2):
        view.put(columns_of([Row((block << 10) + 1)]))
    assert view.missing([range(1)]) is not None
    assert list(view.missing([range(1)])) == []
    view.trim()
    assert list(view.missing([range(1)])) == []  # used just now
    assert list(view.missing([range(1024, 1025)])) == [(1025, 1025)]
    view.rest()
    assert list(view.missing([range(1)])) == [(1, 1)]


def test_star_is_the_last_message_and_nothing_in_an_empty_mailbox() -> None:
    view = View()
    assert view.positions(parse_sequence(b"1:*"), uid=True) == []
    assert view.positions(parse_sequence(b"*"), uid=False) == []
    applied(view, columns_of([Row(4), Row(8)]), 1)
    assert view.positions(parse_sequence(b"*"), uid=True) == [range(1, 2)]
    assert view.positions(parse_sequence(b"100:*"), uid=True) == [range(1, 2)]


@pytest.mark.parametrize("runs", [((5, 4),), ((1, 3), (4, 9)), ((4, 9), (1, 2)), ((1, 5), (3, 9))])
def test_runs_that_are_none_are_refused(runs: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(IntegrityError):
        UidRuns.unpack(packed(*runs))
    with pytest.raises(IntegrityError):
        UidRuns.unpack(b"\1\0\0\0")


@given(st.lists(st.integers(0, 200), unique=True), st.integers(1, 20))
def test_batches_hold_every_position_once_in_order(numbers: list[int], size: int) -> None:
    runs = runs_of(sorted(numbers))
    cut = list(batches(runs, size))
    assert [at for batch in cut for run in batch for at in run] == sorted(numbers)
    assert all(sum(map(len, batch)) == size for batch in cut[:-1])
