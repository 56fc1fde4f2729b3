"""What searches read, on the wire: sealed search texts. `postkeep.services.vault.client` has the calls."""

import msgspec


class FetchTexts(msgspec.Struct, frozen=True):
    """`vault.texts`: sealed search texts of these UIDs, which an answer of 16 MiB or 8,192 messages ends."""

    principal: bytes
    mailbox: bytes
    uids: list[tuple[int, int]]


class SealedText(msgspec.Struct, frozen=True, array_like=True):
    """A search text and what it takes, beside the epoch, to open it."""

    uid: int
    body: bytes
    epoch: bytes
    index: int
    wraps: bytes
    text: bytes
    """Empty: the message was stored without one, and its content has to be read."""


class TextList(msgspec.Struct, frozen=True):
    """By UID; messages that are gone are left out. With `more`, ask on behind the last one."""

    texts: list[SealedText]
    more: bool = False
