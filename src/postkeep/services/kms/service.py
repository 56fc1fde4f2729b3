"""The key service's methods. Each takes the Grant that the channel has cleared, and checks it again here.

Two rules hold for every method that lets a key out: the release is durable in the ledger before the answer
is given, and a refusal is an event too. Without the ledger nothing is released. What is held back after a
restore, or under a ledger whose history is broken, is refused before it comes here (`withholding`).
"""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, Unpack

import msgspec
import structlog

from postkeep.base.errors import LimitError, NotFoundError, PostkeepError, RefusedError
from postkeep.base.ids import NOBODY
from postkeep.model import selection
from postkeep.model.audit import EventName
from postkeep.model.categories import Category
from postkeep.model.ticket import TicketKind
from postkeep.services.kms import api, metrics
from postkeep.services.kms.backing import BackupKeys
from postkeep.services.kms.ceilings import Ceilings
from postkeep.services.kms.ceilings_service import CeilingDesk
from postkeep.services.kms.checkpoints import Checkpointer
from postkeep.services.kms.custody_desk import CustodyDesk
from postkeep.services.kms.ending import Ending
from postkeep.services.kms.epochs import EPOCHS_PER_CALL_MAX, EpochOpener
from postkeep.services.kms.hierarchy import Hierarchy
from postkeep.services.kms.principals import PrincipalKeys
from postkeep.services.kms.restoration import Restoration
from postkeep.services.kms.restored_desk import RestoredDesk
from postkeep.services.kms.root_desk import RootDesk
from postkeep.services.kms.rotation_service import RotationDesk
from postkeep.services.kms.sharing import Sharing
from postkeep.services.kms.sharing_desk import SharingDesk
from postkeep.services.kms.signing import SigningKeys
from postkeep.services.kms.telling import call_fields, check_id, hex_or_nobody
from postkeep.services.kms.ticket_keys import TicketKeys
from postkeep.services.kms.tls import TlsIdentity
from postkeep.services.kms.withholding import guard
from postkeep.services.ledger.trail import EventFields, Trail, refusal_fields
from postkeep.tickets.channel import Handler, Refusal, holds_shares
from postkeep.tickets.clear import Grant

MESSAGE_BYTES_MAX: Final = 64 * 1024
"""What is signed here is a header block or a hash, never a body."""
TLS_SECRET: Final = "tls"  # noqa: S105 - the name of a secret
RELAY_PURPOSE: Final = "relay"
DKIM_PREFIX: Final = "dkim/"
READABLE: Final = (Category.CONTENT, Category.METADATA)
"""Categories that hang on a principal's epochs."""
KEY_METHODS: Final = frozenset(
    {
        "kms.open_epochs",
        "kms.category_key",
        "kms.person_key",
        "kms.release_secret",
        "kms.share",
        "kms.sign",
        "kms.ticket_keys",
    }
)
"""Methods whose refusal is the refusal of a key."""

_log = structlog.get_logger(__name__)


class KmsService:
    """The methods of `postkeep.services.kms.api`."""

    def __init__(
        self,
        hierarchy: Hierarchy,
        signing: SigningKeys,
        tls: TlsIdentity,
        checkpointer: Checkpointer,
        trail: Trail,
        *,
        ticket_keys: TicketKeys,
        root_desk: RootDesk,
        custody_desk: CustodyDesk,
        backups: BackupKeys,
        rotation_desk: RotationDesk,
        ceilings: Ceilings,
        ending: Ending,
        restoration: Restoration,
        sharing: Sharing,
        sharing_desk: SharingDesk,
    ) -> None:
        self._hierarchy = hierarchy
        self._signing = signing
        self._tls = tls
        self._checkpointer = checkpointer
        self._trail = trail
        self._ticket_keys = ticket_keys
        self._root_desk = root_desk
        self._custody_desk = custody_desk
        self._backups = backups
        self._rotation_desk = rotation_desk
        self._ceilings = ceilings
        self._ending = ending
        self._restoration = restoration
        self._sharing = sharing
        self._sharing_desk = sharing_desk

    def handlers(self) -> Mapping[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the table that the channel's server takes."""
        table: dict[str, tuple[type[msgspec.Struct], Handler]] = {
            "kms.anchors": (api.Anchors, self.anchors),
            "kms.provision_tenant": (api.ProvisionTenant, self.provision_tenant),
            "kms.provision_principal": (api.ProvisionPrincipal, self.provision_principal),
            "kms.open_epochs": (api.OpenEpochs, self.open_epochs),
            "kms.category_key": (api.CategoryKey, self.category_key),
            "kms.person_key": (api.PersonKey, self.person_key),
            "kms.release_secret": (api.ReleaseSecret, self.release_secret),
            "kms.sign": (api.Sign, self.sign),
            "kms.shred": (api.Shred, self.shred),
            **self._ticket_keys.handlers(),
            **self._root_desk.handlers(),
            **self._custody_desk.handlers(),
            **self._backups.handlers(),
            **self._rotation_desk.handlers(),
            **CeilingDesk(self._ceilings).handlers(),
            **self._ending.handlers(),
            **self._sharing_desk.handlers(),
            **RestoredDesk(self._restoration, self._checkpointer, self._trail).handlers(),
        }
        return guard(table, (self._restoration.check, self._checkpointer.check_sound), self._trail)

    def on_refusal(self, refusal: Refusal) -> None:
        """Record what the channel turned away before it came here."""
        metrics.REFUSALS.labels(refusal.code).inc()
        self._trail.note(
            EventName.KEY_REFUSE if refusal.method in KEY_METHODS else EventName.ACCESS_REFUSE,
            **refusal_fields(refusal),
        )

    async def anchors(self, _grant: Grant, _request: api.Anchors) -> api.TrustAnchors:
        """Return the public keys that others pin."""
        directory, ledger = self._signing.directory.public_key, self._signing.ledger
        origin = self._checkpointer.origin
        return api.TrustAnchors(directory, ledger.public_key, origin, ledger.mldsa44_key)

    async def provision_tenant(self, grant: Grant, request: api.ProvisionTenant) -> api.Done:
        """Make a tenant's keys, unless it has them."""
        _check_provisioner(grant, request.tenant)
        if await self._hierarchy.provision_tenant(request.tenant):
            fields = call_fields(grant, request.tenant)
            made = _with(fields, note="tenant", state=self._hierarchy.state)
            await self._trail.record(EventName.KEY_CREATE, **made)
        return api.Done()

    async def provision_principal(self, grant: Grant, request: api.ProvisionPrincipal) -> api.SignedPublicKey:
        """Make a principal's key pair, or return the one there is."""
        _check_provisioner(grant, request.tenant)
        check_id(request.principal)
        if request.manager:
            key, made = await self._sharing.provision(request.tenant, request.principal, request.manager)
        else:
            key, made = await self._hierarchy.provision_principal(
                request.tenant, request.principal, queue=request.queue
            )
        if made:
            fields = call_fields(grant, request.tenant, request.principal)
            digest = hashlib.sha256(key.public_key).hexdigest()
            note, state = "queue" if request.queue else "principal", self._hierarchy.state
            event = _with(fields, digest=digest, note=note, state=state)
            await self._trail.record(EventName.KEY_CREATE, **event)
        return key

    @holds_shares
    async def open_epochs(self, grant: Grant, request: api.OpenEpochs) -> api.OpenedEpochs:
        """Open epochs of the ticket's principal, for the categories of the ticket."""
        if not request.epochs:
            return api.OpenedEpochs([])
        fields = call_fields(grant, grant.tenant, request.principal)
        async with self._refusals_recorded(fields):
            if len(request.epochs) > EPOCHS_PER_CALL_MAX:
                raise LimitError(f"at most {EPOCHS_PER_CALL_MAX} epochs in one call")
            categories = tuple(category for category in READABLE if category in grant.categories)
            if not categories:
                raise RefusedError("the ticket covers no category of epochs", code="refused.category")
            keys = await self._keys_for(grant, request.principal)
            person = "" if grant.kind is TicketKind.OPERATION else grant.principal.hex()
            await self._ceilings.check(fields, person, grant.peer_instance, len(request.epochs))
            opened = await EpochOpener(keys, categories).open_all(request.epochs)
            await self._record_release(fields, keys, opened, categories)
            if _is_shared(grant, request.principal):  # it may have been taken back meanwhile
                await self._sharing.standing(grant.tenant, request.principal, grant.principal)
        return api.OpenedEpochs(opened, self._hierarchy.lease_left(keys.tenant))

    async def _keys_for(self, grant: Grant, principal: bytes) -> PrincipalKeys:
        """Open the keys that a ticket may read a principal's epochs by: another's only through a share."""
        if _is_shared(grant, principal):
            return await self._sharing.open(grant.tenant, principal, grant.principal)
        keys = await self._hierarchy.principal(principal)
        _check_reader(grant, principal, keys)
        return keys

    async def _record_release(
        self,
        fields: EventFields,
        keys: PrincipalKeys,
        opened: list[api.OpenedEpoch],
        categories: tuple[Category, ...],
    ) -> None:
        """Make the release durable, unless nothing is released; refuse it if the keys died meanwhile."""
        given = [item for item in opened if not item.error]
        metrics.EPOCHS_FAILED.inc(len(opened) - len(given))
        if given:
            await self._trail.record(
                EventName.KEY_RELEASE,
                **_with(
                    fields,
                    tenant=hex_or_nobody(keys.tenant),
                    category=",".join(categories),
                    count=len(given),
                    digest=hashlib.sha256(b"".join([item.epoch for item in given])).hexdigest(),
                ),
            )
        if len(given) < len(opened):
            failed = len(opened) - len(given)
            refusal = _with(fields, outcome="refused", code="integrity", count=failed)
            self._trail.note(EventName.KEY_REFUSE, **refusal)
        if not keys.live:
            raise NotFoundError("the principal's keys were destroyed")
        fresh = sum(item.sealed is not None for item in given)
        metrics.EPOCHS_OPENED.labels("public").inc(fresh)
        metrics.EPOCHS_OPENED.labels("rewrapped").inc(len(given) - fresh)
        metrics.PRINCIPALS_CACHED.set(self._hierarchy.cached)

    async def category_key(self, grant: Grant, request: api.CategoryKey) -> api.ReleasedKey:
        """Return the data key of the `account` category to the authority, its keeper."""
        fields = call_fields(grant, request.tenant)
        async with self._refusals_recorded(fields):
            if grant.peer_module != "authority" or request.category is not Category.ACCOUNT:
                raise RefusedError("this category's key is not for this module", code="refused.category")
            key = await self._hierarchy.data_key(request.tenant, request.category)
            release = _with(fields, category=request.category.value, count=1, note="category")
            await self._trail.record(EventName.KEY_RELEASE, **release)
        return api.ReleasedKey(key)

    async def person_key(self, grant: Grant, request: api.PersonKey) -> api.ReleasedKey:
        """Return a person's own key: to the authority, that seals with it, and to the person, who opens."""
        check_id(request.tenant)
        check_id(request.principal)
        fields = call_fields(grant, request.tenant, request.principal)
        async with self._refusals_recorded(fields):
            own = (grant.tenant, grant.principal) == (request.tenant, request.principal)
            if not (grant.peer_module == "authority" or (grant.kind is TicketKind.USER and own)):
                raise RefusedError("the ticket is not for this person's key", code="refused.principal")
            key = await self._hierarchy.person_key(request.tenant, request.principal)
            release = _with(fields, category="audit", count=1, note="person", state=self._hierarchy.state)
            await self._trail.record(EventName.KEY_RELEASE, **release)
        return api.ReleasedKey(key)

    async def release_secret(self, grant: Grant, request: api.ReleaseSecret) -> api.NamedSecret:
        """Return a named secret: `tls` is the only one.

        It opens nothing that is stored, so a ledger under suspicion does not hold it back: mail goes on
        arriving. Its release is recorded like any other.
        """
        fields = call_fields(grant, NOBODY)
        async with self._refusals_recorded(fields):
            if request.name != TLS_SECRET:
                raise NotFoundError("no secret has this name")
            value = await self._tls.release()
            await self._trail.record(EventName.KEY_RELEASE, **_with(fields, count=1, note=TLS_SECRET))
        return api.NamedSecret(value)

    async def sign(self, grant: Grant, request: api.Sign) -> api.Signature:
        """Sign with a domain's DKIM key.

        The directory key and the ledger key have no handle here: whoever could have anything signed with
        them could vouch for keys of his own.
        """
        async with self._refusals_recorded(call_fields(grant, NOBODY)):
            if not request.handle.startswith(DKIM_PREFIX):
                raise RefusedError("this handle signs for nobody outside", code="refused.handle")
            if len(request.message) > MESSAGE_BYTES_MAX:
                raise LimitError(f"at most {MESSAGE_BYTES_MAX} bytes are signed")
            key = await self._signing.by_handle(request.handle)
        metrics.SIGNATURES.inc()
        return api.Signature(key.sign(request.message), key.public_key)

    async def shred(self, grant: Grant, request: api.Shred) -> api.Shredded:
        """Destroy keys. The ledger knows of it before it begins, and of its end before the answer."""
        tenant, principal = request.warrant.tenant, request.warrant.owner
        if tenant == NOBODY:
            raise RefusedError("the installation's own keys are not shredded", code="refused.tenant")
        fields = call_fields(grant, tenant, principal)
        await self._trail.record(EventName.KEY_SHRED, **_with(fields, note="begin"))
        count = await self._hierarchy.shred(tenant, principal)
        metrics.PRINCIPALS_CACHED.set(self._hierarchy.cached)
        done = _with(fields, count=count, note="done", state=self._hierarchy.state)
        await self._trail.record(EventName.KEY_SHRED, **done)
        return api.Shredded(count)

    @asynccontextmanager
    async def _refusals_recorded(self, fields: EventFields) -> AsyncIterator[None]:
        """Make an event of every error on the way to a key."""
        try:
            yield
        except PostkeepError as error:
            metrics.REFUSALS.labels(error.code).inc()
            self._trail.note(EventName.KEY_REFUSE, **_with(fields, outcome="refused", code=error.code))
            _log.info("key_refused", method=fields.get("method"), code=error.code, detail=error.detail)
            raise


def _is_shared(grant: Grant, principal: bytes) -> bool:
    """Whether a user's ticket asks for the keys of somebody else."""
    return grant.kind is TicketKind.USER and NOBODY != grant.principal != principal


def _check_reader(grant: Grant, principal: bytes, keys: PrincipalKeys) -> None:
    """Raise RefusedError unless the grant is the principal's own, an approved export of the principal's mail,
    or the relay's for a queue."""
    exports = grant.kind is TicketKind.GRANT and grant.purpose == selection.PURPOSE
    if grant.kind is TicketKind.USER or exports:
        allowed = NOBODY != grant.principal == principal and grant.tenant == keys.tenant
    else:
        allowed = grant.kind is TicketKind.OPERATION and grant.purpose == RELAY_PURPOSE and keys.queue
    if not allowed:
        raise RefusedError("the ticket is not for this principal's keys", code="refused.principal")


def _check_provisioner(grant: Grant, tenant: bytes) -> None:
    """Raise RefusedError if a module on its own asks for more than the installation's keys."""
    check_id(tenant)
    if grant.kind is TicketKind.MODULE and tenant != NOBODY:
        raise RefusedError("tenants' keys are made with a staff ticket", code="refused.no_ticket")


def _with(fields: EventFields, **more: Unpack[EventFields]) -> EventFields:
    return fields | more
