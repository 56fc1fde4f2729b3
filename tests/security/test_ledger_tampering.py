"""A ledger that was tampered with: whatever was done, the verification says so, and where (A2)."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.ledger_sample import ORIGIN, PUBLIC_KEY, events, signed, write_log

from postkeep.base.errors import IntegrityError
from postkeep.crypto import merkle
from postkeep.services.ledger.finding import FindingCode
from postkeep.services.ledger.verify import Report, verify_directory
from postkeep.stores import ledger_segments
from postkeep.stores.ledger_tiles import TileFiles, encode_entries, tile_name

FIRST, SIZE, TAIL = 700, 1400, 30


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    directory = tmp_path_factory.mktemp("pristine") / "ledger"
    return directory, asyncio.run(write_log(directory, [FIRST, SIZE], tail=TAIL))


class Victim:
    """A copy to tamper with; `log` alone, as an auditor gets it, unless asked for the segments too."""

    def __init__(self, directory: Path, notes: list[bytes]) -> None:
        self.directory = directory
        self.log = directory / "log"
        self.notes = notes
        self.tiles = TileFiles(self.log)

    def entries(self, bundle: int, width: int = 256) -> list[bytes]:
        return self.tiles.bundle(bundle, width)

    def write(self, bundle: int, entries: list[bytes], width: int = 256) -> None:
        (self.log / tile_name("entries", bundle, width)).write_bytes(encode_entries(entries))

    def all_entries(self) -> list[bytes]:
        return [entry for bundle in range(5) for entry in self.entries(bundle)] + self.entries(5, 120)

    def rewrite(self, entries: list[bytes]) -> None:
        """Make bundles and tiles of another history, consistent in themselves."""
        shutil.rmtree(self.log / "tile")
        leaves = merkle.leaf_hashes(entries)
        tiles = TileFiles(self.log)
        for start in range(0, len(entries), 256):
            width = min(256, len(entries) - start)
            tiles.write("entries", start // 256, encode_entries(entries[start : start + width]), width)
            tiles.write(0, start // 256, b"".join(leaves[start : start + width]), width)
        full = len(entries) // 256
        roots = [merkle.perfect_root(leaves[i * 256 : i * 256 + 256]) for i in range(full)]
        tiles.write(1, 0, b"".join(roots), full)

    def verify(self, *, known: int = 0, path: Path | None = None) -> Report:
        return verify_directory(path or self.log, PUBLIC_KEY, known_checkpoints=self.notes[:known])


@pytest.fixture
def victim(pristine: tuple[Path, list[bytes]], tmp_path: Path) -> Victim:
    shutil.copytree(pristine[0], tmp_path / "ledger")
    return Victim(tmp_path / "ledger", pristine[1])


def codes(report: Report) -> set[FindingCode]:
    return {finding.code for finding in report.findings}


def changed(entry: bytes) -> bytes:
    """Flip a bit in the last digit of its count."""
    return entry[:-2] + bytes([entry[-2] ^ 1]) + entry[-1:]


def root_of(entries: list[bytes]) -> bytes:
    frontier = merkle.Frontier()
    frontier.append(merkle.leaf_hashes(entries))
    return frontier.root()


def test_an_untouched_ledger_has_no_findings(victim: Victim) -> None:
    report = victim.verify(known=2)
    assert report.findings == []
    assert (report.origin, report.checkpoint_size, report.entries) == (ORIGIN, SIZE, SIZE)
    assert report.first_bad_index is None
    report.raise_if_bad()
    whole = victim.verify(known=2, path=victim.directory)
    assert whole.findings == []
    assert (whole.entries, whole.sources) == (SIZE + TAIL, 1)


@pytest.mark.parametrize("index", [0, 255, 256, 700, 1279, 1280, 1399])
def test_a_flipped_bit_in_an_entry_is_found_at_its_index(victim: Victim, index: int) -> None:
    bundle, offset = divmod(index, 256)
    width = 256 if bundle < 5 else 120
    entries = victim.entries(bundle, width)
    entries[offset] = changed(entries[offset])
    victim.write(bundle, entries, width)
    report = victim.verify()
    assert (report.findings[0].code, report.first_bad_index) == (FindingCode.ENTRY_ALTERED, index)
    with pytest.raises(IntegrityError, match=f"Entry {index} was altered"):
        report.raise_if_bad()


def test_any_flipped_bit_in_any_file_is_found(victim: Victim) -> None:
    for path in sorted(p for p in victim.log.rglob("*") if p.is_file()):
        before = path.read_bytes()
        for place in {0, len(before) // 2, len(before) - 1}:
            data = bytearray(before)
            data[place] ^= 0x40
            path.write_bytes(data)
            report = victim.verify(known=2)
            assert report.findings, (path, place)
            if path.name not in {"checkpoint", "5"}:
                assert report.first_bad_index is not None, (path, place)
        path.write_bytes(before)
    assert victim.verify(known=2).findings == []


@pytest.mark.parametrize("offset", [0, 100, 254, 255])
def test_an_entry_removed_from_its_bundle_is_found(victim: Victim, offset: int) -> None:
    entries = victim.entries(1)
    del entries[offset]
    victim.write(1, entries)
    report = victim.verify()
    assert (report.findings[0].code, report.first_bad_index) == (FindingCode.ENTRY_REMOVED, 256 + offset)


@pytest.mark.parametrize("offset", [0, 100, 255])
def test_an_entry_inserted_into_its_bundle_is_found(victim: Victim, offset: int) -> None:
    entries = victim.entries(2)
    entries.insert(offset, entries[0].replace(b'"number"', b'"number" '))
    victim.write(2, entries)
    report = victim.verify()
    assert (report.findings[0].code, report.first_bad_index) == (FindingCode.ENTRY_INSERTED, 512 + offset)


@pytest.mark.parametrize(("one", "other"), [(3, 4), (3, 200), (254, 255)])
def test_swapped_entries_are_found(victim: Victim, one: int, other: int) -> None:
    entries = victim.entries(0)
    entries[one], entries[other] = entries[other], entries[one]
    victim.write(0, entries)
    report = victim.verify()
    assert (report.findings[0].code, report.first_bad_index) == (FindingCode.ENTRIES_SWAPPED, one)


def test_an_entry_removed_with_all_later_ones_moved_up_is_found(victim: Victim) -> None:
    entries = victim.all_entries()
    del entries[300]
    for bundle in range(5):
        victim.write(bundle, entries[bundle * 256 : bundle * 256 + 256])
    victim.write(5, entries[1280:], 119)
    (victim.log / tile_name("entries", 5, 120)).unlink()
    report = victim.verify()
    assert report.first_bad_index == 300
    assert report.findings[0].code in {FindingCode.ENTRY_REMOVED, FindingCode.NUMBER_GAP}
    assert FindingCode.ENTRY_REMOVED in codes(report)


def test_a_rewritten_bundle_and_tile_are_found_by_the_tile_above(victim: Victim) -> None:
    entries = victim.entries(3)
    entries[7] = changed(entries[7])
    victim.write(3, entries)
    (victim.log / tile_name(0, 3)).write_bytes(b"".join(merkle.leaf_hashes(entries)))
    report = victim.verify()
    assert (report.findings[0].code, report.first_bad_index) == (FindingCode.REWRITTEN, 768)


def test_a_history_rewritten_throughout_is_found_by_the_checkpoints(victim: Victim) -> None:
    entries = victim.all_entries()
    entries[900] = changed(entries[900])
    victim.rewrite(entries)
    report = victim.verify(known=1)
    assert (report.findings[0].code, report.first_bad_index) == (FindingCode.REWRITTEN, FIRST)
    assert "700 up to 1399" in report.findings[0].place
    report = victim.verify()
    assert (report.findings[0].code, report.first_bad_index) == (FindingCode.REWRITTEN, 0)


def test_a_cut_tail_is_found_by_the_checkpoint(victim: Victim) -> None:
    victim.rewrite(victim.all_entries()[:1024])
    report = victim.verify()
    assert FindingCode.ENTRIES_MISSING in codes(report) or FindingCode.FILE_MISSING in codes(report)
    assert report.first_bad_index == 1024


def test_a_ledger_set_back_to_an_older_checkpoint_is_found_by_a_kept_one(victim: Victim) -> None:
    victim.rewrite(victim.all_entries()[:FIRST])
    (victim.log / "checkpoint").write_bytes(victim.notes[0])
    assert victim.verify().findings == []
    report = victim.verify(known=2)
    assert (report.findings[0].code, report.first_bad_index) == (FindingCode.ENTRIES_MISSING, FIRST)


def test_a_tail_rewritten_with_the_signing_key_is_found_by_a_kept_checkpoint(victim: Victim) -> None:
    entries = victim.all_entries()
    entries[1000] = changed(entries[1000])
    victim.rewrite(entries)
    (victim.log / "checkpoint").write_bytes(signed(SIZE, root_of(entries)))
    report = victim.verify(known=2)
    assert codes(report) == {FindingCode.FORKED}
    assert report.first_bad_index == FIRST
    entries[10] = changed(entries[10])
    victim.rewrite(entries)
    (victim.log / "checkpoint").write_bytes(signed(SIZE, root_of(entries)))
    report = victim.verify(known=1)
    assert (codes(report), report.first_bad_index) == ({FindingCode.FORKED}, 0)


def test_checkpoints_of_another_log_or_key_are_not_believed(victim: Victim) -> None:
    stranger = Ed25519PrivateKey.generate()
    (victim.log / "checkpoint").write_bytes(signed(SIZE, bytes(32), key=stranger))
    assert FindingCode.BAD_CHECKPOINT in codes(victim.verify())
    (victim.log / "checkpoint").write_bytes(victim.notes[1])
    other = signed(10, bytes(32), origin="another/log")
    report = verify_directory(victim.log, PUBLIC_KEY, known_checkpoints=[other, b"no note"])
    assert codes(report) == {FindingCode.BAD_CHECKPOINT}
    assert len(report.findings) == 2
    report = verify_directory(victim.log, PUBLIC_KEY, origin="another/log")
    assert codes(report) == {FindingCode.BAD_CHECKPOINT}
    (victim.log / "checkpoint").unlink()
    assert FindingCode.NO_CHECKPOINT in codes(victim.verify())


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("tile/entries/002", 512),
        ("tile/entries/005.p/120", 1280),
        ("tile/0/001", 256),
        ("tile/0/005.p/120", 1280),
        ("tile/1/000.p/5", None),
    ],
)
def test_a_missing_file_is_named(victim: Victim, name: str, index: int | None) -> None:
    (victim.log / name).unlink()
    report = victim.verify()
    assert report.first_bad_index == index
    assert any(name in finding.place for finding in report.findings)


def test_missing_entries_and_tile_together_are_named(victim: Victim) -> None:
    (victim.log / "tile/entries/002").unlink()
    (victim.log / "tile/0/002").unlink()
    report = victim.verify(known=2)
    assert report.first_bad_index == 512
    assert codes(report) <= {FindingCode.FILE_MISSING, FindingCode.FILE_DAMAGED, FindingCode.REWRITTEN}


def test_an_altered_tile_is_told_from_an_altered_entry(victim: Victim) -> None:
    path = victim.log / "tile/0/001"
    data = bytearray(path.read_bytes())
    data[32 * 9] ^= 1
    path.write_bytes(data)
    report = victim.verify()
    assert (codes(report), report.first_bad_index) == ({FindingCode.TILE_ALTERED}, 256 + 9)


def test_segments_are_verified_with_the_log(victim: Victim) -> None:
    (segment,) = (victim.directory / "segments").glob("*.segment")
    before = segment.read_bytes()
    data = bytearray(before)
    data[-40] ^= 1
    segment.write_bytes(data)
    report = victim.verify(path=victim.directory)
    assert (codes(report), report.first_bad_index) == ({FindingCode.FILE_DAMAGED}, SIZE)
    entries = next(ledger_segments.scan_segments(victim.directory / "segments"))[1]
    entries[20] = changed(entries[20])
    segment.write_bytes(ledger_segments.encode_frame(0, entries))
    report = victim.verify(path=victim.directory)
    assert (codes(report), report.first_bad_index) == ({FindingCode.ENTRY_ALTERED}, 20)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda e: [*e[:50], *e[51:]], FindingCode.NUMBER_GAP),
        (lambda e: [*e[:50], e[49], *e[50:]], FindingCode.NUMBER_REPEATED),
        (lambda e: [*e[:50], b"no event", *e[51:]], FindingCode.ENTRY_UNREADABLE),
    ],
)
def test_faults_in_a_sources_numbers_are_found_although_the_tree_is_true(
    tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], code: FindingCode
) -> None:
    entries = change([msgspec.json.encode(event) for event in events(300)])
    (tmp_path / "tile").mkdir()
    victim = Victim(tmp_path, [])
    victim.log = tmp_path
    victim.rewrite(entries)
    (tmp_path / "checkpoint").write_bytes(signed(len(entries), root_of(entries)))
    report = verify_directory(tmp_path, PUBLIC_KEY)
    assert (report.findings[0].code, report.first_bad_index) == (code, 50)
