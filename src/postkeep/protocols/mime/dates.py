"""Dates of headers (RFC 5322 section 3.3, obsolete forms 4.3), and what senders make of them."""

import re
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

from postkeep.protocols.mime.headers import unfold

_DATE: Final = re.compile(
    rb"(?:[A-Za-z]{3,9}[.,]?\s*,?\s*)?([0-9]{1,2})[\s-]+([A-Za-z]{3})[A-Za-z]*[.,]?[\s-]+([0-9]{2,4})"
    rb"[,\s]+([0-9]{1,2})[:.]([0-9]{2})(?:[:.]([0-9]{2}))?(?:[.][0-9]+)?\s*([+-][0-9]{2}:?[0-9]{2}|[A-Za-z]{1,5})?"
)
_ASCTIME: Final = re.compile(
    rb"(?:[A-Za-z]{3,9},?\s+)?([A-Za-z]{3})[a-z]*\s+([0-9]{1,2}),?\s+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?"
    rb"\s+(?:([+-][0-9]{4}|[A-Z]{1,5})\s+)?([0-9]{4})(?:\s+([+-][0-9]{4}))?"
)
_MONTHS: Final = {
    name: number for number, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)
}
_ZONES: Final = {
    b"EDT": -240,
    b"EST": -300,
    b"CDT": -300,
    b"CST": -360,
    b"MDT": -360,
    b"MST": -420,
    b"PDT": -420,
    b"PST": -480,
}
_VALUE_OCTETS_MAX: Final = 200  # no date is longer, comments included
_TWO_DIGIT_CENTURY: Final = 50  # RFC 5322 section 4.3: below it 20xx, from it on 19xx
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_DAYS_CACHED_MAX: Final = 512
_ZONES_CACHED_MAX: Final = 128
_ZONE_MINUTES_MAX: Final = 24 * 60 - 1


class SentDate(NamedTuple):
    """A moment (milliseconds since 1970, UTC) and the sender's distance from UTC in minutes."""

    ms: int
    zone_minutes: int


def parse_date(value: bytes) -> SentDate | None:
    """Read a Date field; None where it holds no date."""
    text = unfold(value[:_VALUE_OCTETS_MAX])
    found = _DATE.search(text)
    if found is not None:
        day, month, year, hour, minute, second, zone = found.groups()
    else:
        found = _ASCTIME.search(text)
        if found is None:
            return None
        month, day, hour, minute, second, zone, year, late_zone = found.groups()
        zone = zone or late_zone
    return _moment(year, month, day, (hour, minute, second), zone)


def _moment(
    year: bytes, month: bytes, day: bytes, clock: tuple[bytes, bytes, bytes | None], zone: bytes | None
) -> SentDate | None:
    days = _days(year, month, day)
    hours, minutes, seconds = int(clock[0]), int(clock[1]), int(clock[2] or 0)
    if days is None or hours > 23 or minutes > 59 or seconds > 60:  # noqa: PLR2004 - 60: a leap second
        return None
    distance = _zone(zone)
    total = days * 1440 + hours * 60 + minutes - distance
    return SentDate((total * 60 + min(seconds, 59)) * 1000, distance)


@lru_cache(maxsize=_DAYS_CACHED_MAX)
def _days(year: bytes, month: bytes, day: bytes) -> int | None:
    """Count the days since 1970; None: there is no such day."""
    whole = int(year)
    if len(year) < 4:  # noqa: PLR2004 - digits of a year
        whole += 2000 if whole < _TWO_DIGIT_CENTURY else 1900
    try:
        return date(whole, _MONTHS[month.lower()], int(day)).toordinal() - _EPOCH_DAY
    except (ValueError, KeyError):
        return None


@lru_cache(maxsize=_ZONES_CACHED_MAX)
def _zone(zone: bytes | None) -> int:
    if zone is None:
        return 0
    if zone[:1] in b"+-":
        digits = zone[1:].replace(b":", b"")
        minutes = int(digits[:2]) * 60 + int(digits[2:])
        return max(-_ZONE_MINUTES_MAX, min(_ZONE_MINUTES_MAX, -minutes if zone[:1] == b"-" else minutes))
    return _ZONES.get(zone.upper(), 0)
