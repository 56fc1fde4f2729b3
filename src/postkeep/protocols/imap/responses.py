"""What the server says, as bytes. Every function returns whole lines, CRLF included."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from postkeep.protocols.imap.commands import StatusItem
from postkeep.protocols.imap.fetch import BinarySection, BodySection, Partial, render_section
from postkeep.protocols.imap.strings import render_mailbox, render_nstring, render_string


def status(tag: bytes, kind: str, text: str, code: str = "") -> bytes:
    """Write `tag OK [CODE] text`; kind is OK, NO, BAD, BYE or PREAUTH."""
    bracketed = f"[{code}] " if code else ""
    return tag + f" {kind} {bracketed}{text}\r\n".encode()


def untagged(text: str) -> bytes:
    """Write `* text`."""
    return f"* {text}\r\n".encode("ascii")


def continuation(text: bytes = b"OK") -> bytes:
    """Write `+ text`."""
    return b"+ " + text + b"\r\n"


def capability(names: Iterable[str]) -> bytes:
    """Write CAPABILITY."""
    return f"* CAPABILITY {' '.join(names)}\r\n".encode("ascii")


def enabled(names: Iterable[str]) -> bytes:
    """Write ENABLED (RFC 5161); nothing new: the list is empty."""
    return " ".join(["* ENABLED", *names]).encode("ascii") + b"\r\n"


def language(names: Iterable[str]) -> bytes:
    """Write LANGUAGE (RFC 5255)."""
    return f"* LANGUAGE ({' '.join(names)})\r\n".encode("ascii")


def flag_list(flags: Iterable[str]) -> bytes:
    """Write flags in parentheses."""
    return b"(" + " ".join(flags).encode("ascii") + b")"


def listing(
    attributes: Iterable[str],
    name: str,
    *,
    utf8: bool,
    lsub: bool = False,
    child_info: Sequence[str] = (),
    old_name: str | None = None,
) -> bytes:
    """Write LIST or LSUB, with CHILDINFO (RFC 5258 section 4) or OLDNAME (RFC 5465, 9051)."""
    head = _list_head(tuple(attributes), lsub=lsub)
    if not child_info and old_name is None:
        return b"%b%b\r\n" % (head, render_mailbox(name, utf8=utf8))
    extended = b""
    if child_info:
        kinds = b" ".join(b'"' + kind.encode("ascii") + b'"' for kind in child_info)
        extended = b' ("CHILDINFO" (' + kinds + b"))"
    if old_name is not None:
        extended = b' ("OLDNAME" (' + render_mailbox(old_name, utf8=utf8) + b"))"
    return b"%b%b%b\r\n" % (head, render_mailbox(name, utf8=utf8), extended)


@lru_cache(maxsize=256)
def _list_head(attributes: tuple[str, ...], *, lsub: bool) -> bytes:
    return (b"* LSUB " if lsub else b"* LIST ") + flag_list(attributes) + b' "/" '


def mailbox_status(name: str, values: Mapping[StatusItem, int | str], *, utf8: bool) -> bytes:
    """Write STATUS; a text is put in parentheses, as MAILBOXID wants it (RFC 8474 section 4.3)."""
    pairs = " ".join(
        f"{item} ({value})" if isinstance(value, str) else f"{item} {value}" for item, value in values.items()
    )
    return b"* STATUS " + render_mailbox(name, utf8=utf8) + f" ({pairs})\r\n".encode("ascii")


def namespace() -> bytes:
    """Write NAMESPACE (RFC 2342): the own mailboxes, those of other people, those of groups."""
    return b'* NAMESPACE (("" "/")) (("Other Users/" "/")) (("Shared/" "/"))\r\n'


def metadata(mailbox: str, values: Iterable[tuple[str, bytes | None]], *, utf8: bool) -> bytes:
    """Write METADATA with values (RFC 5464 section 4.4.1), those with a zero octet as literal8."""
    pairs = b" ".join(
        entry.encode("ascii") + b" " + (b"NIL" if value is None else _value(value)) for entry, value in values
    )
    return b"* METADATA " + render_mailbox(mailbox, utf8=utf8) + b" (" + pairs + b")\r\n"


def _value(value: bytes) -> bytes:
    return b"~{%d}\r\n%b" % (len(value), value) if b"\0" in value else render_string(value)


def metadata_changed(mailbox: str, entries: Iterable[str], *, utf8: bool) -> bytes:
    """Write METADATA that only names what has changed (RFC 5464 section 4.4.2)."""
    names = " ".join(entries).encode("ascii")
    return b"* METADATA " + render_mailbox(mailbox, utf8=utf8) + b" " + names + b"\r\n"


def my_rights(mailbox: str, rights: str, *, utf8: bool) -> bytes:
    """Write MYRIGHTS (RFC 4314 section 3.8)."""
    return b"* MYRIGHTS " + render_mailbox(mailbox, utf8=utf8) + b" " + rights.encode("ascii") + b"\r\n"


def identity(fields: Mapping[str, str]) -> bytes:
    """Write ID (RFC 2971)."""
    pairs = (
        render_string(key.encode("ascii")) + b" " + render_nstring(value.encode())
        for key, value in fields.items()
    )
    return b"* ID (" + b" ".join(pairs) + b")\r\n"


def quota(root: str, used_units: int, limit_units: int | None) -> bytes:
    """Write QUOTA (RFC 9208): STORAGE in units of 1,024 octets; no limit: an empty list."""
    resources = "" if limit_units is None else f"STORAGE {used_units} {limit_units}"
    return b"* QUOTA " + render_mailbox(root, utf8=False) + f" ({resources})\r\n".encode("ascii")


def quota_root(mailbox: str, root: str | None, *, utf8: bool) -> bytes:
    """Write QUOTAROOT (RFC 9208); `root` None: there is none to be told of."""
    names = [render_mailbox(mailbox, utf8=utf8)]
    if root is not None:
        names.append(render_mailbox(root, utf8=False))
    return b"* QUOTAROOT " + b" ".join(names) + b"\r\n"


def joined(line: bytes, item: bytes) -> bytes:
    """Put another item behind what a line holds already, up to its opening parenthesis or after an item."""
    return line + item if line.endswith((b"(", b" ")) else line + b" " + item


def fetch(number: int, items: Sequence[bytes]) -> bytes:
    """Write FETCH of one message from its items, each `NAME value`."""
    return b"* %d FETCH (%b)\r\n" % (number, b" ".join(items))


def section_name(item: BodySection | BinarySection) -> bytes:
    """Write how an answer names the section asked for, as `BODY[1.MIME]<0>`."""
    if isinstance(item, BodySection):
        if item.answer:
            return item.answer.encode("ascii")
        return b"BODY[" + render_section(item.section) + b"]" + _origin(item.partial)
    part = b".".join(b"%d" % number for number in item.part)
    return (b"BINARY.SIZE[" if item.size else b"BINARY[") + part + b"]" + _origin(item.partial)


def literal_head(size: int, *, binary: bool = False) -> bytes:
    """Write what stands before the octets of a literal (literal8 where they may hold zeros)."""
    return b"%b{%d}\r\n" % (b"~" if binary else b"", size)


def _origin(partial: Partial | None) -> bytes:
    return b"" if partial is None else b"<%d>" % partial.offset
