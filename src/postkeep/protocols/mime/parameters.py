"""Values with parameters: Content-Type and Content-Disposition (RFC 2045 5.1, RFC 2183, RFC 2231)."""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from postkeep.protocols.mime.charsets import decode_octets
from postkeep.protocols.mime.headers import unfold
from postkeep.protocols.mime.limits import COMMENT_DEPTH_MAX, PARAMETERS_MAX, VALUE_OCTETS_MAX
from postkeep.protocols.mime.message import Parameters
from postkeep.protocols.mime.words import decode_words

_CACHED_OCTETS_MAX: Final = 80  # longer values hold boundaries and names that never come back
_CACHED_VALUES_MAX: Final = 1024

_TOKEN: Final = re.compile(rb"[^\s;/\"]+")
_TYPE: Final = re.compile(rb"([^\s;/\"]++)\s*+(?:/\s*+([^\s;/\"]++))?")
_PARAMETER: Final = re.compile(
    rb';\s*+([^\s=;"]++)\s*+=\s*+(?:"((?:[^"\\]++|\\.)*+)(?:"|\Z)|([^;"\s]*+))', re.DOTALL
)
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)
_SECTION: Final = re.compile(rb"([^*]+)\*(?:([0-9]{1,3})(\*)?)?\Z")
_COMMENT_PIECE: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[()]|\\.|[^"()\\]++|\\', re.DOTALL)

Valued = tuple[bytes, bytes, Parameters]


def parse_content_type(value: bytes) -> Valued | None:
    """Return type, subtype (both in lower case) and parameters; None where there is no type to be seen."""
    return _parse_type_cached(value) if len(value) <= _CACHED_OCTETS_MAX else _parse_type(value)


def parse_disposition(value: bytes) -> tuple[bytes, Parameters] | None:
    """Return the disposition in lower case and its parameters; None where it names none."""
    text = _prepare(value)
    found = _TOKEN.match(text)
    return None if found is None else (found[0].lower(), _parameters(text, found.end()))


def decoded_parameter(parameters: Parameters, name: bytes) -> str:
    """Return a parameter as text, from its extended form (RFC 2231) or from encoded words; empty: absent."""
    extended = name + b"*"
    plain = ""
    for key, value in parameters:
        if key == extended:
            charset, _, rest = value.partition(b"'")
            return decode_octets(unquote_to_bytes(rest.partition(b"'")[2]), charset)
        if key == name:
            plain = decode_words(value)
    return plain


def _parse_type(value: bytes) -> Valued | None:
    text = _prepare(value)
    found = _TYPE.match(text)
    if found is None or found[2] is None:
        return None
    return found[1].lower(), found[2].lower(), _parameters(text, found.end())


_parse_type_cached = lru_cache(maxsize=_CACHED_VALUES_MAX)(_parse_type)


def _prepare(value: bytes) -> bytes:
    text = unfold(value[:VALUE_OCTETS_MAX])
    return strip_comments(text) if b"(" in text else text


def strip_comments(text: bytes) -> bytes:
    """Drop comments (RFC 5322 section 3.2.2), nested ones too; parentheses inside quotes stay."""
    kept: list[bytes] = []
    depth = 0
    for piece in _COMMENT_PIECE.findall(text):
        if piece == b"(" and depth < COMMENT_DEPTH_MAX:
            depth += 1
        elif piece == b")" and depth:
            depth -= 1
        elif not depth:
            kept.append(piece)
    return b"".join(kept).strip(b" \t")


def _parameters(text: bytes, position: int) -> Parameters:
    pairs: list[tuple[bytes, bytes]] = []
    starred = False
    for name, quoted, token in _PARAMETER.findall(text, position):
        if b"*" in name:
            starred = True
        if quoted:
            pairs.append((name.lower(), _ESCAPE.sub(rb"\1", quoted) if b"\\" in quoted else quoted))
        else:
            pairs.append((name.lower(), token))
        if len(pairs) == PARAMETERS_MAX:
            break
    return _join_continuations(pairs) if starred else tuple(pairs)


def _join_continuations(pairs: list[tuple[bytes, bytes]]) -> Parameters:
    """Put `name*0`, `name*1*` ... together, in numeric order up to the first gap (RFC 2231 section 3)."""
    joined: dict[bytes, bytes] = {}
    pieces: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    for name, value in pairs:
        found = _SECTION.match(name)
        if found is None or found[2] is None:
            joined.setdefault(name, value)
            continue
        pieces.setdefault(found[1], {}).setdefault(int(found[2]), (value, found[3] is not None))
    for name, numbered in pieces.items():
        sections = [numbered[number] for number in range(len(numbered)) if number in numbered]
        if any(encoded for _, encoded in sections):
            text = b"".join(value if encoded else _percent(value) for value, encoded in sections)
            joined[name + b"*"] = text if text.count(b"'") >= 2 else b"''" + text  # noqa: PLR2004 - RFC 2231's two
        else:
            joined[name] = b"".join(value for value, _ in sections)
    return tuple(joined.items())


def _percent(value: bytes) -> bytes:
    return value.replace(b"%", b"%25").replace(b"'", b"%27")
