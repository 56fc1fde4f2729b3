"""What the members of an export say, and where each lies: the names are made here and nowhere else."""

import re
from typing import Final

import msgspec

FORMAT: Final = "postkeep export 1"
HEAD: Final = "export.json"
MAILBOXES: Final = "mailboxes.json"
END: Final = "end.json"
NAME: Final = re.compile(
    r"(?:export\.json|mailboxes\.json|end\.json|manifest/[0-9]{6}\.jsonl"
    r"|mail/[0-9]{5}-[a-z0-9-]{1,40}/[0-9]{10}\.eml)\Z"
)
"""Every name that a member can have: none leads out of a directory, and none looks like an option."""


class Head(msgspec.Struct, frozen=True):
    """`export.json`, the first member: what was exported, on which request. Identifiers are hexadecimal."""

    format: str
    address: str
    tenant: str
    principal: str
    mailbox: str
    """Empty: all of them."""
    since_ms: int
    until_ms: int
    """0: no end."""
    request: str
    approved: str
    """What approvers and the owner were shown."""
    made_ms: int


class Box(msgspec.Struct, frozen=True):
    """A mailbox, in `mailboxes.json`."""

    id: str
    name: str
    role: str
    uid_validity: int
    directory: str


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a manifest: a message that stands before it."""

    mailbox: str
    uid: int
    flags: tuple[str, ...] = ()
    date_ms: int = 0
    """When it arrived (the internal date of IMAP)."""
    path: str = ""
    """Empty: it could not be opened, and is not here."""
    size: int = 0
    sha256: str = ""
    damaged: bool = False
    """The end of it could not be opened: what stands at its path is no message, and is not taken out."""


class End(msgspec.Struct, frozen=True):
    """`end.json`, the last member."""

    messages: int
    unreadable: int
    octets: int
    manifests: str
    """SHA-256 over all manifests, one after the other, hexadecimal."""


def directory_of(number: int, role: str, name: str) -> str:
    """Name the directory of a mailbox: by number, and what of its name no file system can mistake."""
    word = re.sub(r"[^a-z0-9]+", "-", (role or name).lower())[:40].strip("-") or "mailbox"
    return f"mail/{number:05d}-{word}"


def message_name(directory: str, uid: int) -> str:
    """Name a message's member."""
    return f"{directory}/{uid:010d}.eml"


def manifest_name(number: int) -> str:
    """Name a manifest."""
    return f"manifest/{number:06d}.jsonl"
