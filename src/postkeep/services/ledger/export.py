"""One tenant's log as a directory of its own, to be given to the tenant, and the check of such a directory.

It holds the log as its signed checkpoint counts it, the installation's checkpoint, and the anchors that tie
the one to the other: each an entry of the installation's log with the proof that it stands in it. Nothing
of another tenant is in it but hashes.
"""

import shutil
from pathlib import Path
from typing import Final

import msgspec

from postkeep.base.errors import IntegrityError, NotFoundError
from postkeep.crypto.merkle import Nodes, inclusion_proof, leaf_hash, perfect_root, verify_inclusion
from postkeep.crypto.note import Checkpoint, parse_checkpoint, peek_note
from postkeep.model.audit import EventName
from postkeep.services.ledger.finding import Finding, FindingCode
from postkeep.services.ledger.reading import read_entry
from postkeep.services.ledger.verify import LogKeys, Report, verify_anchored
from postkeep.stores.ledger_log import CHECKPOINT, LOG
from postkeep.stores.ledger_tenants import TENANTS, read_anchors, tenant_origin
from postkeep.stores.ledger_tiles import (
    DIRECTORY_MODE,
    ENTRIES,
    TILE_LEVEL_BITS,
    TILE_LEVELS_MAX,
    TILE_WIDTH,
    TileFiles,
    encode_entries,
    partial_width,
    tile_name,
)

ANCHORS_FILE: Final = "anchors.json"
INSTALLATION_FILE: Final = "installation-checkpoint"
ANCHORS_EXPORTED_MAX: Final = 256  # the last ones: each proves everything before it
ANCHORS_BYTES_MAX: Final = 4 * 1024 * 1024  # octets of the file: 256 anchors have some 600 KB
_NOTE_BYTES_MAX: Final = 131_072


class ExportedAnchor(msgspec.Struct, frozen=True):
    """An anchor and its proof. Octets are base64 in the file."""

    index: int
    entry: bytes
    proof: list[bytes]


class ExportedAnchors(msgspec.Struct, frozen=True):
    """The anchors of one tenant's log in the installation's log of `size` entries."""

    origin: str
    tenant: str
    size: int
    anchors: list[ExportedAnchor]


def nodes_of(tiles: TileFiles, size: int) -> Nodes:
    """Return the reader of nodes of a log of `size` entries whose tiles lie in files."""

    def node(level: int, index: int) -> bytes:
        tile_level, within = divmod(level, TILE_LEVEL_BITS)
        begin = index << within
        tile = begin // TILE_WIDTH
        whole = tiles.has(tile_level, tile)
        row = tiles.stored(tile_level, tile, TILE_WIDTH if whole else partial_width(size, tile_level))
        return perfect_root(row[begin % TILE_WIDTH :][: 1 << within])

    return node


def export_tenant(ledger: Path, tenant: str, target: Path) -> int:
    """Write a tenant's log into a new directory; return how many entries it has.

    NotFoundError if the tenant has no signed log (yet); IntegrityError if files are missing or damaged;
    OSError if `target` exists or can't be written.
    """
    source = ledger / TENANTS / tenant
    note, installation = (_note(source / LOG / CHECKPOINT), _note(ledger / LOG / CHECKPOINT))
    head, whole = parse_checkpoint(peek_note(note)), parse_checkpoint(peek_note(installation))
    target.mkdir(mode=DIRECTORY_MODE)
    _copy_tiles(TileFiles(source / LOG), target / LOG, head.size)
    (target / LOG / CHECKPOINT).write_bytes(note)
    (target / INSTALLATION_FILE).write_bytes(installation)
    tiles = TileFiles(ledger / LOG)
    node = nodes_of(tiles, whole.size)
    anchors = [
        ExportedAnchor(anchor.entry, _entry(tiles, anchor.entry, whole.size), proof)
        for anchor in read_anchors(source, ANCHORS_EXPORTED_MAX)
        if anchor.entry < whole.size and anchor.size <= head.size
        for proof in [inclusion_proof(anchor.entry, whole.size, node)]
    ]
    value = ExportedAnchors(whole.origin, tenant, whole.size, anchors)
    (target / ANCHORS_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1))
    return head.size


def is_export(directory: Path) -> bool:
    """Say whether a directory is one that `export_tenant` has made."""
    return (directory / ANCHORS_FILE).is_file()


def verify_export(directory: Path, keys: LogKeys) -> Report:
    """Verify an exported log: its entries, its checkpoint, and its anchors in the installation's log."""
    faults: list[Finding] = []
    heads: list[Checkpoint] = []
    try:
        with (directory / ANCHORS_FILE).open("rb") as file:
            told = msgspec.json.decode(file.read(ANCHORS_BYTES_MAX), type=ExportedAnchors)
        installation = keys.open(_note(directory / INSTALLATION_FILE), told.origin, required=True)
        heads = [_check_anchor(anchor, told.tenant, installation) for anchor in told.anchors]
    except msgspec.MsgspecError:
        faults.append(Finding(FindingCode.FILE_DAMAGED, None, f"{ANCHORS_FILE} is malformed"))
    except (IntegrityError, NotFoundError) as error:
        faults.append(Finding(FindingCode.BAD_CHECKPOINT, None, "the installation's", error.detail))
    report = verify_anchored(directory, keys, heads)
    if not faults and all(head.size != report.checkpoint_size for head in heads):
        faults.append(Finding(FindingCode.NOT_ANCHORED, None, str(report.checkpoint_size)))
    report.findings += faults
    return report


def _check_anchor(anchor: ExportedAnchor, tenant: str, installation: Checkpoint) -> Checkpoint:
    leaf = leaf_hash(anchor.entry)
    verify_inclusion(anchor.index, leaf, installation.size, installation.root, anchor.proof)
    event = read_entry(anchor.entry)
    if event is None or event.event != EventName.LEDGER_ANCHOR or event.tenant != tenant:
        raise IntegrityError(f"entry {anchor.index} of the installation's log is no anchor of this log")
    return Checkpoint(tenant_origin(installation.origin, tenant), event.count, bytes.fromhex(event.digest))


def _copy_tiles(tiles: TileFiles, target: Path, size: int) -> None:
    for level in (ENTRIES, *range(TILE_LEVELS_MAX)):
        number = 0 if level == ENTRIES else int(level)
        last, width = size >> TILE_LEVEL_BITS * (number + 1), partial_width(size, number)
        for index in range(last + bool(width)):
            # A full one may have taken the place of the incomplete one since.
            part = width if index == last else TILE_WIDTH
            _copy(tiles, target, level, index, part)


def _copy(tiles: TileFiles, target: Path, level: int | str, index: int, width: int) -> None:
    path = target / tile_name(level, index, width)
    path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    source = tiles.directory / tile_name(level, index, width)
    if source.exists() or not tiles.has(level, index):
        shutil.copyfile(source, path)
        return
    copied = TileFiles(target)
    if level == ENTRIES:
        copied.write(level, index, encode_entries(tiles.bundle(index)[:width]), width)
    else:
        copied.write(level, index, b"".join(tiles.stored(int(level), index)[:width]), width)


def _entry(tiles: TileFiles, index: int, size: int) -> bytes:
    bundle = index // TILE_WIDTH
    width = TILE_WIDTH if tiles.has(ENTRIES, bundle) else partial_width(size, 0)
    return tiles.bundle(bundle, width)[index % TILE_WIDTH]


def _note(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_NOTE_BYTES_MAX)
    except FileNotFoundError:
        raise NotFoundError(f"{path.name} is not there") from None
