"""The steward's world in one process: keepers that keep what real ones keep, and can break at any call.

A break is an error that the steward sees (a keeper is away) or, with `crash`, the steward's own death:
nothing of it goes on, and only what was durable is there afterwards.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from postkeep.base.clock import FixedClock
from postkeep.base.errors import (
    ApprovalNeededError,
    ConflictError,
    NotFoundError,
    PostkeepError,
    RefusedError,
    UnavailableError,
)
from postkeep.base.ids import NOBODY
from postkeep.crypto.context import context
from postkeep.crypto.cosignature import sign_checkpoint
from postkeep.crypto.fingerprint import Search, fingerprint
from postkeep.crypto.merkle import Frontier, inclusion_proof, leaf_hash, node_hash
from postkeep.crypto.note import Checkpoint
from postkeep.model.warrant import Unit, Warrant
from postkeep.services.authority import api as directory
from postkeep.services.authority import governance_api
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.backup.api import BackupsLeft
from postkeep.services.destruction.certificate import Keys
from postkeep.services.destruction.order import Order, Step
from postkeep.services.destruction.scan import Scan, ScanRequest
from postkeep.services.kms import api as kms
from postkeep.services.kms.client import KmsClient
from postkeep.services.ledger import api as ledger
from postkeep.services.ledger.client import LedgerClient
from postkeep.services.ledger.trail import Trail
from postkeep.services.steward.acts import Keepers as KeeperClients
from postkeep.services.steward.approvals import Approvals
from postkeep.services.steward.control import Control, Operator
from postkeep.services.steward.orders import Orders
from postkeep.services.steward.pending import Pending
from postkeep.services.vault import api as mail
from postkeep.services.vault import destruction_api
from postkeep.services.vault.client import VaultClient
from postkeep.stores.steward_orders import OrderRows

GRANT = b"grant"
ORIGIN = "world.example/ledger"


class Crash(BaseException):
    """The steward dies."""


OPERATOR = Operator(b"ticket", b"s" * 16, "root")


@dataclass
class Keepers:
    """What the keepers hold, and where the next break comes."""

    keys: set[tuple[bytes, bytes]] = field(default_factory=set)
    shredded: set[tuple[bytes, bytes]] = field(default_factory=set)
    tenants: dict[bytes, directory.TenantInfo] = field(default_factory=dict)
    users: dict[bytes, directory.UserInfo] = field(default_factory=dict)
    limits: dict[bytes, int | None] = field(default_factory=dict)
    recorded: list[str] = field(default_factory=list)
    calls: int = 0
    break_at: int = -1
    after_effect: bool = False
    error: PostkeepError = field(default_factory=UnavailableError)
    crash: bool = False
    """Break by the steward's death."""
    orders: dict[bytes, bytes] = field(default_factory=dict)
    certificates: dict[bytes, bytes] = field(default_factory=dict)
    holds: list[bytes] = field(default_factory=list)
    log: list[bytes] = field(default_factory=list)
    closed: set[bytes] = field(default_factory=set)
    dual_control: bool = False
    approved: set[bytes] = field(default_factory=set)
    ended: set[bytes] = field(default_factory=set)
    """Requests that were declined or withdrawn."""
    backups: list[str] = field(default_factory=list)
    """Backups that still hold keys."""
    copies: list[bytes] = field(default_factory=list)
    """What lies about on the disk beside the slots."""
    searched_at: int = -1
    """How many orders' keys were gone when the files were last searched: for `save_order` to hold against."""
    seen: list[Step] = field(default_factory=list)
    """Every step that was made durable, in order."""
    certificate_keys: tuple[Ed25519PrivateKey, MLDSA44PrivateKey] = field(
        default_factory=lambda: (Ed25519PrivateKey.generate(), MLDSA44PrivateKey.generate())
    )
    ledger_keys: tuple[Ed25519PrivateKey, MLDSA44PrivateKey] = field(
        default_factory=lambda: (Ed25519PrivateKey.generate(), MLDSA44PrivateKey.generate())
    )

    async def call(self, effect: Callable[[], Any]) -> Any:
        self.calls += 1
        if self.calls == self.break_at:
            if self.after_effect:
                effect()
            raise Crash if self.crash else self.error
        return effect()

    # --- ledger ---

    async def record(self, event: str, **fields: str) -> int:
        def effect() -> int:
            self.recorded.append(fields["note"])
            self.log.append(msgspec.json.encode({"event": str(event), **fields}))
            return len(self.log) - 1

        return cast("int", await self.call(effect))

    def note(self, event: str, **fields: str) -> None:
        self.log.append(msgspec.json.encode({"event": str(event), **fields}))

    async def checkpoint(self, *, ticket: bytes) -> ledger.CheckpointNote:
        assert ticket == b"operation"
        tree = Frontier()
        tree.append([leaf_hash(entry) for entry in self.log])
        first, second = self.ledger_keys
        note = sign_checkpoint(
            Checkpoint(ORIGIN, len(self.log), tree.root()),
            (first.public_key().public_bytes_raw(), first.sign),
            (second.public_key().public_bytes_raw(), second.sign),
            1_800_000_000,
        )
        return ledger.CheckpointNote(note)

    async def entries(self, request: ledger.Entries, *, ticket: bytes) -> ledger.EntryList:
        assert ticket == b"operation"
        return ledger.EntryList(request.start, self.log[request.start : request.start + request.count])

    async def inclusion(self, request: ledger.Inclusion, *, ticket: bytes) -> ledger.Proof:
        assert ticket == b"operation"

        def node(level: int, index: int) -> bytes:
            if level == 0:
                return leaf_hash(self.log[index])
            return node_hash(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))

        return ledger.Proof(inclusion_proof(request.index, request.size, node))

    # --- kms ---

    def _refuse_shredded(self, tenant: bytes, principal: bytes) -> None:
        """What was destroyed is never made again."""
        if (tenant, principal) in self.shredded:
            raise ConflictError("destroyed")

    async def provision_tenant(self, request: kms.ProvisionTenant, *, ticket: bytes) -> kms.Done:
        assert ticket == OPERATOR.ticket
        self._refuse_shredded(request.tenant, b"")
        await self.call(lambda: self.keys.add((request.tenant, b"")))
        return kms.Done()

    async def provision_principal(
        self, request: kms.ProvisionPrincipal, *, ticket: bytes
    ) -> kms.SignedPublicKey:
        assert ticket == OPERATOR.ticket
        self._refuse_shredded(request.tenant, request.principal)
        await self.call(lambda: self.keys.add((request.tenant, request.principal)))
        return kms.SignedPublicKey(request.tenant, request.principal, 1, b"", b"")

    def _destroy_keys(self, tenant: bytes, principal: bytes) -> int:
        gone = {key for key in self.keys if key[0] == tenant and principal in {b"", key[1]}}
        self.keys -= gone
        self.shredded.add((tenant, principal))
        return len(gone)

    async def shred(self, request: kms.Shred, *, ticket: bytes) -> kms.Shredded:
        assert ticket == GRANT
        return kms.Shredded(
            await self.call(lambda: self._destroy_keys(request.warrant.tenant, request.warrant.owner))
        )

    async def discard(self, request: kms.Discard, *, ticket: bytes) -> kms.Shredded:
        assert ticket == OPERATOR.ticket
        return kms.Shredded(await self.call(lambda: self._destroy_keys(request.tenant, request.principal)))

    def secrets(self, tenant: bytes, principal: bytes) -> list[bytes]:
        """What stands in the slots: one secret for each key that lives."""
        return [
            hashlib.sha256(b"slot" + key[0] + key[1]).digest()
            for key in sorted(self.keys)
            if key[0] == tenant and principal in {b"", key[1]}
        ]

    async def certify(self, request: kms.Certify, *, ticket: bytes) -> kms.Certified:
        assert ticket == b"operation"
        if request.tenant != NOBODY and (request.tenant, request.principal) not in self.shredded:
            raise ConflictError("the keys live")
        first, second = self.certificate_keys
        message = context("certificate", request.body)
        return kms.Certified(first.sign(message), second.sign(message), b"")

    @property
    def public_keys(self) -> Keys:
        """What a certificate is checked with."""
        parts = [key.public_key().public_bytes_raw() for key in (*self.certificate_keys, *self.ledger_keys)]
        return Keys(parts[0] + parts[1], parts[2], parts[3])

    # --- approvals, operations, backups ---

    async def open_request(self, request: governance_api.OpenRequest, *, ticket: bytes) -> Any:
        assert ticket == OPERATOR.ticket
        await self.call(lambda: None)
        return governance_api.IssueGrant(request.digest[:16])

    async def issue_grant(self, request: governance_api.IssueGrant) -> governance_api.GrantTicket:
        if request.id in self.closed | self.ended:
            raise RefusedError("closed", code="refused.request_ended")
        if self.dual_control and request.id not in self.approved:
            raise ApprovalNeededError("approvals are missing")
        await self.call(lambda: None)
        return governance_api.GrantTicket(GRANT, 2_000_000_000)

    async def settled(self, request: governance_api.Settle) -> governance_api.Settled:
        await self.call(lambda: None)
        return governance_api.Settled([one for one in request.ids if one in self.approved | self.ended])

    async def close_request(self, request: governance_api.CloseRequest) -> None:
        await self.call(lambda: self.closed.add(request.id))

    async def issue_operation(self, _request: object) -> directory.OperationTicket:
        return directory.OperationTicket(b"operation", 2_000_000_000)

    async def find_backup(self, backup: str) -> None:
        await self.call(lambda: None)
        if backup not in self.backups:
            raise NotFoundError

    async def destroy_backup(self, warrant: Warrant, *, ticket: bytes) -> None:
        assert ticket == GRANT
        await self.call(
            lambda: self.backups.remove(warrant.backup) if warrant.backup in self.backups else None
        )

    async def still_holding(self, _tenant: bytes, _principal: bytes, _before_ms: int) -> BackupsLeft:
        await self.call(lambda: None)
        return BackupsLeft(list(self.backups), 0)

    # --- rows ---

    async def save_order(self, order: bytes, _made_ms: int, body: bytes, *, is_open: bool) -> None:
        stands = msgspec.msgpack.decode(body, type=Order)
        assert is_open == stands.open
        if stands.unit is Unit.BACKUP:
            assert stands.backup not in self.backups or not stands.reached(Step.DELETED)
        elif stands.reached(Step.DESTROYED):
            principal = b"" if stands.unit is Unit.TENANT else stands.principal
            assert not self.secrets(stands.tenant, principal), "it says destroyed, and a key lives"
        if stands.unit is not Unit.BACKUP and stands.reached(Step.VERIFIED):
            assert stands.scan is not None
            assert stands.scan.clean, "it says verified, and no search has said so"
            assert self.searched_at >= 0, "it says verified, and nobody has searched"

        def effect() -> None:
            self.orders[order] = body
            self.seen.append(stands.step)

        await self.call(effect)

    async def order(self, order: bytes) -> bytes | None:
        return self.orders.get(order)

    def stands(self, order: bytes) -> Order:
        """Return an order as it stands durably."""
        return msgspec.msgpack.decode(self.orders[order], type=Order)

    async def open_orders(self) -> list[bytes]:
        return [body for body in self.orders.values() if msgspec.msgpack.decode(body, type=Order).open]

    async def save_certificate(self, order: bytes, certificate: bytes) -> None:
        await self.call(lambda: self.certificates.setdefault(order, certificate))

    async def certificate(self, order: bytes) -> bytes | None:
        return self.certificates.get(order)

    async def standing_holds(self) -> list[bytes]:
        return list(self.holds)

    async def search(self, request: bytes) -> bytes:
        """Search what is on the disk: the slots, and the control's file."""
        wanted = msgspec.msgpack.decode(request, type=ScanRequest)
        tenants = {key[0] for key in self.keys}
        disk = b"".join(secret for tenant in tenants for secret in self.secrets(tenant, b""))
        disk += b"".join(self.copies)
        await self.call(lambda: None)
        self.searched_at = len(self.shredded)
        return msgspec.msgpack.encode(
            [
                Scan(
                    roots=["/"],
                    files=1,
                    octets=len(disk),
                    unreadable=0,
                    began_ms=1,
                    ended_ms=2,
                    sought=len(subject.prints),
                    control_found=True,
                    found=["/slots"] if list(Search(subject.prints, subject.salt).hits(disk)) else [],
                )
                for subject in wanted.subjects
            ]
        )

    # --- authority ---

    async def find_tenant(self, request: directory.FindTenant, *, ticket: bytes) -> directory.TenantInfo:
        found = [info for info in self.tenants.values() if request.domain in info.domains]
        if not found:
            raise NotFoundError
        return found[0]

    async def list_tenants(self, _request: object, *, ticket: bytes) -> directory.TenantList:
        return directory.TenantList(list(self.tenants.values()))

    async def create_tenant(self, request: directory.CreateTenant, *, ticket: bytes) -> directory.TenantInfo:
        info = directory.TenantInfo(request.tenant, request.name, [request.domain], "active", 0, 1)
        await self.call(lambda: self.tenants.update({request.tenant: info}))
        return info

    async def delete_tenant(self, request: directory.DeleteTenant, *, ticket: bytes) -> directory.Done:
        assert ticket == GRANT

        def effect() -> None:
            if self.tenants.pop(request.warrant.tenant, None) is None:
                raise NotFoundError
            self.users = {p: info for p, info in self.users.items() if info.tenant != request.warrant.tenant}

        await self.call(effect)
        return directory.Done()

    async def find(self, request: directory.Find, *, ticket: bytes) -> directory.UserInfo:
        found = [info for info in self.users.values() if info.address == request.address]
        if not found:
            raise NotFoundError
        return found[0]

    async def list_principals(self, request: directory.ListPrincipals, *, ticket: bytes) -> Any:
        return directory.PrincipalList([u for u in self.users.values() if u.tenant == request.tenant])

    async def create_user(self, request: directory.CreateUser, *, ticket: bytes) -> directory.UserInfo:
        info = directory.UserInfo(
            request.tenant,
            request.principal,
            "user",
            request.address,
            request.name,
            "active",
            [],
            [],
            request.quota_bytes,
            1,
        )
        await self.call(lambda: self.users.update({request.principal: info}))
        return info

    async def delete_principal(self, request: directory.DeletePrincipal, *, ticket: bytes) -> directory.Done:
        assert ticket == GRANT

        def effect() -> None:
            if self.users.pop(request.warrant.principal, None) is None:
                raise NotFoundError

        await self.call(effect)
        return directory.Done()

    # --- vault ---

    async def purge(self, _request: destruction_api.Purge, *, ticket: bytes) -> mail.Maintained:
        assert ticket == b"operation"
        await self.call(lambda: None)
        return mail.Maintained(0, 0, 0, 0)

    async def set_quota(self, request: mail.SetQuota, *, ticket: bytes) -> mail.Done:
        await self.call(lambda: self.limits.update({request.principal: request.limit_bytes}))
        return mail.Done()

    async def remove_principal(self, request: mail.RemovePrincipal, *, ticket: bytes) -> mail.Removed:
        await self.call(lambda: self.limits.pop(request.warrant.principal, None))
        return mail.Removed(0)

    async def remove_tenant(self, request: mail.RemoveTenant, *, ticket: bytes) -> mail.Removed:
        await self.call(self.limits.clear)
        return mail.Removed(0)


class KmsSide:
    """The keepers as kms, whose `mark` has the same name as the vault's."""

    def __init__(self, keepers: Keepers) -> None:
        self._keepers = keepers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._keepers, name)

    async def mark(self, request: kms.Mark, *, ticket: bytes) -> kms.Marked:
        """Take fingerprints."""
        assert ticket == GRANT
        secrets = self._keepers.secrets(request.warrant.tenant, request.warrant.owner)
        await self._keepers.call(lambda: None)
        return kms.Marked([fingerprint(secret, request.salt) for secret in secrets], len(secrets))


class VaultSide(KmsSide):
    """The keepers as the vault, which holds no message here."""

    async def mark(self, request: Any, *, ticket: bytes) -> Any:
        """Find nothing to take fingerprints of."""
        assert ticket == GRANT
        return destruction_api.Marked([], 0)


def steward_orders(keepers: Keepers, state: Path) -> Orders:
    """Orders of a steward that has just started: they know what is in the rows, and nothing else."""
    clients = KeeperClients(
        cast("AuthorityClient", keepers),
        cast("KmsClient", KmsSide(keepers)),
        cast("VaultClient", VaultSide(keepers)),
        cast("LedgerClient", keepers),
        keepers,
    )
    state = state.with_name(state.name + "-orders")
    state.mkdir(exist_ok=True)
    return Orders(
        clients,
        Approvals(cast("AuthorityClient", keepers)),
        cast("OrderRows", keepers),
        search=keepers.search,
        state=state,
        trail=cast("Trail", keepers),
        clock=FixedClock(),
    )


def steward_control(keepers: Keepers, state: Path) -> Control:
    """A steward that has just started: it knows what its directory and its rows say, and nothing else."""
    return Control(
        cast("AuthorityClient", keepers),
        cast("KmsClient", keepers),
        cast("VaultClient", keepers),
        cast("Trail", keepers),
        Pending(state),
        steward_orders(keepers, state),
    )
