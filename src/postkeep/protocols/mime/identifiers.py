"""Message identifiers: Message-ID, In-Reply-To, References (RFC 5322 section 3.6.4)."""

import re
from typing import Final

from postkeep.protocols.mime.headers import unfold
from postkeep.protocols.mime.limits import IDENTIFIERS_MAX, VALUE_OCTETS_MAX

_IDENTIFIER: Final = re.compile(rb"<\s*([^<>\s]++)\s*>")


def parse_identifiers(value: bytes) -> list[str]:
    """Return the identifiers in a field without their angle brackets, the last IDENTIFIERS_MAX of them.

    In-Reply-To may hold prose beside them (section 4.5.4); it is left out.
    """
    found = _IDENTIFIER.findall(unfold(value[-VALUE_OCTETS_MAX:]))
    return [identifier.decode("utf-8", "replace") for identifier in found[-IDENTIFIERS_MAX:]]


def parse_message_id(value: bytes) -> str:
    """Return the one identifier of a Message-ID field; without brackets its first word; empty: none."""
    identifiers = parse_identifiers(value[:VALUE_OCTETS_MAX])
    if identifiers:
        return identifiers[0]
    words = unfold(value[:VALUE_OCTETS_MAX]).split(None, 1)
    return words[0].decode("utf-8", "replace") if words else ""
