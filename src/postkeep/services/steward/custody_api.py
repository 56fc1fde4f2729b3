"""The steward's methods for custody of keys, as values on the wire."""

from postkeep.services.kms.root_kinds import RootKind
from postkeep.services.steward.api import Command


class KeyReseal(Command, frozen=True):
    """`steward.key_reseal`: ask for leave to seal the root key in another way. Answers `Done`."""

    kind: RootKind
    key_digest: bytes
    """SHA-256 of the key with which the command line then turns to kms."""
