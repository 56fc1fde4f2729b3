"""Offline verification of a ledger: every entry is there, unaltered, in its order, as the checkpoints say.

Needs the log's directory and the public key of its checkpoints; trusts nothing else. Tiles and bundles are
compared with each other, the root over the entries with the checkpoint and with checkpoints kept elsewhere,
and the numbers of every source with each other. What differs is reported with its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from postkeep.base.errors import IntegrityError
from postkeep.crypto.cosignature import open_both
from postkeep.crypto.note import Checkpoint, open_checkpoint, parse_checkpoint, peek_note
from postkeep.services.ledger.finding import Finding, FindingCode
from postkeep.services.ledger.numbers import NumberCheck
from postkeep.services.ledger.tree_check import TreeCheck
from postkeep.stores.ledger_log import CHECKPOINT, LOG, SEGMENTS
from postkeep.stores.ledger_segments import scan_segments
from postkeep.stores.ledger_tiles import ENTRIES, TILE_WIDTH, TileFiles, tile_name


class LogKeys(NamedTuple):
    """The public keys of a log's checkpoints, raw; the second may be unknown (empty)."""

    ed25519: bytes
    mldsa44: bytes = b""

    def open(self, note: bytes, origin: str, *, required: bool) -> Checkpoint:
        """Return a signed checkpoint; IntegrityError unless the known keys have signed it."""
        if self.mldsa44:
            return open_both(note, origin, self.ed25519, self.mldsa44, required=required)
        return open_checkpoint(note, origin, self.ed25519)


@dataclass(slots=True)
class Report:
    """What a verification has found. With no findings the log is whole and true."""

    origin: str = ""
    checkpoint_size: int = 0
    entries: int = 0
    """How many entries were read, those after the checkpoint included."""
    sources: int = 0
    findings: list[Finding] = field(default_factory=list)
    lost: list[Finding] = field(default_factory=list)
    """Gaps in a source's numbers that the ledger itself has recorded: lost events, but no tampering."""
    torn_bytes: int = 0
    """Octets of an unfinished last write, as a kill leaves it: never acknowledged, and no fault."""

    @property
    def first_bad_index(self) -> int | None:
        """Return the first entry that something is wrong with; None where no finding has an index."""
        return min((f.index for f in self.findings if f.index is not None), default=None)

    def raise_if_bad(self) -> None:
        """Raise IntegrityError with the first finding, if there is one."""
        if self.findings:
            raise IntegrityError(str(self.findings[0]))


def verify_directory(
    path: Path,
    key: bytes,
    *,
    mldsa_key: bytes = b"",
    known_checkpoints: Sequence[bytes] = (),
    origin: str | None = None,
) -> Report:
    """Verify a log directory, or a ledger's whole directory with its segments.

    `key` is the raw Ed25519 public key of checkpoints, `mldsa_key` the ML-DSA-44 one; where that is given,
    the log's own checkpoint needs both signatures. `known_checkpoints` are notes kept elsewhere: those from
    before the second key may have one. Nothing is raised for what is wrong with the log: everything is in
    the report.
    """
    keys = LogKeys(key, mldsa_key)
    log = path / LOG if (path / LOG).is_dir() else path
    report = Report()
    found = report.findings.append
    checkpoint = _read_checkpoint(log, keys, origin, report)
    known = _open_known(known_checkpoints, keys, report)
    tree = TreeCheck(TileFiles(log), found)
    numbers = NumberCheck(found, report.lost.append)
    tree.watch(k.size for k in known)
    if checkpoint is not None:
        report.origin, report.checkpoint_size = checkpoint.origin, checkpoint.size
        tree.watch([checkpoint.size])
    _walk_bundles(tree, numbers, checkpoint)
    if log != path and (path / SEGMENTS).is_dir():
        report.torn_bytes = _walk_segments(path / SEGMENTS, tree, numbers)
    elif checkpoint is not None:
        _walk_partial(tree, numbers, checkpoint)
    report.entries, report.sources = tree.size, numbers.count
    if checkpoint is not None:
        tree.check_partial_files(checkpoint)
    tree.check_checkpoint(checkpoint, known)
    tree.check_known(known, checkpoint)
    report.findings.sort(key=_rank)
    return report


def _rank(finding: Finding) -> tuple[bool, int, bool]:
    """Order by place; at one place the tree's word comes before that of the numbers."""
    follows = finding.code in {FindingCode.NUMBER_GAP, FindingCode.NUMBER_REPEATED}
    return finding.index is None, finding.index or 0, follows


def _read_checkpoint(log: Path, keys: LogKeys, origin: str | None, report: Report) -> Checkpoint | None:
    try:
        note = (log / CHECKPOINT).read_bytes()
    except FileNotFoundError:
        report.findings.append(Finding(FindingCode.NO_CHECKPOINT, None, CHECKPOINT))
        return None
    try:
        name = origin or parse_checkpoint(peek_note(note)).origin
        return keys.open(note, name, required=True)
    except IntegrityError as error:
        report.findings.append(Finding(FindingCode.BAD_CHECKPOINT, None, CHECKPOINT, error.detail))
        return None


def _open_known(notes: Sequence[bytes], keys: LogKeys, report: Report) -> list[Checkpoint]:
    known = []
    for number, note in enumerate(notes, 1):
        try:
            known.append(keys.open(note, parse_checkpoint(peek_note(note)).origin, required=False))
        except IntegrityError as error:
            place = f"known checkpoint {number}"
            report.findings.append(Finding(FindingCode.BAD_CHECKPOINT, None, place, error.detail))
    return sorted(known, key=lambda k: k.size)


def _walk_bundles(tree: TreeCheck, numbers: NumberCheck, checkpoint: Checkpoint | None) -> None:
    """Read full bundles as long as there are any, or the checkpoint says that there must be."""
    due = checkpoint.size // TILE_WIDTH if checkpoint else 0
    index = 0
    while True:
        if tree.tiles.has(ENTRIES, index):
            entries = tree.take_bundle(index)
        elif index < due or tree.tiles.has(ENTRIES, index + 1):
            tree.note_missing(tile_name(ENTRIES, index), index * TILE_WIDTH)
            entries = None
            tree.skip_bundle(index)
        else:
            return
        numbers.take(index * TILE_WIDTH, entries)
        index += 1


def _walk_partial(tree: TreeCheck, numbers: NumberCheck, checkpoint: Checkpoint) -> None:
    width = checkpoint.size - tree.size
    if 0 < width < TILE_WIDTH:
        start = tree.size
        entries = tree.read_bundle(start // TILE_WIDTH, width)
        if entries is not None:
            tree.take_loose(entries)
            numbers.take(start, entries)


def _walk_segments(directory: Path, tree: TreeCheck, numbers: NumberCheck) -> int:
    """Compare the entries that lie in segments too, and go on with those that lie nowhere else.

    Returns the octets of a torn last write: it was never acknowledged, and the next start cuts it off.
    """
    torn_bytes = 0
    for start, entries, fault, torn in scan_segments(directory):
        torn_bytes = torn
        tree.compare_settled(start, entries)
        fresh = entries[max(0, tree.size - start) :]
        if start > tree.size:
            tree.note_missing(f"entries {tree.size} to {start - 1}", tree.size)
            return 0
        at = tree.size
        tree.take_loose(fresh)
        numbers.take(at, fresh)
        if fault:
            tree.note_damage(start + len(entries), fault)
            return 0
    return torn_bytes
