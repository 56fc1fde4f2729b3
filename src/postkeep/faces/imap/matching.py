"""Whether a message matches a SEARCH tree, as far as what is known of it says: yes, no, or not yet. Pure.

Known first is the row, then the summary, then the decoded text; each step is taken only for the messages
that the step before could not decide.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Final, NamedTuple

from postkeep.protocols.imap.search import (
    All,
    And,
    Body,
    Date,
    DateRelation,
    DateSource,
    HasFlag,
    Header,
    Larger,
    ModSeq,
    Not,
    Numbers,
    Or,
    SearchKey,
    Smaller,
    Text,
)
from postkeep.services.delivery.summary import Person, Summary

_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
_EPOCH_DAY: Final = dt.date(1970, 1, 1).toordinal()
_SUMMARY_FIELDS: Final = {"FROM", "TO", "CC", "BCC", "SUBJECT", "MESSAGE-ID", "IN-REPLY-TO"}


class Facts(NamedTuple):
    """What is known of one message."""

    number: int
    uid: int
    flags: tuple[str, ...]
    recent: bool
    date_ms: int
    size: int
    modseq: int
    summary: Summary | None = None
    header: str | None = None
    """The decoded header, one field a line, names in front; None: not read yet."""
    body: str | None = None
    """The decoded text parts; None: not read yet."""


class Sets(NamedTuple):
    """The sequence sets of the tree, resolved in the mailbox."""

    masks: dict[int, bytearray]
    """By the `id` of the Numbers key (a set of thousands of ranges is not hashed for each message): one
    octet for each position, 1 where the set names it."""


def fold(text: str) -> str:
    """Return the form that texts are compared in."""
    return text.casefold()


def match(key: SearchKey, facts: Facts, sets: Sets) -> bool | None:  # noqa: C901, PLR0911 - one branch per key
    """Return whether the message matches; None: more has to be known."""
    match key:
        case All():
            return True
        case HasFlag(flag):
            if flag == "\\Recent":
                return facts.recent
            return flag in facts.flags or _has_keyword(facts.flags, flag)
        case Numbers():
            return bool(sets.masks[id(key)][facts.number - 1])
        case Larger(size):
            return facts.size > size
        case Smaller(size):
            return facts.size < size
        case ModSeq(modseq):
            return facts.modseq >= modseq
        case Date():
            return _match_date(key, facts)
        case Not(inner):
            found = match(inner, facts, sets)
            return None if found is None else not found
        case Or(left, right):
            return _any([match(left, facts, sets), match(right, facts, sets)])
        case And(keys):
            return _all([match(inner, facts, sets) for inner in keys])
        case _:
            return _match_text(key, facts)


def _any(found: Sequence[bool | None]) -> bool | None:
    if any(found):
        return True
    return None if None in found else False


def _all(found: Sequence[bool | None]) -> bool | None:
    if any(value is False for value in found):
        return False
    return None if None in found else True


def _has_keyword(flags: tuple[str, ...], keyword: str) -> bool:
    wanted = keyword.lower()
    return any(flag.lower() == wanted for flag in flags)


def _match_date(key: Date, facts: Facts) -> bool | None:
    if key.source is DateSource.INTERNAL:
        day = facts.date_ms // _DAY_MS
    elif facts.summary is None:
        return None
    elif facts.summary.sent_ms is None:
        return False
    else:
        day = (facts.summary.sent_ms + facts.summary.sent_zone_minutes * _MINUTE_MS) // _DAY_MS
    wanted = key.day.toordinal() - _EPOCH_DAY
    if key.relation is DateRelation.BEFORE:
        return day < wanted
    return day == wanted if key.relation is DateRelation.ON else day >= wanted


def _match_text(key: SearchKey, facts: Facts) -> bool | None:
    if isinstance(key, Header):
        return _match_header(key, facts)
    assert isinstance(key, Body | Text)
    wanted = fold(key.text)
    in_header = False
    if isinstance(key, Text):
        if facts.header is None:
            return None
        in_header = wanted in facts.header
    if in_header or not wanted:
        return True
    return None if facts.body is None else wanted in facts.body


def _match_header(key: Header, facts: Facts) -> bool | None:
    field = key.field.upper()
    wanted = fold(key.text)
    if field in _SUMMARY_FIELDS and wanted:
        if facts.summary is None:
            return None
        return any(wanted in fold(value) for value in _summary_values(field, facts.summary))
    if facts.header is None:
        return None
    prefix = fold(key.field) + ":"
    lines = (line for line in facts.header.split("\n") if line.startswith(prefix))
    return any(wanted in line[len(prefix) :] for line in lines)


def _summary_values(field: str, summary: Summary) -> list[str]:
    match field:
        case "SUBJECT":
            return [summary.subject]
        case "MESSAGE-ID":
            return [f"<{summary.message_id}>"]
        case "IN-REPLY-TO":
            return [" ".join(f"<{reference}>" for reference in summary.in_reply_to)]
        case "FROM":
            return _people(summary.from_)
        case "TO":
            return _people(summary.to)
        case "CC":
            return _people(summary.cc)
    return _people(summary.bcc)


def _people(people: Sequence[Person]) -> list[str]:
    return [f"{person.display} <{person.address}>" for person in people]
