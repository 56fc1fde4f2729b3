"""Address lists in headers (RFC 5322 section 3.4, obsolete forms 4.4; RFC 6532 for raw UTF-8)."""

import re
from typing import Final, NamedTuple

from postkeep.protocols.mime.headers import unfold
from postkeep.protocols.mime.limits import ADDRESSES_MAX, COMMENT_DEPTH_MAX, VALUE_OCTETS_MAX


class HeaderAddress(NamedTuple):
    """An entry of an address list, in the flat form that IMAP and JMAP share.

    `domain` None marks a group: with `local` its name, at its beginning; with neither, its end.
    An address without a domain has an empty one.
    """

    display: bytes | None
    """Unquoted, encoded words untouched."""
    local: bytes | None
    domain: bytes | None


GROUP_END: Final = HeaderAddress(None, None, None)

_ATOMS: Final = rb"[^\s\"(),:;<>@\\\[\]]++"
_SIMPLE: Final = re.compile(
    rb'\s*+(?:(?:"([^"\\]*+)"\s*+|([^"(),:;<>@\\\[\]]*+))<(' + _ATOMS + rb")@(" + _ATOMS + rb")>"
    rb"|(" + _ATOMS + rb")@(" + _ATOMS + rb"))\s*+(?:,|\Z)"
)
_PIECE: Final = re.compile(
    rb'"((?:[^"\\]++|\\.)*+)"?|(=\?[^?\s]{1,80}\?[BbQq]\?[^?\s]*+\?=|\[[^\]]*+\]?|'
    + _ATOMS
    + rb")|(\s++)|(.)",
    re.DOTALL,
)
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)


def parse_addresses(value: bytes) -> list[HeaderAddress]:
    """Read a raw address field; what can't be read is left out, the rest stays. Never raises."""
    text = unfold(value[:VALUE_OCTETS_MAX])
    addresses: list[HeaderAddress] = []
    position, length = 0, len(text)
    while position < length:
        found = _SIMPLE.match(text, position)
        if found is None or len(addresses) >= ADDRESSES_MAX:
            return _Reader(text).read() if found is None else addresses
        quoted, phrase, local, domain, bare_local, bare_domain = found.groups()
        if local is None:
            addresses.append(HeaderAddress(None, bare_local, bare_domain))
        else:
            display = phrase.strip() if quoted is None else quoted
            addresses.append(HeaderAddress(display or None, local, domain))
        position = found.end()
    return addresses


class _Reader:
    """Reads what the plain pattern does not cover: groups, comments, routes, quotes in odd places."""

    def __init__(self, text: bytes) -> None:
        self._pieces = _PIECE.finditer(text)
        self._addresses: list[HeaderAddress] = []
        self._in_group = False
        self._reset()

    def _reset(self) -> None:
        self._words: list[bytes] = []
        self._angle: list[bytes] | None = None
        self._angle_closed = False
        self._local: bytes | None = None
        self._comment = b""

    def read(self) -> list[HeaderAddress]:
        for piece in self._pieces:
            if len(self._addresses) >= ADDRESSES_MAX:
                break
            quoted, atom, space, special = piece.groups()
            if quoted is not None:
                self._add(_ESCAPE.sub(rb"\1", quoted), quoted_word=True)
            elif special is None:
                self._add(atom or space or b"", quoted_word=False)
            else:
                self._special(special)
        self._finish()
        if self._in_group:
            self._addresses.append(GROUP_END)
        return self._addresses

    def _add(self, word: bytes, *, quoted_word: bool) -> None:
        if self._angle_closed:
            return
        target = self._words if self._angle is None else self._angle
        if word.isspace() and not quoted_word:
            word = b" " if self._angle is None and self._local is None else b""
        target.append(word)

    def _special(self, special: bytes) -> None:
        if special == b"(":
            self._comment = self._read_comment() or self._comment
        elif special == b",":
            self._comma()
        elif special == b";":
            self._finish()
            if self._in_group:
                self._addresses.append(GROUP_END)
                self._in_group = False
        elif special == b":":
            self._colon()
        elif special == b"<":
            if self._angle is None:
                self._restore_at()
                self._angle = []
        elif special == b">":
            self._angle_closed = self._angle is not None
        elif special == b"@":
            self._at()
        else:
            self._add(special, quoted_word=False)

    def _comma(self) -> None:
        in_route = self._angle is not None and not self._angle_closed and self._local == b""
        if not in_route:
            self._finish()

    def _colon(self) -> None:
        if self._angle is not None:
            # An obsolete route, <@a,@b:local@domain>: nobody follows it, RFC 5321 section 4.1.1.3.
            if not self._angle_closed:
                self._angle, self._local = [], None
            return
        if not self._in_group and self._local is None:
            name = b"".join(self._words).strip()
            self._addresses.append(HeaderAddress(None, name, None))
            self._in_group = True
            self._reset()

    def _at(self) -> None:
        if self._angle_closed:
            return
        if self._local is None:
            words = self._words if self._angle is None else self._angle
            self._local = b"".join(words).strip()
            words.clear()
        else:
            self._add(b"@", quoted_word=False)

    def _restore_at(self) -> None:
        """Take back an @ before `<`: it stood in a display name."""
        if self._local is not None:
            self._words = [self._local, b"@", *self._words]
            self._local = None

    def _read_comment(self) -> bytes:
        depth, text = 1, []
        for piece in self._pieces:
            if piece[0] == b"(" and depth < COMMENT_DEPTH_MAX:
                depth += 1
            elif piece[0] == b")":
                depth -= 1
                if not depth:
                    break
            text.append(piece[0])
        return b"".join(text).strip()

    def _finish(self) -> None:
        words = b"".join(self._words).strip()
        if self._angle is not None:
            rest = b"".join(self._angle).strip()
            display = words or self._comment or None
            if self._local is not None or rest:
                self._append(display, self._local, rest)
        elif self._local is not None:
            self._append(self._comment or None, self._local, words)
        elif words:
            self._append(self._comment or None, None, words)
        self._reset()

    def _append(self, display: bytes | None, local: bytes | None, rest: bytes) -> None:
        if local is None:
            self._addresses.append(HeaderAddress(display, rest, b""))
        else:
            self._addresses.append(HeaderAddress(display, local, rest))
