"""Dates on the wire: `date` and `date-time` of RFC 3501 section 9."""

import datetime as dt
import re
from functools import lru_cache

from postkeep.protocols.imap.errors import ImapSyntaxError

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name.upper(): number for number, name in enumerate(_MONTHS, 1)}
_DATE = re.compile(rb"(\d{1,2})-([A-Za-z]{3})-(\d{4})\Z")
_DATE_TIME = re.compile(
    rb"([ \d]\d)-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)\Z",
)
_DAY_SECONDS = 86_400
# Written once: FETCH writes the date of every message of a mailbox.
_MINUTES = [b"%02d:%02d:" % divmod(minute, 60) for minute in range(24 * 60)]
_SECONDS = [b'%02d +0000"' % second for second in range(60)]
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def parse_date(raw: bytes) -> dt.date:
    """Read `1-Feb-1994`; raises ImapSyntaxError."""
    match = _DATE.match(raw)
    if match is None:
        raise ImapSyntaxError("A date has the form 1-Feb-1994.")
    try:
        return dt.date(int(match.group(3)), _month(match.group(2)), int(match.group(1)))
    except ValueError as exc:
        raise ImapSyntaxError("There is no such date.") from exc


def render_date(value: dt.date) -> bytes:
    """Write `1-Feb-1994`."""
    return b"%d-%s-%04d" % (value.day, _MONTHS[value.month - 1].encode(), value.year)


def parse_date_time(raw: bytes) -> int:
    """Read ` 7-Feb-1994 21:52:25 -0800` as milliseconds since 1970; raises ImapSyntaxError."""
    match = _DATE_TIME.match(raw)
    if match is None:
        raise ImapSyntaxError("A date and time has the form 07-Feb-1994 21:52:25 -0800.")
    day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
    offset = dt.timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
    try:
        zone = dt.timezone(-offset if sign == b"-" else offset)
        moment = dt.datetime(
            int(year),
            _month(month),
            int(day),
            int(hour),
            int(minute),
            min(int(second), 59),
            tzinfo=zone,
        )
        return max(int((moment - _EPOCH).total_seconds()), 0) * 1000
    except (ValueError, OverflowError) as exc:
        raise ImapSyntaxError("There is no such date.") from exc


def render_date_time(value_ms: int) -> bytes:
    """Write milliseconds since 1970 as a quoted date-time in UTC."""
    days, seconds = divmod(value_ms // 1000, _DAY_SECONDS)
    return _day(days) + _MINUTES[seconds // 60] + _SECONDS[seconds % 60]


@lru_cache(maxsize=1024)
def _day(days: int) -> bytes:
    day = dt.date(1970, 1, 1) + dt.timedelta(days=days)
    return b'"%02d-%s-%04d ' % (day.day, _MONTHS[day.month - 1].encode(), day.year)


def _month(raw: bytes) -> int:
    try:
        return _MONTH_NUMBERS[raw.decode("ascii").upper()]
    except KeyError as exc:
        raise ImapSyntaxError("There is no such month.") from exc
