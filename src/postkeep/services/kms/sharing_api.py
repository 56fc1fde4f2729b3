"""Sharing of keys, as values on the wire."""

import msgspec


class Share(msgspec.Struct, frozen=True):
    """`kms.share`: let a colleague have an owner's epochs opened; the same again changes the terms."""

    principal: bytes
    """The owner: the ticket's principal, or one whose share the ticket's principal manages."""
    reader: bytes
    manages: bool = False
    """Whether the reader may share on, and take back from others."""
    until_ms: int | None = None
    """Void from this moment on, milliseconds since the epoch; None: no end."""


class Unshare(msgspec.Struct, frozen=True):
    """`kms.unshare`: take a share back: what it takes to open anything is erased, and the owner gets a new
    generation of keys for what comes after. A reader may give up the own share."""

    principal: bytes
    reader: bytes
