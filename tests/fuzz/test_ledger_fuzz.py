"""Whatever lies in the ledger's files: it is read, or it is an integrity error, and nothing else."""

import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st
from tests.ledger_sample import ORIGIN, PUBLIC_KEY, signed

from postkeep.base.errors import IntegrityError
from postkeep.crypto import note
from postkeep.services.ledger.verify import verify_directory
from postkeep.stores.ledger_segments import encode_frame, read_frame
from postkeep.stores.ledger_tiles import encode_entries, parse_entries, split_entries

entries_lists = st.lists(st.binary(max_size=60), max_size=12)
NOTE = signed(7, bytes(32))


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Cut, altered, doubled or stretched."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["cut", "put", "flip", "double"])):
            case "cut":
                del data[place : place + draw(st.integers(1, 40))]
            case "put":
                data[place:place] = draw(st.binary(max_size=20))
            case "double":
                data[place:place] = data[:place]
            case _ if place < len(data):
                data[place] ^= 1 << draw(st.integers(0, 7))
            case _:
                pass
    return bytes(data)


@given(st.binary(max_size=300) | damaged(NOTE))
def test_any_note_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(IntegrityError):
        note.parse_checkpoint(note.peek_note(data))
    try:
        checkpoint = note.open_checkpoint(data, ORIGIN, PUBLIC_KEY)
    except IntegrityError:
        return
    assert checkpoint == note.Checkpoint(ORIGIN, 7, bytes(32))


@given(entries_lists)
def test_bundles_come_back(entries: list[bytes]) -> None:
    assert parse_entries(encode_entries(entries), len(entries)) == entries


@given(st.binary(max_size=400), st.integers(0, 20))
def test_any_bundle_is_split_or_refused(data: bytes, count: int) -> None:
    entries, whole = split_entries(data)
    assert encode_entries(entries) == data[: len(encode_entries(entries))]
    assert whole == (len(encode_entries(entries)) == len(data))
    with contextlib.suppress(IntegrityError):
        assert len(parse_entries(data, count)) == count


@given(entries_lists.filter(bool), st.integers(0, 2**40), st.data())
def test_a_damaged_frame_is_no_frame(entries: list[bytes], first: int, data: st.DataObject) -> None:
    frame = encode_frame(first, entries)
    assert read_frame(frame, 0, first) == (entries, len(frame))
    bad = data.draw(damaged(frame))
    found = read_frame(bad, 0, first)
    assert found is None or bad.startswith(frame)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "checkpoint",
                "tile/entries/000",
                "tile/entries/000.p/7",
                "tile/0/000",
                "tile/0/000.p/7",
                "tile/1/000",
                "tile/1/000.p/1",
            ]
        ),
        st.binary(max_size=200) | damaged(NOTE) | st.just(NOTE),
    )
)
def test_any_directory_is_verified_and_none_of_these_is_believed(files: dict[str, bytes]) -> None:
    with TemporaryDirectory() as name:
        for path, data in files.items():
            target = Path(name) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        report = verify_directory(Path(name), PUBLIC_KEY, known_checkpoints=list(files.values()))
        assert report.findings
        assert all(str(finding) for finding in report.findings)
