"""The keepers this face calls, together."""

from dataclasses import dataclass

from postkeep.base.clock import Clock
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.kms.client import KmsClient
from postkeep.services.vault.client import VaultClient
from postkeep.tickets.identity import Anchors


@dataclass(frozen=True, slots=True)
class Keepers:
    """Clients on this process's links, and what it believes."""

    authority: AuthorityClient
    vault: VaultClient
    kms: KmsClient
    anchors: Anchors
    clock: Clock
