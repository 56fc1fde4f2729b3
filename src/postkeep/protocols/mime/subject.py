"""The base subject that sorting and threading compare (RFC 5256 section 2.1)."""

import re
from typing import Final

_BLOB: Final = r"\[[^\[\]]*+\]\s*+"
_LEADER: Final = re.compile(rf"\s++|(?:{_BLOB})*+(?:re|fw|fwd)\s*+(?:{_BLOB})?:", re.IGNORECASE)
_LEADING_BLOB: Final = re.compile(_BLOB)
_FORWARDED: Final = re.compile(r"\[fwd:(.*)\]\Z", re.IGNORECASE | re.DOTALL)
_MARKED: Final = re.compile(r"[:\[)]")  # no mark is without one of these
_SUBJECT_CHARACTERS_MAX: Final = 2000  # what stands behind them sorts nothing any more
_ROUNDS_MAX: Final = 64  # replies to replies; each round removes at least one of them


def base_subject(subject: str) -> str:
    """Return a decoded subject without reply and forward marks, `[lists]` and `(fwd)`, spaces collapsed."""
    text = " ".join(subject[:_SUBJECT_CHARACTERS_MAX].split())
    if not _MARKED.search(text):
        return text
    for _ in range(_ROUNDS_MAX):
        text = _strip_leaders(_strip_trailers(text))
        forwarded = _FORWARDED.match(text)
        if forwarded is None:
            return text
        text = forwarded[1]
    return text


def _strip_trailers(text: str) -> str:
    lowered = text.rstrip()
    while lowered[-5:].lower() == "(fwd)":
        lowered = lowered[:-5].rstrip()
    return lowered


def _strip_leaders(text: str) -> str:
    for _ in range(_ROUNDS_MAX):
        leader = _LEADER.match(text)
        if leader is not None:
            text = text[leader.end() :]
            continue
        blob = _LEADING_BLOB.match(text)
        if blob is None or blob.end() == len(text):
            return text
        text = text[blob.end() :]
    return text
