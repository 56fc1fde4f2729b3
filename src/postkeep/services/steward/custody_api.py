"""The steward's methods for custody of keys, as values on the wire."""

import msgspec

from postkeep.services.kms.custody_api import Custodian
from postkeep.services.kms.root_kinds import RootKind
from postkeep.services.steward.api import Command


class KeyReseal(Command, frozen=True):
    """`steward.key_reseal`: ask for leave to seal the root key in another way. Answers `Done`."""

    kind: RootKind
    key_digest: bytes
    """SHA-256 of the key with which the command line then turns to kms."""


class TenantCustody(Command, frozen=True):
    """`steward.tenant_custody`: ask for leave to change a tenant's custody. Answers `CustodyOpened`."""

    domain: str
    custodian: Custodian
    key_digest: bytes


class CustodyOpened(msgspec.Struct, frozen=True):
    """Whose key it is."""

    tenant: bytes


class TenantCustodyShow(Command, frozen=True):
    """`steward.tenant_custody_show`: answers `Custodian`; with `ask`, refused if the custodian refuses."""

    domain: str
    ask: bool = False
