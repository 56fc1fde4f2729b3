"""OAUTHBEARER (RFC 7628) and XOAUTH2, the older form of it: one message with an access token (RFC 6750)."""

import re
from typing import Final, NamedTuple

import msgspec

from postkeep.protocols.sasl import MESSAGE_BYTES_MAX, NAME_BYTES_MAX, SaslError

TOKEN_BYTES_MAX: Final = 2048
"""Octets of a token; one of another maker than us may be long, and is read before it is refused."""
CANCEL: Final = b"\x01"
"""What a client answers to a refusal (RFC 7628 section 3.2.3); an empty answer with XOAUTH2."""

_PAIR: Final = re.compile(r"([A-Za-z]+)=([\x20-\x7e\t\r\n]*)\Z")
_BEARER: Final = re.compile(r"Bearer +([A-Za-z0-9\-._~+/]+=*) *\Z", re.IGNORECASE)


class BearerCredentials(NamedTuple):
    """What a message carries. `name` empty: whoever the token is of."""

    name: str
    token: str

    def __repr__(self) -> str:
        return "BearerCredentials(...)"


def read_oauthbearer(message: bytes) -> BearerCredentials:
    """Parse a client's message: a GS2 header and pairs between octets of value 1; raise SaslError.

    `host` and `port` are for proxies and not looked at. Channel binding is not offered for it.
    """
    head, *pairs = _text(message).split("\x01")
    flag, _, rest = head.partition(",")
    authorize, comma, nothing = rest.partition(",")
    if flag not in {"n", "y"} or not comma or nothing or (authorize and not authorize.startswith("a=")):
        raise SaslError("the GS2 header is malformed")
    if pairs[-2:] != ["", ""]:
        raise SaslError("the message does not end as it must")
    name = authorize[2:].replace("=2C", ",").replace("=3D", "=")
    return BearerCredentials(name, _token(pairs[:-2]))


def read_xoauth2(message: bytes) -> BearerCredentials:
    """Parse the older form, `user=` and `auth=` between octets of value 1; raise SaslError."""
    first, *pairs = _text(message).split("\x01")
    if not first.startswith("user=") or len(first.encode()) > NAME_BYTES_MAX or pairs[-2:] != ["", ""]:
        raise SaslError("the message is malformed")
    return BearerCredentials(first[5:], _token(pairs[:-2]))


def write_oauthbearer(token: str, name: str = "") -> bytes:
    """Make a client's message."""
    who = "a=" + name.replace("=", "=3D").replace(",", "=2C") if name else ""
    return f"n,{who},\x01auth=Bearer {token}\x01\x01".encode()


def write_xoauth2(token: str, name: str) -> bytes:
    """Make a client's message in the older form."""
    return f"user={name}\x01auth=Bearer {token}\x01\x01".encode()


def oauthbearer_error(scope: str) -> bytes:
    """Write the server's word on a token that it does not take (RFC 7628 section 3.2.2)."""
    return msgspec.json.encode({"status": "invalid_token", "scope": scope})


def xoauth2_error(scope: str) -> bytes:
    """Write the same in the older form."""
    return msgspec.json.encode({"status": "401", "schemes": "bearer", "scope": scope})


def _token(pairs: list[str]) -> str:
    values: dict[str, str] = {}
    for pair in pairs:
        found = _PAIR.match(pair)
        if found is None or found.group(1).lower() in values:
            raise SaslError("a pair is malformed or comes twice")
        values[found.group(1).lower()] = found.group(2)
    bearer = _BEARER.match(values.get("auth", ""))
    if bearer is None or len(bearer.group(1)) > TOKEN_BYTES_MAX:
        raise SaslError("there is no bearer token")
    return bearer.group(1)


def _text(message: bytes) -> str:
    if len(message) > MESSAGE_BYTES_MAX or b"\0" in message:
        raise SaslError("the message is too long or holds NUL")
    try:
        return message.decode()
    except UnicodeDecodeError as exc:
        raise SaslError("the message is not UTF-8") from exc
