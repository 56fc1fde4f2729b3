"""From what the database joins together to the columns of the wire."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence

from asyncpg import Record

from postkeep.base.ids import ID_BYTES
from postkeep.services.vault.flags import flag_names
from postkeep.services.vault.rows_api import Rows
from postkeep.stores.vault_borders import little_endian, native


def rows_of(record: Record) -> Rows:
    """Read the columns of `stores.vault_rows.COLUMNS`."""
    packed = record["uids_sizes"]
    if packed is None:
        return Rows()
    uids = _narrow(packed, 0)
    sets, flags = _flags(record, uids)
    return Rows(
        uids=uids,
        modseqs=_turned(record["modseqs"], 8),
        flags=flags,
        flag_sets=sets,
        dates=_turned(record["dates"], 8),
        sizes=_narrow(packed, 4),
        saved=_saved(record["saved_flags"]),
        bodies=record["bodies"],
    )


def _turned(data: bytes, width: int) -> bytes:
    """Turn big-endian numbers of a width into little-endian ones."""
    turned = bytearray(len(data))
    for place in range(width):
        turned[width - 1 - place :: width] = data[place::width]
    return bytes(turned)


def _narrow(data: bytes, start: int) -> bytes:
    """Take the four octets at `start` of each eight, little-endian."""
    narrow = bytearray(len(data) // 2)
    for place in range(4):
        narrow[3 - place :: 4] = data[start + place :: 8]
    return bytes(narrow)


def _saved(data: bytes) -> bytes:
    """Take the upper six octets of each eight as a number of eight octets."""
    saved = bytearray(len(data))
    for place in range(6):
        saved[5 - place :: 8] = data[place::8]
    return bytes(saved)


def _flags(record: Record, uids: bytes) -> tuple[list[tuple[str, ...]], bytes]:
    """List the sets of flags that occur, and say which one each row has."""
    bits = record["saved_flags"][7::8]
    used = sorted(set(bits))
    sets = [flag_names(mask, None) for mask in used]
    table = bytearray(256)
    for number, mask in enumerate(used):
        table[mask] = number
    flags = bytearray(2 * len(bits))
    flags[::2] = bits.translate(table)
    if record["worded"] is None:
        return sets, bytes(flags)
    numbers: dict[tuple[int, str], int] = {}
    places = native(uids, "I")
    place = 0
    for uid, words in zip(record["worded"], record["words"], strict=True):
        place = bisect_left(places, uid, place)
        key = bits[place], words
        number = numbers.setdefault(key, len(sets))
        if number == len(sets):
            sets.append(flag_names(bits[place], words.split(" ")))
        flags[2 * place] = number & 0xFF
        flags[2 * place + 1] = number >> 8
    return sets, bytes(flags)


def taken(rows: Rows, places: Sequence[int]) -> Rows:
    """Take some rows, by their places."""

    def column(data: bytes, width: int) -> bytes:
        return b"".join(data[place * width : (place + 1) * width] for place in places)

    return Rows(
        column(rows.uids, 4),
        column(rows.modseqs, 8),
        column(rows.flags, 2),
        rows.flag_sets,
        column(rows.dates, 8),
        column(rows.sizes, 4),
        column(rows.saved, 8),
        column(rows.bodies, ID_BYTES),
    )


def pairs(runs: list[tuple[int, int]]) -> bytes:
    """Write runs as pairs of u32."""
    return little_endian(array("I", [uid for run in runs for uid in run]))
