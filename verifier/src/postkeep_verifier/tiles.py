"""The files of a log, and one bundle of entries held against the hashes that stand over it.

Source: C2SP tlog-tiles. Bundles `tile/entries/<N>` hold 256 entries, each after its length in two octets;
tiles `tile/<L>/<N>` hold the hashes of level 8*L of the tree; `.p/<W>` is an incomplete one of width W.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from postkeep_verifier.merkle import leaf_hash

WIDTH = 256  # entries in a bundle, hashes in a tile
ENTRIES = "entries"
BUNDLE_BYTES_MAX = 2 * WIDTH * 65_537  # octets: twice what a bundle can have, so that insertions are seen

Octets = list[bytes] | None
Bundles = list[tuple[int, Octets]]
"""The index of each bundle's first entry, and its entries; None where they are not to be believed."""


class Finding(NamedTuple):
    """One fault: its kind (a stable word), the entry that it is about, and what its sentence names."""

    kind: str
    entry: int | None
    values: dict[str, object]
    instead: "Finding | None" = None  # what it is if the log's root is not the one that was signed


def found(kind: str, entry: int | None, **values: object) -> Finding:
    """Make a finding."""
    return Finding(kind, entry, values)


def tile_path(level: int | str, index: int, width: int = WIDTH) -> str:
    """Return the path of a tile, or for the level "entries" of a bundle."""
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03d}")
    return f"tile/{level}/{'/'.join(groups)}" + ("" if width == WIDTH else f".p/{width}")


def read_tile(log: Path, level: int, index: int, width: int = WIDTH) -> list[bytes] | None:
    """Read a tile of the width asked for, or the beginning of the whole one; None if there is none."""
    for shape in (width, WIDTH):
        data = _read(log / tile_path(level, index, shape), WIDTH * 32)
        if data is not None and len(data) == shape * 32:
            return [data[i : i + 32] for i in range(0, width * 32, 32)]
    return None


def read_bundle(log: Path, index: int, width: int = WIDTH) -> tuple[list[bytes], bool] | None:
    """Read a bundle's entries, and whether they are what it should hold; None if there is no such file."""
    for shape in (width, WIDTH):
        data = _read(log / tile_path(ENTRIES, index, shape), BUNDLE_BYTES_MAX)
        if data is not None:
            entries, whole = _split(data)
            return (entries[:width], True) if whole and len(entries) == shape else (entries, False)
    return None


def _read(path: Path, limit: int) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError:
        return None


def _split(data: bytes) -> tuple[list[bytes], bool]:
    """Split off all whole entries; say whether nothing is left over."""
    entries: list[bytes] = []
    position, end = 0, len(data)
    while position < end:
        after = position + 2 + int.from_bytes(data[position : position + 2], "big")
        if after > end or position + 2 > end:
            return entries, False
        entries.append(data[position + 2 : after])
        position = after
    return entries, True


def check_bundle(log: Path, number: int, width: int) -> tuple[Octets, Octets, list[Finding]]:
    """Return a bundle's entries (None: not to be believed), leaf hashes (None: unknown) and faults."""
    start, place, tile = number * WIDTH, tile_path(ENTRIES, number, width), tile_path(0, number, width)
    expected, bundle = read_tile(log, 0, number, width), read_bundle(log, number, width)
    faults = [] if expected else [found("file_missing", start, place=tile)]
    if bundle is None:
        return None, expected, [*faults, found("file_missing", start, place=place)]
    entries, whole = bundle
    leaves = [leaf_hash(entry) for entry in entries]
    if whole and expected in (None, leaves):
        return entries, leaves, faults
    if expected is None:
        return None, None, [*faults, found("file_damaged", start, place=place)]
    at, kind = classify(leaves, expected)
    if not whole:
        return None, expected, [found(kind, start + at, place=place)]
    # Entries or tile, one of them is wrong: the signed head decides (`tree`).
    fault = found(kind, start + at, place=place, tile=tile)
    return entries, leaves, [found("tile_altered", start + at, place=tile)._replace(instead=fault)]


def classify(leaves: Sequence[bytes], expected: Sequence[bytes]) -> tuple[int, str]:
    """Say where two rows of hashes begin to differ, and what would explain it."""
    shorter = min(len(leaves), len(expected))
    at = next((i for i in range(shorter) if leaves[i] != expected[i]), shorter)
    rest, wanted = leaves[at:], expected[at:]
    if not rest or not wanted:
        return at, "entry_inserted" if rest else "entry_removed"
    if any(r == wanted[0] and rest[0] == w for r, w in zip(rest[1:], wanted[1:], strict=False)):
        return at, "entries_swapped"
    fewer, more = min(len(rest), len(wanted) - 1), min(len(rest) - 1, len(wanted))
    if fewer and len(rest) <= len(wanted) and rest[:fewer] == wanted[1 : fewer + 1]:
        return at, "entry_removed"
    return at, "entry_inserted" if more and rest[1 : more + 1] == wanted[:more] else "entry_altered"
