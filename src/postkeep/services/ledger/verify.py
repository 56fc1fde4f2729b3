"""Offline verification of a ledger: every entry is there, unaltered, in its order, as the checkpoints say.

Needs the log's directory and the public keys of its checkpoints; trusts nothing else. Tiles and bundles are
compared with each other, the root over the entries with the checkpoint and with checkpoints kept elsewhere,
the numbers of every source with each other, and every tenant's log with the installation's. What differs is
reported with its place.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from postkeep.base.errors import IntegrityError
from postkeep.crypto.cosignature import open_both
from postkeep.crypto.note import Checkpoint, open_checkpoint, parse_checkpoint, peek_note
from postkeep.model.audit import EventName
from postkeep.services.ledger.finding import Finding, FindingCode
from postkeep.services.ledger.numbers import NumberCheck
from postkeep.services.ledger.reading import read_entry
from postkeep.services.ledger.tenant_check import AnchorCheck, IndexCheck
from postkeep.services.ledger.tree_check import TreeCheck
from postkeep.stores.ledger_log import CHECKPOINT, LOG, SEGMENTS
from postkeep.stores.ledger_segments import scan_segments
from postkeep.stores.ledger_tenants import TENANTS, signed_size, tenant_origin
from postkeep.stores.ledger_tiles import ENTRIES, TILE_WIDTH, TileFiles, tile_name

_TENANT_ORIGIN: Final = re.compile(r"(.+)/tenant/([0-9a-f]{32})\Z", re.ASCII)


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
    silent: list[Finding] = field(default_factory=list)
    """Sources that stopped without a farewell: killed, or kept from speaking."""
    given_up: list[Finding] = field(default_factory=list)
    """Signed heads that were given up when the ledger was restored, as the log itself says: no fault of this
    history, but another one was signed."""
    torn_bytes: int = 0
    """Octets of an unfinished last write, as a kill leaves it: never acknowledged, and no fault."""
    tenants: "dict[str, Report]" = field(default_factory=dict)
    """Tenants' logs that stand beside the installation's, by identifier; indexes count in each by itself."""

    @property
    def first_bad_index(self) -> int | None:
        """Return the first entry that something is wrong with; None where no finding has an index."""
        return min((f.index for f in self.findings if f.index is not None), default=None)

    @property
    def good(self) -> bool:
        """Whether nothing was found, in this log and in those of tenants beside it."""
        return not self.findings and all(report.good for report in self.tenants.values())

    def raise_if_bad(self) -> None:
        """Raise IntegrityError with the first finding, if there is one."""
        for report in (self, *self.tenants.values()):
            if report.findings:
                raise IntegrityError(str(report.findings[0]))


class _Checks:
    """The checks that follow the entries one by one: of the installation's log, or of a tenant's."""

    def __init__(self, report: Report, tenant: str) -> None:
        self.numbers = NumberCheck(report.findings.append, report.lost.append)
        self.anchors = AnchorCheck(report.findings.append)
        self._indexes = IndexCheck(tenant, report.findings.append) if tenant else None
        self._given_up = report.given_up

    def take(self, start: int, entries: Sequence[bytes] | None) -> None:
        """Check entries from index `start` on; None: they could not be read."""
        if self._indexes is not None:
            self._indexes.take(start, entries)
            return
        read = [read_entry(data) for data in entries or ()]
        self._given_up += [
            Finding(FindingCode.GIVEN_UP, index, f"{entry.count} entries, root {entry.digest}")
            for index, entry in enumerate(read, start)
            if entry is not None and entry.event == EventName.LEDGER_ACCEPT
        ]
        self.numbers.take(start, None if entries is None else read)
        self.anchors.take(start, entries, read)


def verify_directory(
    path: Path,
    key: bytes,
    *,
    mldsa_key: bytes = b"",
    known_checkpoints: Sequence[bytes] = (),
    origin: str | None = None,
) -> Report:
    """Verify a log directory, or a ledger's whole directory with its segments and its tenants' logs.

    `key` is the raw Ed25519 public key of checkpoints, `mldsa_key` the ML-DSA-44 one; where that is given,
    the log's own checkpoint needs both signatures. `known_checkpoints` are notes kept elsewhere: those from
    before the second key may have one. Nothing is raised for what is wrong with the log: everything is in
    the report.
    """
    keys = LogKeys(key, mldsa_key)
    report = Report()
    known = _open_known(known_checkpoints, keys, report)
    checks = _verify_log(path, keys, known, origin, report)
    tenants = path / TENANTS
    if tenants.is_dir() and report.origin:
        anchored = checks.anchors.anchors()
        for tenant in sorted({p.name for p in tenants.iterdir() if p.is_dir()} | anchored.keys()):
            heads = [
                Checkpoint(tenant_origin(report.origin, tenant), size, root)
                for size, root in anchored.get(tenant, [])
            ]
            report.tenants[tenant] = _verify_tenant(tenants / tenant, keys, heads)
    return report


def verify_anchored(path: Path, keys: LogKeys, anchored: Iterable[Checkpoint], tenant: str = "") -> Report:
    """Verify the log of one tenant, with heads of it that are known from elsewhere.

    `tenant`: whose it is, where no head need be there to say so.
    """
    report = Report()
    _verify_log(path, keys, sorted(anchored, key=lambda head: head.size), None, report, tenant)
    return report


def _verify_tenant(path: Path, keys: LogKeys, anchored: list[Checkpoint]) -> Report:
    """Verify a tenant's log in its place; one that kms has not signed yet needs no checkpoint.

    Before its first anchor nothing of it counts: a ledger killed then has left bundles written ahead.
    """
    report = verify_anchored(path, keys, anchored, path.name)
    if report.findings:  # a running node may have settled it meanwhile
        report = verify_anchored(path, keys, anchored, path.name)
    if signed_size(path) == 0:
        report.findings = [f for f in report.findings if f.code is not FindingCode.NO_CHECKPOINT]
    return report


def _verify_log(  # noqa: PLR0917 - what is verified, by which keys, against what
    path: Path,
    keys: LogKeys,
    known: list[Checkpoint],
    origin: str | None,
    report: Report,
    tenant: str = "",
) -> _Checks:
    """Verify one log: the installation's, or that of a tenant that is named here, or else by its origin."""
    log = path / LOG if (path / LOG).is_dir() else path
    checkpoint = _read_checkpoint(log, keys, origin, report)
    tree = TreeCheck(TileFiles(log), report.findings.append)
    tree.watch(k.size for k in known)
    if checkpoint is not None:
        report.origin, report.checkpoint_size = checkpoint.origin, checkpoint.size
        tree.watch([checkpoint.size])
    named = _TENANT_ORIGIN.match(report.origin or (known[0].origin if known else ""))
    checks = _Checks(report, tenant or (named[2] if named else ""))
    _walk_bundles(tree, checks, checkpoint)
    segments = log != path and (path / SEGMENTS).is_dir()
    if segments:
        report.torn_bytes = _walk_segments(path / SEGMENTS, tree, checks)
    else:
        _walk_partial(tree, checks, checkpoint)
    report.entries, report.sources = tree.size, checks.numbers.count
    if checkpoint is not None:
        tree.check_partial_files(checkpoint.size, required=True)
    if not segments and tree.size // TILE_WIDTH > report.checkpoint_size // TILE_WIDTH:
        tree.check_partial_files(tree.size, required=False)  # entries that wait for their checkpoint
    tree.check_checkpoint(checkpoint, known)
    tree.check_known(known, checkpoint)
    report.findings.sort(key=_rank)
    report.silent = checks.numbers.silent()
    return checks


def _rank(finding: Finding) -> tuple[bool, int, bool]:
    """Order by place; at one place the tree's word comes before that of the numbers."""
    follows = finding.code in {FindingCode.NUMBER_GAP, FindingCode.NUMBER_REPEATED, FindingCode.BAD_ANCHOR}
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


def _walk_bundles(tree: TreeCheck, checks: _Checks, checkpoint: Checkpoint | None) -> None:
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
        checks.take(index * TILE_WIDTH, entries)
        index += 1


def _walk_partial(tree: TreeCheck, checks: _Checks, checkpoint: Checkpoint | None) -> None:
    """Read the last, incomplete bundle: the checkpoint's, or a longer one that waits for its signature."""
    index = tree.size // TILE_WIDTH
    due = checkpoint.size - tree.size if checkpoint is not None else 0
    width = max([due, *tree.tiles.partial_widths(ENTRIES, index)])
    if 0 < width < TILE_WIDTH:
        checks.take(index * TILE_WIDTH, tree.take_partial(index, width))


def _walk_segments(directory: Path, tree: TreeCheck, checks: _Checks) -> int:
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
        checks.take(at, fresh)
        if fault:
            tree.note_damage(start + len(entries), fault)
            return 0
    return torn_bytes
