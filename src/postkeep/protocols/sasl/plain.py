"""PLAIN (RFC 4616): one message, `authzid NUL authcid NUL passwd`."""

from typing import NamedTuple

from postkeep.protocols.sasl import MESSAGE_BYTES_MAX, NAME_BYTES_MAX, PASSWORD_BYTES_MAX, SaslError


class PlainCredentials(NamedTuple):
    """What a PLAIN message carries. `authorize` empty: act as oneself."""

    authorize: str
    name: str
    password: str

    def __repr__(self) -> str:
        return "PlainCredentials(...)"


def read_plain(message: bytes) -> PlainCredentials:
    """Parse a PLAIN message; raise SaslError for anything that RFC 4616 section 2 does not allow."""
    if len(message) > MESSAGE_BYTES_MAX:
        raise SaslError("the message is too long")
    parts = message.split(b"\0")
    if len(parts) != 3:  # noqa: PLR2004 - the message has three parts
        raise SaslError("the message has not three parts")
    authorize, name, password = parts
    if not name or not password or len(name) > NAME_BYTES_MAX or len(password) > PASSWORD_BYTES_MAX:
        raise SaslError("a part is empty or too long")
    try:
        return PlainCredentials(authorize.decode(), name.decode(), password.decode())
    except UnicodeDecodeError as exc:
        raise SaslError("a part is not UTF-8") from exc


def write_plain(name: str, password: str, authorize: str = "") -> bytes:
    """Make a client's PLAIN message; raise SaslError where a part holds NUL or is empty."""
    if not name or not password or "\0" in name + password + authorize:
        raise SaslError("a part is empty or holds NUL")
    return b"\0".join((authorize.encode(), name.encode(), password.encode()))
