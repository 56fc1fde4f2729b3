"""The ledger's log on disk: what is appended is there, at any size, after any stop."""

import asyncio
import os
import stat
from pathlib import Path

import pytest
from tests.ledger_sample import ORIGIN, signed, write_log

from postkeep.base.errors import IntegrityError
from postkeep.crypto import merkle, note
from postkeep.stores import ledger_segments, ledger_tiles
from postkeep.stores.ledger_log import LedgerLog


def opened(directory: Path) -> LedgerLog:
    log = LedgerLog(directory)
    log.open()
    return log


def filled(directory: Path, count: int, *, derive: bool = True) -> LedgerLog:
    log = opened(directory)
    for start in range(0, count, 1000):
        log.append([b"entry %d" % n for n in range(start, min(count, start + 1000))])
        while derive and log.derive():
            pass
    return log


def expected_root(size: int) -> bytes:
    frontier = merkle.Frontier()
    frontier.append(merkle.leaf_hashes(b"entry %d" % n for n in range(size)))
    return frontier.root()


@pytest.mark.parametrize(
    ("level", "index", "width", "name"),
    [
        (0, 0, 256, "tile/0/000"),
        (3, 1234067, 256, "tile/3/x001/x234/067"),
        ("entries", 1000, 256, "tile/entries/x001/000"),
        (0, 273, 112, "tile/0/273.p/112"),
    ],
)
def test_tiles_have_the_names_of_the_standard(level: int | str, index: int, width: int, name: str) -> None:
    assert ledger_tiles.tile_name(level, index, width) == name


def test_a_tree_of_seventy_thousand_has_the_partial_tiles_of_the_standard() -> None:
    assert [ledger_tiles.partial_width(70_000, level) for level in range(4)] == [112, 17, 1, 0]


@pytest.mark.parametrize("derive", ["derived", "segments only"])
@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 512, 3000])
def test_the_root_is_right_at_every_size_and_after_a_restart(tmp_path: Path, size: int, derive: str) -> None:
    log = filled(tmp_path, size, derive=derive == "derived")
    assert log.root(size) == expected_root(size)
    log.close()
    log = opened(tmp_path)
    assert log.size == size
    assert log.root(size) == expected_root(size)
    for part in (0, 1, size // 2, max(0, size - 1)):
        if part <= size:
            assert log.root(part) == expected_root(part)
    log.append([b"entry %d" % size])
    assert log.root(size + 1) == expected_root(size + 1)
    log.close()


def test_a_tree_with_two_levels_of_full_tiles_is_right_after_a_restart(tmp_path: Path) -> None:
    size = 256 * 256 + 700
    filled(tmp_path, size).close()
    assert (tmp_path / "log/tile/1/000").stat().st_size == 8192
    log = opened(tmp_path)
    assert log.root(size) == expected_root(size)
    assert log.root(65_537) == expected_root(65_537)
    log.close()


def test_proofs_from_the_tiles_verify(tmp_path: Path) -> None:
    log = filled(tmp_path, 2000)
    for index, size in ((0, 1), (5, 700), (1999, 2000), (256, 1025)):
        proof = merkle.inclusion_proof(index, size, log.node)
        merkle.verify_inclusion(
            index, merkle.leaf_hash(b"entry %d" % index), size, expected_root(size), proof
        )
        proof = merkle.consistency_proof(index + 1, size, log.node)
        merkle.verify_consistency(index + 1, expected_root(index + 1), size, expected_root(size), proof)
    log.close()


@pytest.mark.parametrize(
    ("start", "count"), [(0, 10), (250, 300), (999, 1), (990, 100), (1000, 5), (2000, 1)]
)
def test_entries_are_read_across_bundles_and_the_tail(tmp_path: Path, start: int, count: int) -> None:
    log = filled(tmp_path, 1000)
    assert log.read(start, count) == [b"entry %d" % n for n in range(start, min(1000, start + count))]
    log.close()


def test_one_answer_holds_a_limited_number_of_octets(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append([bytes(60_000)] * 300)
    log.derive()
    assert 8 <= len(log.read(0, 300)) < 12
    log.close()


def test_old_segments_go_when_their_entries_lie_in_bundles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_segments, "SEGMENT_BYTES_MAX", 4096)
    log = filled(tmp_path, 5000)
    assert len(list((tmp_path / "segments").iterdir())) == 5
    log.retire(lambda: b"what the service knows")
    assert len(list((tmp_path / "segments").iterdir())) == 1
    log.close()
    log = opened(tmp_path)
    assert log.snapshot() == b"what the service knows"
    assert log.size == 5000
    assert log.root(5000) == expected_root(5000)
    log.close()


def test_a_torn_last_write_is_cut_off_and_kept_aside(tmp_path: Path) -> None:
    log = filled(tmp_path, 10)
    log.append([b"never acknowledged" * 100])
    log.close()
    segment = tmp_path / "segments" / f"{0:020d}.segment"
    segment.write_bytes(segment.read_bytes()[:-7])
    log = opened(tmp_path)
    assert log.size == 10
    assert log.torn_bytes > 1800
    assert b"never acknowledged" in segment.with_suffix(".torn").read_bytes()
    log.append([b"entry 10"])
    assert log.root(11) == expected_root(11)
    log.close()
    assert opened(tmp_path).size == 11


def test_damage_before_the_last_write_is_not_taken_for_a_torn_end(tmp_path: Path) -> None:
    log = filled(tmp_path, 10)
    log.append([b"entry 10"])
    log.close()
    segment = tmp_path / "segments" / f"{0:020d}.segment"
    data = bytearray(segment.read_bytes())
    data[40] ^= 1
    segment.write_bytes(data)
    with pytest.raises(IntegrityError, match="damaged at entry 0"):
        opened(tmp_path)


def test_missing_tiles_are_made_again_from_the_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_segments, "SEGMENT_BYTES_MAX", 1)
    log = filled(tmp_path, 1500)
    log.append([b"entry 1500"])
    log.retire(lambda: b"")
    log.close()
    tile = tmp_path / "log/tile/0/001"
    before = tile.read_bytes()
    tile.unlink()
    log = opened(tmp_path)
    assert log.root(700) == expected_root(700)
    assert tile.read_bytes() == before
    log.close()


def test_a_log_shorter_than_its_checkpoint_does_not_open(tmp_path: Path) -> None:
    asyncio.run(write_log(tmp_path, [400]))
    (segment,) = (tmp_path / "segments").iterdir()
    segment.write_bytes(b"")
    with pytest.raises(IntegrityError, match="missing"):
        opened(tmp_path)
    segment.unlink()
    (tmp_path / "log/checkpoint").unlink()
    with pytest.raises(IntegrityError, match="missing"):
        opened(tmp_path)


def test_a_log_that_does_not_fit_its_checkpoint_does_not_open(tmp_path: Path) -> None:
    asyncio.run(write_log(tmp_path, [400]))
    (tmp_path / "log/checkpoint").write_bytes(signed(400, bytes(32)))
    with pytest.raises(IntegrityError, match="do not fit their checkpoint"):
        opened(tmp_path)


def test_a_checkpoint_brings_exactly_the_files_that_its_readers_need(tmp_path: Path) -> None:
    log = filled(tmp_path, 700, derive=False)
    log.publish(note.Checkpoint(ORIGIN, 600, log.root(600)), signed(600, log.root(600)))
    files = {str(p.relative_to(tmp_path / "log")) for p in (tmp_path / "log").rglob("*") if p.is_file()}
    assert files == {
        "checkpoint",
        "tile/entries/000",
        "tile/entries/001",
        "tile/entries/002.p/88",
        "tile/0/000",
        "tile/0/001",
        "tile/0/002.p/88",
        "tile/1/000.p/2",
    }
    log.append([b"entry %d" % n for n in range(700, 800)])
    log.derive()
    assert not (tmp_path / "log/tile/entries/002.p").exists()
    assert (tmp_path / "log/tile/entries/002").exists()
    log.close()


def test_nobody_else_may_read_the_ledger(tmp_path: Path) -> None:
    asyncio.run(write_log(tmp_path / "ledger", [600], tail=3))
    for path in (tmp_path / "ledger").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_name_of_a_log_is_given_once(tmp_path: Path) -> None:
    log = opened(tmp_path)
    assert log.origin("first/name") == "first/name"
    assert log.origin("second/name") == "first/name"
    log.close()


def test_an_entry_that_is_too_long_is_not_appended(tmp_path: Path) -> None:
    log = opened(tmp_path)
    with pytest.raises(ValueError, match="too long"):
        log.append([b"x" * 65_536])
    log.append([b"x" * 65_535])
    log.close()
    log = opened(tmp_path)
    assert log.read(0, 1) == [b"x" * 65_535]
    log.close()


def test_an_append_returns_only_after_its_entries_were_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(tmp_path)
    segment = tmp_path / "segments" / f"{0:020d}.segment"
    synced: list[int] = []
    real = os.fdatasync

    def watched(descriptor: int) -> None:
        real(descriptor)
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fdatasync", watched)
    for number in range(3):
        log.append([b"entry %d" % number])
        assert synced[-1] == segment.stat().st_size
        assert len(synced) == number + 1
    log.close()


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = filled(tmp_path, 3)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", _full_disk)
        with pytest.raises(OSError, match="no space"):
            log.append([b"lost"])
        with pytest.raises(OSError, match="no space"):
            log.append([b"lost as well"])
    log.append([b"entry 3"])
    assert log.root(4) == expected_root(4)
    log.close()
    log = opened(tmp_path)
    assert (log.root(4), log.torn_bytes) == (expected_root(4), 0)
    log.close()


def _full_disk(_: int) -> None:
    raise OSError(28, "no space")
