"""Rows of messages as the vault answers them: columns, made from plain values."""

from array import array
from collections.abc import Iterable
from typing import NamedTuple

from postkeep.services.vault.rows_api import Rows


class Row(NamedTuple):
    """One message."""

    uid: int
    modseq: int = 1
    flags: tuple[str, ...] = ()

    @property
    def body(self) -> bytes:
        return self.uid.to_bytes(16, "big")


def columns_of(rows: Iterable[Row]) -> Rows:
    """Lay rows out in columns; date, size and body follow from the UID."""
    rows = list(rows)
    sets = list(dict.fromkeys(row.flags for row in rows))
    uids = [row.uid for row in rows]
    return Rows(
        array("I", uids).tobytes(),
        array("Q", [row.modseq for row in rows]).tobytes(),
        array("H", [sets.index(row.flags) for row in rows]).tobytes(),
        sets,
        array("q", [1000 * uid for uid in uids]).tobytes(),
        array("I", [10 * uid for uid in uids]).tobytes(),
        array("q", [1000 * uid + 1 for uid in uids]).tobytes(),
        b"".join(row.body for row in rows),
    )


def packed(*runs: tuple[int, int]) -> bytes:
    """Pack runs of UIDs as `vault.select` answers them."""
    return array("I", [number for run in runs for number in run]).tobytes()
