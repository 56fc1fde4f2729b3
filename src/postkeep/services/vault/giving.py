"""Giving rights on one's mailboxes: at the vault, which keeps them, and at kms, which keeps the keys.

The vault comes first: a right without a key opens nothing, and what is taken back is cut at once. Repeated
after an interruption it does what is left to do.
"""

from postkeep.services.kms.client import KmsClient
from postkeep.services.kms.sharing_api import Share, Unshare
from postkeep.services.vault.client import VaultClient
from postkeep.services.vault.rights_api import SetRights


async def give(vault: VaultClient, kms: KmsClient, request: SetRights, ticket: bytes) -> None:
    """Replace a reader's rights, and share the owner's keys as long as the longest of them, or take them back
    with the last; who may give rights on may share the keys on."""
    left = await vault.set_rights(request, ticket=ticket)
    if left.letters:
        share = Share(request.principal, request.reader, "a" in left.letters, left.until_ms)
        await kms.share(share, ticket=ticket)
    else:
        await kms.unshare(Unshare(request.principal, request.reader), ticket=ticket)
