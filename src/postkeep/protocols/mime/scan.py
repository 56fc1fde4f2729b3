"""The scanner: one message in, the tree of its parts with exact offsets out (RFC 2045, 2046).

It never decodes a body and never raises: broken mail is mail. Bodies are crossed with `bytes.find` and
`bytes.count` only, at most once per level of nesting.
"""

import re
from typing import Final, NamedTuple

from postkeep.protocols.mime import limits
from postkeep.protocols.mime.headers import header_end, index_fields, unfold
from postkeep.protocols.mime.message import Message, Parameters, Part
from postkeep.protocols.mime.parameters import Valued, parse_content_type, parse_disposition

_DELIMITER_REST: Final = re.compile(rb"(--)?+[ \t]*+(?:\r?\n|\Z)")
_TEXT: Final[Valued] = (b"text", b"plain", ((b"charset", b"us-ascii"),))
_ENCLOSED: Final[Valued] = (b"message", b"rfc822", ())
_OPAQUE: Final[Valued] = (b"application", b"octet-stream", ())
_MESSAGES: Final = (b"rfc822", b"global")
_ENCODING: Final = re.compile(rb"[!-~]{1,40}")


def parse(message: bytes) -> Message:
    """Scan a message. Works on any bytes; what goes beyond a limit stays one opaque part."""
    return _Scan(message).message(0, len(message), "", 0)


class _Scan:
    """The budgets of one message, and the walk that spends them."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._parts_left = limits.PARTS_MAX
        self._candidates_left = limits.CANDIDATES_MAX
        self._header_octets_left = limits.HEADERS_OCTETS_MAX

    def message(self, start: int, end: int, prefix: str, depth: int) -> Message:
        """Scan the message at `[start, end)`; its parts are numbered behind `prefix`."""
        body = header_end(self._data, start, end)
        fields = self._fields(start, body)
        root = self._part(fields, (start, body, end), (prefix, True), _TEXT, depth)
        return Message(self._data, start, body, end, fields, root)

    def _fields(self, start: int, body: int) -> dict[bytes, bytes]:
        octets = min(body - start, limits.HEADER_OCTETS_MAX, self._header_octets_left)
        self._header_octets_left -= octets
        return index_fields(self._data, start, start + octets)

    def _part(
        self,
        fields: dict[bytes, bytes],
        span: tuple[int, int, int],
        place: tuple[str, bool],
        default: Valued,
        depth: int,
    ) -> Part:
        start, body, end = span
        value = fields.get(b"content-type")
        kind, subtype, parameters = (parse_content_type(value) if value else None) or default
        self._parts_left -= 1
        name, is_root = place
        children: tuple[Part, ...] = ()
        enclosed: Message | None = None
        lines = 0
        if kind == b"multipart":
            section, prefix = ("", name) if is_root else (name, name + ".")
            children = self._children(parameters, (body, end), prefix, subtype, depth + 1)
        else:
            section = name + "1" if is_root else name
            if kind == b"text":
                lines = self._data.count(b"\n", body, end)
            elif kind == b"message" and subtype in _MESSAGES:
                if depth < limits.DEPTH_MAX and self._parts_left > 0:
                    enclosed = self.message(body, end, section + ".", depth + 1)
                    lines = self._data.count(b"\n", body, end)
                else:
                    kind, subtype, parameters = _OPAQUE
        rare = _NOTHING_RARE if fields.keys() <= _PLAIN_FIELDS else _rare(fields)
        return Part(
            section=section,
            header_offset=start,
            body_offset=body,
            end=end,
            type=kind,
            subtype=subtype,
            parameters=parameters,
            encoding=_encoding(fields.get(b"content-transfer-encoding")),
            id=rare.id,
            description=rare.description,
            md5=rare.md5,
            location=rare.location,
            languages=rare.languages,
            disposition=rare.disposition[0],
            disposition_parameters=rare.disposition[1],
            lines=lines,
            children=children,
            message=enclosed,
        )

    def _children(
        self, parameters: Parameters, span: tuple[int, int], prefix: str, subtype: bytes, depth: int
    ) -> tuple[Part, ...]:
        body, end = span
        boundary = next((value for name, value in parameters if name == b"boundary"), b"").rstrip()
        if depth > limits.DEPTH_MAX or len(boundary) > limits.BOUNDARY_OCTETS_MAX:
            return (self._plain(prefix + "1", body, end, _OPAQUE),)
        spans, is_whole = self._spans(b"\n--" + boundary, body, end) if boundary else ([], True)
        if not spans:
            # No delimiter: readers see the body as it is rather than nothing.
            return (self._plain(prefix + "1", body, end, _TEXT if is_whole else _OPAQUE),)
        default = _ENCLOSED if subtype == b"digest" else _TEXT
        children: list[Part] = []
        for number, (start, stop) in enumerate(spans, 1):
            if self._parts_left <= 0 or (not is_whole and number == len(spans)):
                children.append(self._plain(f"{prefix}{number}", start, end, _OPAQUE))
                break
            part_body = header_end(self._data, start, stop)
            fields = self._fields(start, part_body)
            children.append(
                self._part(fields, (start, part_body, stop), (f"{prefix}{number}", False), default, depth)
            )
        return tuple(children)

    def _spans(self, delimiter: bytes, body: int, end: int) -> tuple[list[tuple[int, int]], bool]:
        """Return where the parts between delimiters lie, and whether no limit cut the search short."""
        data, length = self._data, len(delimiter)
        spans: list[tuple[int, int]] = []
        start = -1
        at = data.find(delimiter, body - 1, end) if body else -1
        while at >= 0:
            self._candidates_left -= 1
            if self._candidates_left < 0 or len(spans) >= self._parts_left:
                return [*spans, (max(start, body), end)], False
            rest = _DELIMITER_REST.match(data, at + length, end)
            if rest is not None:
                if start >= 0:
                    stop = at - 1 if data[at - 1] == 13 else at  # noqa: PLR2004 - CR
                    spans.append((start, max(stop, start)))
                if rest[1]:
                    return spans, True
                start = rest.end()
                at = data.find(delimiter, start - 1, end)
            else:
                at = data.find(delimiter, at + 1, end)
        if start >= 0:
            spans.append((start, end))
        return spans, True

    def _plain(self, section: str, start: int, end: int, kind: Valued) -> Part:
        self._parts_left -= 1
        lines = self._data.count(b"\n", start, end) if kind is _TEXT else 0
        return Part(
            section=section,
            header_offset=start,
            body_offset=start,
            end=end,
            type=kind[0],
            subtype=kind[1],
            parameters=kind[2],
            lines=lines,
        )


_PLAIN_FIELDS: Final = frozenset((b"content-type", b"content-transfer-encoding"))


class _Rare(NamedTuple):
    """What most parts do not say."""

    id: bytes | None = None
    description: bytes | None = None
    md5: bytes | None = None
    location: bytes | None = None
    languages: tuple[bytes, ...] = ()
    disposition: tuple[bytes | None, Parameters] = (None, ())


_NOTHING_RARE: Final = _Rare()


def _rare(fields: dict[bytes, bytes]) -> _Rare:
    disposition = fields.get(b"content-disposition")
    return _Rare(
        _text(fields.get(b"content-id")),
        _text(fields.get(b"content-description")),
        _text(fields.get(b"content-md5")),
        _text(fields.get(b"content-location")),
        _languages(fields.get(b"content-language")),
        (parse_disposition(disposition) if disposition else None) or (None, ()),
    )


def _encoding(value: bytes | None) -> bytes:
    found = _ENCODING.search(value) if value else None
    return found[0].lower() if found else b"7bit"


def _text(value: bytes | None) -> bytes | None:
    return (unfold(value[: limits.VALUE_OCTETS_MAX]) or None) if value else None


def _languages(value: bytes | None) -> tuple[bytes, ...]:
    if not value:
        return ()
    tags = unfold(value[: limits.VALUE_OCTETS_MAX]).split(b",", limits.PARAMETERS_MAX)
    return tuple(tag.strip() for tag in tags if tag.strip())
