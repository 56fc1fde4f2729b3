"""The steward's methods for media that hold data, as values on the wire."""

import msgspec

from postkeep.services.steward.api import Command
from postkeep.services.steward.media import Asset


class MediaAdd(Command, frozen=True):
    """`steward.media_add`: answers `Asset`."""

    tag: str
    medium: str
    serials: list[str]
    categories: list[str]
    encrypted: str
    site: str = ""
    rack: str = ""
    host: str = ""
    slot: str = ""


class MediaAll(Command, frozen=True):
    """`steward.media_list`: answers `Media`."""


class Media(msgspec.Struct, frozen=True):
    """By tag."""

    media: list[Asset]


class MediaShow(Command, frozen=True):
    """`steward.media_show`: answers `Asset`, its history checked."""

    tag: str


class MediaAct(Command, frozen=True):
    """`steward.media_act`: one act in a medium's life; answers `Asset`."""

    tag: str
    act: str
    by: str = ""
    method: str = ""
    technique: str = ""
    tool: str = ""
    result: str = ""
    witnesses: tuple[str, ...] = ()
    photo: str = ""
    certificate: str = ""
    fate: str = ""
    remark: str = ""


class MediaRecord(Command, frozen=True):
    """`steward.media_record`: the whole record of a medium, signed; answers `SignedRecord`."""

    tag: str


class SignedRecord(msgspec.Struct, frozen=True):
    """A record as JSON octets, and signatures over `context("certificate", record)`."""

    record: bytes
    ed25519: bytes
    mldsa44: bytes
    public_keys: bytes
    """Ed25519 (32 octets), then ML-DSA-44."""
