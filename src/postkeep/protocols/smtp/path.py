"""Reverse-path and forward-path (RFC 5321 section 4.1.2), and writing them."""

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from postkeep.base.address import Address, parse_address
from postkeep.base.errors import InvalidInputError
from postkeep.protocols.smtp.limits import PATH_OCTETS_MAX

MAILBOXES_REMEMBERED: Final = 4096
"""Addresses read lately: the same ones come again and again, and reading one costs 6 microseconds."""

_PATH = re.compile(rb'[ ]?<(?:@[^:<>"\s]+:)?((?:"(?:[^"\\\r\n]|\\.)*"|[^"<>\s])*)>(?: +|\Z)')
_LITERAL = re.compile(r"(?P<local>[^@\s]+)@\[(?:(?P<six>IPv6:[0-9A-Fa-f:.]+)|(?P<four>[0-9.]+))\]\Z")


def split_path(argument: bytes) -> tuple[str, bytes]:
    """Take `<path>` off the front of a command's argument; return its text and the parameters after it.

    A source route is dropped (RFC 5321 section 4.1.1.3). Raises InvalidInputError.
    """
    found = _PATH.match(argument)
    if found is None or found.end(1) - found.start() > PATH_OCTETS_MAX:
        raise InvalidInputError(public_text="A path is an address in angle brackets.")
    try:
        return found.group(1).decode("utf-8"), argument[found.end() :]
    except UnicodeDecodeError as exc:
        raise InvalidInputError(public_text="A path is ASCII or UTF-8.") from exc


@lru_cache(maxsize=MAILBOXES_REMEMBERED)
def parse_mailbox(text: str) -> Address:
    """Read the address in a path: a mailbox at a domain, at an address literal, or a lone `postmaster`.

    An address literal keeps its brackets in `domain`; the lone postmaster has an empty `domain`.
    """
    if text.endswith("]"):
        return _literal(text)
    if text.casefold() == "postmaster":
        return Address("postmaster", "")
    return parse_address(text)


def _literal(text: str) -> Address:
    found = _LITERAL.match(text)
    if found is None:
        raise InvalidInputError(public_text="The address literal is not valid.")
    try:
        if found["six"]:
            domain = f"[IPv6:{IPv6Address(found['six'].removeprefix('IPv6:'))}]"
        else:
            domain = f"[{IPv4Address(found['four'])}]"
    except AddressValueError as exc:
        raise InvalidInputError(public_text="The address literal is not valid.") from exc
    return Address(parse_address(f"{found['local']}@literal.invalid").local, domain)
