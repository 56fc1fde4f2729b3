"""Signing heads of tenants' logs: only those that the installation's log holds, in a tree that kms signed.

kms keeps no memory of tenants' logs. What ties their hands is the installation's log: each head stands there
as an entry, so a tenant's log that was rewritten would need a second, contradicting entry that stays for all
to see; and whoever verifies the installation's log makes every tenant's tree again.
"""

import asyncio
from typing import Final, Protocol

import msgspec

from postkeep.base.errors import IntegrityError
from postkeep.crypto.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from postkeep.crypto.note import Checkpoint
from postkeep.model.audit import EventName
from postkeep.services.kms.signing import LedgerSigner
from postkeep.services.ledger.api import (
    AnchoredHead,
    AnchoredHeads,
    Done,
    PublishTenantCheckpoints,
    TenantCheckpoint,
    TenantHeads,
)
from postkeep.stores.kms_installation import SignedHead

HEADS_PER_STEP_MAX: Final = 64
"""Heads signed at one time: some 0.15 s of work, in pieces of 2 ms."""


class TenantLedger(Protocol):
    """What is asked of the ledger; `LedgerClient` is one."""

    async def tenant_heads(self, request: TenantHeads) -> AnchoredHeads:
        """Return heads of tenants' logs that wait for a signature."""

    async def publish_tenant_checkpoints(self, request: PublishTenantCheckpoints) -> Done:
        """Store signed checkpoints of tenants' logs."""


class _Anchor(msgspec.Struct, frozen=True):
    """What of an anchor is signed."""

    event: EventName
    tenant: str
    count: int
    digest: str


def anchored_checkpoint(head: AnchoredHead, installation: SignedHead) -> Checkpoint:
    """Return the checkpoint of a tenant's log that an entry of the installation's log vouches for.

    IntegrityError unless the entry is an anchor of that tenant and stands in the installation's tree.
    """
    verify_inclusion(head.index, leaf_hash(head.entry), installation.size, installation.root, head.proof)
    try:
        anchor = msgspec.json.decode(head.entry, type=_Anchor)
        root = bytes.fromhex(anchor.digest)
    except (msgspec.MsgspecError, ValueError):
        raise IntegrityError("the anchor of a tenant's log is malformed") from None
    if anchor.event is not EventName.LEDGER_ANCHOR or anchor.tenant != head.tenant:
        raise IntegrityError("the entry is no anchor of this tenant's log")
    if len(root) != HASH_BYTES or anchor.count < 0:
        raise IntegrityError("the anchor of a tenant's log is malformed")
    return Checkpoint(f"{installation.origin}/tenant/{anchor.tenant}", anchor.count, root)


async def sign_tenant_heads(ledger: TenantLedger, signer: LedgerSigner, installation: SignedHead) -> int:
    """Sign what waits, at most HEADS_PER_STEP_MAX; return how many. IntegrityError signs nothing at all."""
    waiting = (await ledger.tenant_heads(TenantHeads(installation.size, HEADS_PER_STEP_MAX))).heads
    signed = []
    for head in waiting[:HEADS_PER_STEP_MAX]:
        checkpoint = anchored_checkpoint(head, installation)
        signed.append(TenantCheckpoint(head.tenant, signer.sign(checkpoint)))
        await asyncio.sleep(0)
    if signed:
        await ledger.publish_tenant_checkpoints(PublishTenantCheckpoints(signed))
    return len(signed)
