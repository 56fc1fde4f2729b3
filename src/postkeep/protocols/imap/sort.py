"""What SORT can order by, and how texts are compared (RFC 5256, 5957, 5051)."""

import unicodedata
from collections.abc import Generator, Sequence
from enum import StrEnum
from functools import cache
from typing import Any, Final

import msgspec

from postkeep.protocols.imap.errors import ImapSyntaxError
from postkeep.protocols.imap.limits import LIST_ITEMS_MAX

_CASED_END: Final = 0x20000
"""Unicode gives no letters with case beyond the planes 0 and 1."""
_STEP_PLACES: Final = 16_384
"""Places sorted before others get a turn: some ten milliseconds."""


class SortField(StrEnum):
    """RFC 5256 section 3; the two with DISPLAY: RFC 5957."""

    ARRIVAL = "ARRIVAL"
    CC = "CC"
    DATE = "DATE"
    FROM = "FROM"
    SIZE = "SIZE"
    SUBJECT = "SUBJECT"
    TO = "TO"
    DISPLAYFROM = "DISPLAYFROM"
    DISPLAYTO = "DISPLAYTO"


class SortKey(msgspec.Struct, frozen=True):
    """A field, ascending or with `reverse` descending."""

    field: SortField
    reverse: bool = False


class ThreadAlgorithm(StrEnum):
    """How THREAD finds what belongs together (RFC 5256 section 3)."""

    ORDEREDSUBJECT = "ORDEREDSUBJECT"
    REFERENCES = "REFERENCES"


def check_sort_keys(keys: tuple[SortKey, ...]) -> None:
    """Raise ImapSyntaxError for a list of keys that the grammar has no form for."""
    if not 1 <= len(keys) <= LIST_ITEMS_MAX:
        raise ImapSyntaxError("SORT takes a list of keys.")


def casemap(text: str) -> str:
    """Return the form of i;unicode-casemap (RFC 5051): texts are ordered and equal as their forms are.

    Title case of each character for itself, then its compatibility decomposition. Code points order as the
    octets of UTF-8 do.
    """
    if text.isascii():
        return text.upper()
    return unicodedata.normalize("NFKD", text.translate(_titles()))


@cache
def _titles() -> dict[int, int]:
    """Return the simple title case mapping of UnicodeData: one character to one."""
    titles = {}
    for point in range(_CASED_END):
        title = chr(point).title()
        if len(title) == 1 and ord(title) != point:
            titles[point] = ord(title)
    return titles


def sort_steps(
    places: list[int], values: Sequence[Any], *, reverse: bool
) -> Generator[None, None, list[int]]:
    """Sort places by their values, equal ones staying in order; yields while there is more to do.

    Sorted pieces are merged two by two, so that no step takes longer than one pass over the whole.
    """
    runs = []
    for start in range(0, len(places), _STEP_PLACES):
        runs.append(sorted(places[start : start + _STEP_PLACES], key=values.__getitem__, reverse=reverse))
        yield
    while len(runs) > 1:
        merged = []
        for at in range(0, len(runs), 2):
            run = [place for part in runs[at : at + 2] for place in part]
            if at + 1 < len(runs):
                run.sort(key=values.__getitem__, reverse=reverse)  # finds the two runs, merges them
                yield
            merged.append(run)
        runs = merged
    return runs[0] if runs else []
