"""The envelope of an outbound message as the queue keeps it: sealed, to be opened by the relay alone."""

from typing import Final

import msgspec

from postkeep.base.errors import IntegrityError

VERSION: Final = 1


class QueuedRecipient(msgspec.Struct, frozen=True, array_like=True):
    """One recipient that is still to be served."""

    address: str
    notify: tuple[str, ...] = ()
    """RFC 3461 section 4.1; empty: the sender did not say."""
    orcpt: str = ""
    """The original recipient as `type;address`, without xtext; empty: not given."""


class QueueEnvelope(msgspec.Struct, frozen=True, array_like=True):
    """What goes into MAIL and RCPT, and what the message needs of the servers on its way."""

    version: int
    reverse_path: str
    """Empty: the null reverse-path."""
    recipients: tuple[QueuedRecipient, ...]
    ret: str = ""
    """`FULL`, `HDRS` or empty."""
    envid: str = ""
    body: str = ""
    """`8BITMIME` where the message has octets above 127; otherwise empty."""
    smtputf8: bool = False
    """The message needs SMTPUTF8: an address or a header field in it is not ASCII."""
    requires: tuple[str, ...] = ()
    """What every server on the way must give; `TLS` is the one known so far (RFC 8689)."""


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(QueueEnvelope)


def encode(envelope: QueueEnvelope) -> bytes:
    """Write an envelope for sealing."""
    return _encoder.encode(envelope)


def decode(data: bytes) -> QueueEnvelope:
    """Read an opened envelope; raise IntegrityError for what this version can't read."""
    try:
        envelope = _decoder.decode(data)
    except msgspec.MsgspecError as exc:
        raise IntegrityError("a queue envelope can't be read") from exc
    if envelope.version != VERSION:
        raise IntegrityError(f"a queue envelope of version {envelope.version}")
    return envelope
