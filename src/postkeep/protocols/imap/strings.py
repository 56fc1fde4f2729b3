"""Strings in the form that their octets need: atom, quoted or literal (RFC 3501 section 4.3)."""

import re

from postkeep.protocols.imap.utf7 import encode_utf7

_ATOM = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\\]]+\Z")
_QUOTABLE = re.compile(rb"[\x20-\x7e]{0,1000}+\Z")
_QUOTABLE_UTF8 = re.compile(rb"[^\x00-\x1f\x7f]{0,1000}+\Z")
_PLAIN_NAME = re.compile(r"[ !#-%'-\[\]-~]{0,1000}+\Z")  # the same in both forms: no `&`, quote, backslash


def render_string(value: bytes, *, utf8: bool = False) -> bytes:
    """Write a string: quoted where that is allowed, else as a literal."""
    if (_QUOTABLE_UTF8 if utf8 else _QUOTABLE).match(value):
        if b"\\" in value or b'"' in value:
            value = value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        return b'"' + value + b'"'
    return b"{%d}\r\n%b" % (len(value), value)


def render_nstring(value: bytes | None) -> bytes:
    """Write a string, or NIL for None."""
    return b"NIL" if value is None else render_string(value)


def render_astring(value: bytes) -> bytes:
    """Write an atom where the octets allow it, else a string."""
    return value if _ATOM.match(value) and value.upper() != b"NIL" else render_string(value)


def render_mailbox(name: str, *, utf8: bool) -> bytes:
    """Write a mailbox name: modified UTF-7, or UTF-8 once IMAP4rev2 is enabled. Always a string."""
    if name.isascii() and _PLAIN_NAME.match(name):
        return b'"%b"' % name.encode("ascii")
    return render_string(name.encode(), utf8=True) if utf8 else render_string(encode_utf7(name))
