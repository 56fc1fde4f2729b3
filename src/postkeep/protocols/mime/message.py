"""The values that the scanner makes: a message, its parts, and where each of them lies in the bytes.

They are trees and never hold a cycle, so the garbage collector need not know them (`gc=False`).
"""

import msgspec

from postkeep.protocols.mime.addresses import HeaderAddress, parse_addresses

Parameters = tuple[tuple[bytes, bytes], ...]
"""Names in lower case. RFC 2231 continuations are joined; a name that ends in `*` has an extended value,
still in the form charset'language'percent-encoded."""


class Part(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One part. Offsets count octets from the beginning of the outermost message.

    Its header is `[header_offset, body_offset)` with the empty line that ends it, its body
    `[body_offset, end)` without the line break that belongs to the next delimiter.
    """

    section: str
    """The part's number for IMAP (RFC 9051 section 6.4.5.1); empty for the root of a multipart message."""
    header_offset: int
    body_offset: int
    end: int
    type: bytes
    """Media type in lower case, as `text`."""
    subtype: bytes
    parameters: Parameters = ()
    encoding: bytes = b"7bit"
    """Content-Transfer-Encoding in lower case."""
    id: bytes | None = None
    description: bytes | None = None
    md5: bytes | None = None
    location: bytes | None = None
    languages: tuple[bytes, ...] = ()
    disposition: bytes | None = None
    disposition_parameters: Parameters = ()
    lines: int = 0
    """Line ends in the body; counted for text and for enclosed messages only."""
    children: tuple["Part", ...] = ()
    """The parts of a multipart; never empty there."""
    message: "Message | None" = None
    """The message that a message/rfc822 or message/global part encloses."""

    @property
    def size(self) -> int:
        """Octets of the body, in its transfer encoding."""
        return self.end - self.body_offset


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message: the outermost, or one that a part encloses."""

    data: bytes
    """The outermost message, whole."""
    offset: int
    body_offset: int
    end: int
    fields: dict[bytes, bytes]
    """Field name in lower case → raw value (folded, untrimmed) of its first appearance."""
    root: Part
    parsed: dict[bytes, list[HeaderAddress]] = msgspec.field(default_factory=dict)
    """Address fields that have been asked for."""

    def addresses(self, name: bytes) -> list[HeaderAddress]:
        """Return the addresses of a field (its name in lower case), parsed once; empty: absent or none."""
        found = self.parsed.get(name)
        if found is None:
            value = self.fields.get(name)
            found = self.parsed[name] = parse_addresses(value) if value else []
        return found
