"""The base subject that sorting and threading compare (RFC 5256 section 2.1)."""

import re
from typing import Final, NamedTuple

_BLOB: Final = r"\[[^\[\]]*+\]\s*+"
_LEADER: Final = re.compile(rf"\s++|(?:{_BLOB})*+(?:re|fw|fwd)\s*+(?:{_BLOB})?:", re.IGNORECASE)
_LEADING_BLOB: Final = re.compile(_BLOB)
_FORWARDED: Final = re.compile(r"\[fwd:(.*)\]\Z", re.IGNORECASE | re.DOTALL)
_MARKED: Final = re.compile(r"[:\[)]")  # no mark is without one of these
_SUBJECT_CHARACTERS_MAX: Final = 2000  # what stands behind them sorts nothing any more
_ROUNDS_MAX: Final = 64  # replies to replies; each round removes at least one of them


class Subject(NamedTuple):
    """A subject without its marks, and whether one of them says reply or forward."""

    base: str
    is_reply: bool


def base_subject(subject: str) -> str:
    """Return a decoded subject without reply and forward marks, `[lists]` and `(fwd)`, spaces collapsed."""
    return split_subject(subject).base


def split_subject(subject: str) -> Subject:
    """Take a decoded subject apart."""
    text = " ".join(subject[:_SUBJECT_CHARACTERS_MAX].split())
    is_reply = False
    if not _MARKED.search(text):
        return Subject(text, is_reply)
    for _ in range(_ROUNDS_MAX):
        ended = _strip_trailers(text)
        started = _strip_leaders(ended)
        is_reply |= ended != text or started.is_reply
        text = started.base
        forwarded = _FORWARDED.match(text)
        if forwarded is None:
            return Subject(text, is_reply)
        text, is_reply = forwarded[1], True
    return Subject(text, is_reply)


def _strip_trailers(text: str) -> str:
    lowered = text.rstrip()
    while lowered[-5:].lower() == "(fwd)":
        lowered = lowered[:-5].rstrip()
    return lowered


def _strip_leaders(text: str) -> Subject:
    is_reply = False
    for _ in range(_ROUNDS_MAX):
        leader = _LEADER.match(text)
        if leader is not None:
            is_reply |= leader[0].endswith(":")
            text = text[leader.end() :]
            continue
        blob = _LEADING_BLOB.match(text)
        if blob is None or blob.end() == len(text):
            break
        text = text[blob.end() :]
    return Subject(text, is_reply)
