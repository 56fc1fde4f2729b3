"""The key service, as its callers see it: one async method per call of `postkeep.services.kms.api`."""

from typing import Protocol, TypeVar

import msgspec

from postkeep.services.kms import api, custody_api, restored_api, sharing_api

T = TypeVar("T")


class Caller(Protocol):
    """What a client needs of a channel; `postkeep.tickets.channel.Link` is one."""

    async def call(
        self,
        method: str,
        request: msgspec.Struct,
        reply: type[T],
        *,
        ticket: bytes = b"",
        timeout_seconds: float = 30.0,
    ) -> T:
        """Call a keeper's method and return its answer; raise the PostkeepError it answers with."""


class KmsClient:
    """Calls to kms over one link. Every method may raise UnavailableError and RefusedError."""

    def __init__(self, link: Caller) -> None:
        self._link = link

    async def anchors(self, request: api.Anchors | None = None) -> api.TrustAnchors:
        """Return the public keys that others pin."""
        return await self._link.call("kms.anchors", request or api.Anchors(), api.TrustAnchors)

    async def provision_tenant(self, request: api.ProvisionTenant, *, ticket: bytes = b"") -> api.Done:
        """Make a tenant's keys, unless it has them."""
        return await self._link.call("kms.provision_tenant", request, api.Done, ticket=ticket)

    async def provision_principal(
        self, request: api.ProvisionPrincipal, *, ticket: bytes = b""
    ) -> api.SignedPublicKey:
        """Make a principal's key pair, or return the one there is."""
        return await self._link.call("kms.provision_principal", request, api.SignedPublicKey, ticket=ticket)

    async def open_epochs(self, request: api.OpenEpochs, *, ticket: bytes) -> api.OpenedEpochs:
        """Open epochs in bulk, at most 32,768 in one call."""
        return await self._link.call("kms.open_epochs", request, api.OpenedEpochs, ticket=ticket)

    async def category_key(self, request: api.CategoryKey, *, ticket: bytes = b"") -> api.ReleasedKey:
        """Return the data key of the category that the calling keeper seals itself."""
        return await self._link.call("kms.category_key", request, api.ReleasedKey, ticket=ticket)

    async def ticket_keys(self) -> api.TicketKeys:
        """Return the keys that tickets are signed with (the authority only)."""
        return await self._link.call("kms.ticket_keys", api.GetTicketKeys(), api.TicketKeys)

    async def rotate_ticket_key(self) -> api.TicketKeys:
        """Make the next key that signs tickets (the authority only); ConflictError if it is too soon."""
        return await self._link.call("kms.rotate_ticket_key", api.RotateTicketKey(), api.TicketKeys)

    async def person_key(self, request: api.PersonKey, *, ticket: bytes = b"") -> api.ReleasedKey:
        """Return a person's own key, for personal values in the ledger."""
        return await self._link.call("kms.person_key", request, api.ReleasedKey, ticket=ticket)

    async def sign(self, request: api.Sign, *, ticket: bytes) -> api.Signature:
        """Sign with a key that never leaves kms."""
        return await self._link.call("kms.sign", request, api.Signature, ticket=ticket)

    async def release_secret(self, request: api.ReleaseSecret, *, ticket: bytes = b"") -> api.NamedSecret:
        """Return a named secret (`tls`: key and chain, PEM)."""
        return await self._link.call("kms.release_secret", request, api.NamedSecret, ticket=ticket)

    async def open_reseal(self, request: custody_api.OpenReseal, *, ticket: bytes) -> api.Done:
        """Let the root key be sealed in another way, once."""
        return await self._link.call("kms.open_reseal", request, api.Done, ticket=ticket)

    async def mark(self, request: api.Mark, *, ticket: bytes = b"") -> api.Marked:
        """Return fingerprints of what a shredding would destroy."""
        return await self._link.call("kms.mark", request, api.Marked, ticket=ticket)

    async def hold(self, request: api.Hold, *, ticket: bytes = b"") -> api.Done:
        """Keep keys from being destroyed."""
        return await self._link.call("kms.hold", request, api.Done, ticket=ticket)

    async def release_hold(self, request: api.ReleaseHold, *, ticket: bytes = b"") -> api.Done:
        """Let keys be destroyed again."""
        return await self._link.call("kms.release_hold", request, api.Done, ticket=ticket)

    async def certify(self, request: api.Certify, *, ticket: bytes = b"") -> api.Certified:
        """Sign a certificate of destruction."""
        return await self._link.call("kms.certify", request, api.Certified, ticket=ticket)

    async def discard(self, request: api.Discard, *, ticket: bytes = b"") -> api.Shredded:
        """Take back the keys of a creation that has failed."""
        return await self._link.call("kms.discard", request, api.Shredded, ticket=ticket)

    async def open_custody(self, request: custody_api.OpenCustody, *, ticket: bytes) -> api.Done:
        """Let a tenant's custody be changed, once."""
        return await self._link.call("kms.open_custody", request, api.Done, ticket=ticket)

    async def check_custody(
        self, request: custody_api.CheckCustody, *, ticket: bytes
    ) -> custody_api.Custodian:
        """Say who has custody of a tenant's key, and whether the custodian agrees."""
        return await self._link.call("kms.check_custody", request, custody_api.Custodian, ticket=ticket)

    async def withheld(self, *, ticket: bytes) -> restored_api.Withheld:
        """Say why keys are held back, if they are."""
        return await self._link.call(
            "kms.withheld", restored_api.GetWithheld(), restored_api.Withheld, ticket=ticket
        )

    async def accept_restored(self, request: restored_api.AcceptRestored, *, ticket: bytes) -> api.Done:
        """Give keys of a restored store again."""
        return await self._link.call("kms.accept_restored", request, api.Done, ticket=ticket)

    async def accept_ledger(self, request: restored_api.AcceptLedger, *, ticket: bytes) -> api.Done:
        """Sign heads of a restored ledger again."""
        return await self._link.call("kms.accept_ledger", request, api.Done, ticket=ticket)

    async def shred(self, request: api.Shred, *, ticket: bytes) -> api.Shredded:
        """Destroy keys; when it returns, nothing opens what they covered."""
        return await self._link.call("kms.shred", request, api.Shredded, ticket=ticket)

    async def share(self, request: sharing_api.Share, *, ticket: bytes) -> api.Done:
        """Let a colleague have an owner's epochs opened."""
        return await self._link.call("kms.share", request, api.Done, ticket=ticket)

    async def unshare(self, request: sharing_api.Unshare, *, ticket: bytes) -> api.Done:
        """Take a share back; when it returns, kms opens nothing more of the owner's for the reader."""
        return await self._link.call("kms.unshare", request, api.Done, ticket=ticket)
