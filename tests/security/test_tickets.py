"""Rogue modules against a genuine keeper, over a real Unix socket and over TLS: T1 and T3 to T7."""

import asyncio
import hashlib
import importlib
import pkgutil
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.tls_material import mutual_context

from postkeep.base.clock import FixedClock
from postkeep.base.errors import RefusedError
from postkeep.base.ids import new_id
from postkeep.crypto import paseto
from postkeep.model.categories import Category
from postkeep.model.ticket import Action
from postkeep.services.authority.api import Revocation
from postkeep.services.kms import api as kms
from postkeep.services.vault import api as vault
from postkeep.tickets import token as tokens
from postkeep.tickets.channel import Link, Refusal, Server, TlsTarget
from postkeep.tickets.channel import link as link_module
from postkeep.tickets.channel.handshake import unix_binding
from postkeep.tickets.clear import Grant
from postkeep.tickets.identity import Anchors, ModuleIdentity
from postkeep.tickets.mint import Mint
from postkeep.tickets.narrow import narrow
from postkeep.tickets.revocations import RevocationView
from postkeep.tickets.rules import EVERYBODY, RULES, purpose_named, rules_for
from postkeep.tickets.verify import Verifier

DELIVER = purpose_named("deliver")
TENANT, ALICE, BOB = new_id(), new_id(), new_id()
SESSION = new_id()
INBOX, OTHER_BOX = new_id(), new_id()


class Realm:
    """An authority's key and clock, and module identities that it has enrolled."""

    def __init__(self) -> None:
        key = Ed25519PrivateKey.generate()
        self.clock = FixedClock()
        self.mint = Mint(key.sign, self.clock)
        self.anchors = Anchors()
        self.anchors.trust("authority", key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def module(self, name: str, number: int = 1, certificate: bytes = b"") -> ModuleIdentity:
        """Enrol a module; `certificate`: the one that it speaks with between hosts, in DER."""
        identity = ModuleIdentity(name, f"{name}-{number}.test")
        named = hashlib.sha256(certificate).hexdigest() if certificate else ""
        identity.ticket = self.mint.module(name, identity.instance, identity.thumbprint, certificate=named)[1]
        return identity

    def user(self, holder: ModuleIdentity, principal: bytes = ALICE, **claims: Any) -> bytes:
        ticket, token = self.mint.user(
            "imap", holder.instance, holder.thumbprint, tenant=TENANT, principal=principal, session=SESSION
        )
        return self.mint.sign(msgspec.structs.replace(ticket, **claims)) if claims else token

    def operation(self, holder: ModuleIdentity, purpose: str) -> bytes:
        found = purpose_named(purpose)
        assert found is not None
        return self.mint.operation(holder.module, holder.instance, holder.thumbprint, found)[1]


class Keeper:
    """A genuine vault (or kms) server whose handlers count the bytes that they give out."""

    def __init__(self, realm: Realm, name: str = "vault") -> None:
        self.realm = realm
        self.given = 0
        self.refusals: list[Refusal] = []
        self.view = RevocationView()
        self.view.heard(0)
        self.identity = realm.module(name)
        table = {method: (request_of(method), self._handler(method)) for method in rules_for(name)}
        self.server = Server(
            self.identity,
            realm.anchors,
            name,
            table,
            self.view,
            self.refusals.append,
            realm.clock,
        )

    def _handler(self, method: str) -> Callable[[Grant, Any], Awaitable[msgspec.Struct]]:
        async def give(grant: Grant, _request: Any) -> msgspec.Struct:
            assert grant.method == method
            self.given += 1
            return vault.Quota(1, 1, None)

        return give


def request_of(method: str) -> type[msgspec.Struct]:
    """The request type of a wire method, found by the name in its docstring."""
    for package in (
        importlib.import_module(f"postkeep.services.{name}") for name in ("vault", "queue", "kms")
    ):
        for name in (found.name for found in pkgutil.iter_modules(package.__path__)):
            if not name.endswith("api"):
                continue
            for value in vars(importlib.import_module(f"{package.__name__}.{name}")).values():
                if isinstance(value, type) and f"`{method}`" in (value.__doc__ or "").split(":")[0]:
                    return value
    raise LookupError(method)


class Refused(NamedTuple):
    code: str
    given: int
    refusals: list[Refusal]


def connect(realm: Realm, identity: ModuleIdentity, path: Path, keeper: str = "vault") -> Link:
    link = Link(identity, realm.anchors, keeper, path)
    # The keeper's clock stands still in these tests; so must the caller's.
    link._verifier = Verifier(realm.anchors, realm.clock)
    return link


def attempt(  # noqa: PLR0917 - what a rogue chooses, in the order of the call
    tmp_path: Path,
    realm: Realm,
    identity: ModuleIdentity,
    ticket: bytes,
    method: str = "vault.content",
    request: msgspec.Struct | None = None,
    before: Callable[[Keeper], None] | None = None,
    connection: Callable[[Realm, ModuleIdentity, Path, str], Link] = connect,
) -> Refused:
    """Make one call as a rogue would; return the refusal's code and what the keeper noticed."""
    name = method.partition(".")[0]
    asked = request if request is not None else vault.FetchContent(ALICE, INBOX, [vault.Range(1)])

    async def run() -> Refused:
        keeper = Keeper(realm, name)
        await keeper.server.serve_unix(tmp_path / f"{name}.sock")
        if before is not None:
            before(keeper)
        link = connection(realm, identity, tmp_path / f"{name}.sock", name)
        code = ""
        try:
            await link.call(method, asked, vault.Quota, ticket=ticket)
        except RefusedError as error:
            code = error.code
        finally:
            await link.close()
            await keeper.server.close()
        return Refused(code, keeper.given, keeper.refusals)

    return asyncio.run(run())


def test_a_genuine_user_ticket_is_answered(tmp_path: Path) -> None:
    realm = Realm()
    imap = realm.module("imap")
    assert attempt(tmp_path, realm, imap, realm.user(imap)) == Refused("", 1, [])


# --- T1: no ticket, no byte ---


@pytest.mark.parametrize("module", [name for name in EVERYBODY if name not in {"vault", "kms"}])
def test_t1_no_module_gets_a_byte_without_the_ticket_that_the_rule_asks_for(
    tmp_path: Path, module: str
) -> None:
    realm = Realm()

    async def run() -> None:
        for name in ("vault", "kms"):
            keeper = Keeper(realm, name)
            await keeper.server.serve_unix(tmp_path / f"{name}.sock")
            link = connect(realm, realm.module(module), tmp_path / f"{name}.sock", name)
            admitted = any(name == rule.method.partition(".")[0] and module in rule.callers for rule in RULES)
            for method, rules in rules_for(name).items():
                if any(rule.kind is None and module in rule.callers for rule in rules):
                    continue
                before = len(keeper.refusals)
                with pytest.raises(RefusedError) as caught:
                    await link.call(method, kms.Anchors(), vault.Quota)
                listed = any(module in rule.callers for rule in rules)
                expected = "no_ticket" if listed else "method" if admitted else "audience"
                assert caught.value.code == f"refused.{expected}", method
                assert len(keeper.refusals) == before + 1, method
            assert keeper.given == 0
            await link.close()
            await keeper.server.close()

    asyncio.run(run())


def test_t1_mx_can_deposit_and_can_call_nothing_that_reads(tmp_path: Path) -> None:
    realm = Realm()
    mx = realm.module("mx")
    ticket = realm.operation(mx, "deliver")
    deposit = vault.DepositBatch([], [])
    assert attempt(tmp_path, realm, mx, ticket, "vault.deposit", deposit).given == 1
    for method in ("vault.content", "vault.summaries", "vault.epochs", "vault.sync", "vault.queue_content"):
        outcome = attempt(tmp_path, realm, mx, ticket, method)
        assert (outcome.code, outcome.given, len(outcome.refusals)) == ("refused.method", 0, 1)
    outcome = attempt(tmp_path, realm, mx, ticket, "kms.open_epochs", kms.OpenEpochs(ALICE, []))
    assert (outcome.code, outcome.given) == ("refused.method", 0)


# --- T3: mutations ---

Rogue = Callable[[Realm, ModuleIdentity], bytes]


def _flipped(realm: Realm, holder: ModuleIdentity) -> bytes:
    token = realm.user(holder)
    return token[:-10] + (b"A" if token[-10:-9] != b"A" else b"B") + token[-9:]


def _self_signed(realm: Realm, holder: ModuleIdentity) -> bytes:
    claims = tokens.read(realm.user(holder))[0].ticket
    return tokens.write(claims, holder.sign)


def _without_implicit(realm: Realm, holder: ModuleIdentity) -> bytes:
    payload = paseto.parse(realm.user(holder)).payload
    assert realm.mint._signer is not None
    return paseto.sign(realm.mint._signer, payload)


def _unknown_claim(realm: Realm, holder: ModuleIdentity) -> bytes:
    payload = paseto.parse(realm.user(holder)).payload
    assert realm.mint._signer is not None
    return paseto.sign(realm.mint._signer, payload[:-1] + b',"only_on":"sundays"}', implicit=tokens.IMPLICIT)


def _widened_child(realm: Realm, holder: ModuleIdentity, **claims: Any) -> bytes:
    parent = realm.user(holder, mailboxes=(OTHER_BOX.hex(),), actions=(Action.MAIL_READ,))
    child = narrow(holder, parent, holder=holder.thumbprint, audience=("vault",), clock=realm.clock)
    ticket = msgspec.structs.replace(tokens.read(child)[0].ticket, **claims)
    return tokens.append(tokens.write(ticket, holder.sign), holder.public_key, parent)


def _another_parent(realm: Realm, holder: ModuleIdentity) -> bytes:
    first, second = realm.user(holder), realm.user(holder)
    child = narrow(holder, first, holder=holder.thumbprint, audience=("vault",), clock=realm.clock)
    return tokens.append(child.split(b"~")[0], holder.public_key, second)


def _narrowed_by_a_stranger(realm: Realm, holder: ModuleIdentity) -> bytes:
    parent, stranger = realm.user(holder), realm.module("imap", 2)
    child = tokens.read(
        narrow(holder, parent, holder=holder.thumbprint, audience=("vault",), clock=realm.clock)
    )
    return tokens.append(tokens.write(child[0].ticket, stranger.sign), stranger.public_key, parent)


MUTATIONS: dict[str, tuple[Rogue, str]] = {
    "audience": (lambda r, h: r.user(h, audience=("kms",)), "audience"),
    "expired": (
        lambda r, h: r.user(h, issued=r.clock.now_seconds() - 300, expires=r.clock.now_seconds()),
        "expired",
    ),
    "not yet": (lambda r, h: r.user(h, issued=r.clock.now_seconds() + 6), "early"),
    "mailbox": (lambda r, h: r.user(h, mailboxes=(OTHER_BOX.hex(),)), "mailbox"),
    "no mailbox": (lambda r, h: r.user(h, mailboxes=()), "mailbox"),
    "category": (lambda r, h: r.user(h, categories=(Category.METADATA,)), "category"),
    "no category": (lambda r, h: r.user(h, categories=()), "category"),
    "action": (lambda r, h: r.user(h, actions=(Action.MAIL_WRITE,)), "action"),
    "principal": (lambda r, h: r.user(h, principal=BOB), "principal"),
    "holder": (lambda r, _h: r.user(r.module("imap", 2)), "holder"),
    "kind": (lambda r, h: r.operation(h, "deliver"), "audience_or_kind"),
    "staff": (lambda r, h: r.mint.staff("imap", h.instance, h.thumbprint, session=SESSION)[1], "kind"),
    "module ticket": (lambda _r, h: h.ticket, "kind"),
    "signature": (_flipped, "signature"),
    "signed by the holder itself": (_self_signed, "signature"),
    "signed for something else": (_without_implicit, "signature"),
    "version": (lambda r, h: b"v3" + r.user(h)[2:], "malformed"),
    "footer": (lambda r, h: r.user(h) + b".AAAA", "malformed"),
    "unknown claim": (_unknown_claim, "claims"),
    "parent hash": (_another_parent, "chain"),
    "narrowed by a stranger": (_narrowed_by_a_stranger, "chain"),
    "child with more actions": (
        lambda r, h: _widened_child(r, h, actions=(Action.MAIL_READ, Action.MAIL_SEND)),
        "widened",
    ),
    "child with more mailboxes": (lambda r, h: _widened_child(r, h, mailboxes=None), "widened"),
    "child that lives longer": (
        lambda r, h: _widened_child(r, h, expires=r.clock.now_seconds() + 61),
        "widened",
    ),
    "child of another user": (lambda r, h: _widened_child(r, h, principal=BOB.hex()), "widened"),
    "child that hides its depth": (lambda r, h: _widened_child(r, h, depth=0), "widened"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_t3_a_mutated_ticket_is_refused_and_the_refusal_is_told_once(tmp_path: Path, name: str) -> None:
    realm = Realm()
    imap = realm.module("imap")
    make, code = MUTATIONS[name]
    outcome = attempt(tmp_path, realm, imap, make(realm, imap))
    allowed = {"refused.audience", "refused.kind"} if code == "audience_or_kind" else {f"refused.{code}"}
    assert outcome.code in allowed
    assert outcome.given == 0
    assert [refusal.code for refusal in outcome.refusals] == [outcome.code]
    assert outcome.refusals[0].instance == imap.instance


@pytest.mark.parametrize("scope", ["session", "user", "tenant", "instance"])
def test_t3_a_revoked_ticket_is_refused(tmp_path: Path, scope: str) -> None:
    realm = Realm()
    imap = realm.module("imap")
    ticket = realm.user(imap)
    subject = {"session": SESSION.hex(), "user": ALICE.hex(), "tenant": TENANT.hex()}.get(
        scope, imap.instance
    )

    def revoke(keeper: Keeper) -> None:
        keeper.view.learn(Revocation(scope, subject, realm.clock.now_ms() + 1))

    outcome = attempt(tmp_path, realm, imap, ticket, before=revoke)
    assert (outcome.code, outcome.given, len(outcome.refusals)) == ("refused.revoked", 0, 1)


def test_t3_a_key_that_is_no_longer_trusted_voids_what_it_signed(tmp_path: Path) -> None:
    realm, other = Realm(), Realm()
    imap = realm.module("imap")
    (foreign,) = other.anchors.authority.values()

    realm.anchors.trust("authority", foreign)
    ticket = other.user(imap)
    assert attempt(tmp_path, realm, imap, ticket).given == 1
    realm.anchors.distrust(foreign)
    assert attempt(tmp_path, realm, imap, ticket).code == "refused.signature"


def test_t3_a_budget_that_is_used_up_is_refused(tmp_path: Path) -> None:
    realm = Realm()
    mx = realm.module("mx")
    assert DELIVER is not None
    ticket, _ = realm.mint.operation("mx", mx.instance, mx.thumbprint, DELIVER)
    small = realm.mint.sign(msgspec.structs.replace(ticket, budget=1))
    item = vault.Deposit(TENANT, new_id(), b"", b"", 0, [])
    batch = vault.DepositBatch([item, item], [])
    outcome = attempt(tmp_path, realm, mx, small, "vault.deposit", batch)
    assert (outcome.code, outcome.given) == ("refused.budget", 0)


def test_t3_appending_into_another_tenant_or_mailbox_owner_is_refused(tmp_path: Path) -> None:
    realm = Realm()
    imap = realm.module("imap")

    def deposit(tenant: bytes, principal: bytes, queued: list[vault.QueueItem]) -> vault.Append:
        placement = vault.Placement(principal, new_id(), 0, b"")
        return vault.Append([vault.Deposit(tenant, new_id(), b"", b"", 0, [placement], queue=queued)], [])

    own = attempt(tmp_path, realm, imap, realm.user(imap), "vault.append", deposit(TENANT, ALICE, []))
    assert own.given == 1
    item = vault.QueueItem(new_id(), "example.net", TENANT, new_id(), 0, b"", b"", 1)
    for request, code in (
        (deposit(new_id(), ALICE, []), "refused.tenant"),
        (deposit(TENANT, BOB, []), "refused.principal"),
        (deposit(TENANT, ALICE, [item]), "refused.principal"),
    ):
        outcome = attempt(tmp_path, realm, imap, realm.user(imap), "vault.append", request)
        assert (outcome.code, outcome.given) == (code, 0)


# --- T3 on the channel: frames ---


def _tampering(change: Callable[[bytes, bytes], tuple[bytes, bytes]]) -> Callable[..., Link]:
    """Make a link that alters each frame after its MAC was made."""

    def build(realm: Realm, identity: ModuleIdentity, path: Path, keeper: str) -> Link:
        link = connect(realm, identity, path, keeper)

        class Tampering(link_module._Connection):
            def _write(self, parts: tuple[Any, ...]) -> None:
                write = self._lanes.from_caller.write
                head, body = write(parts)
                self._transport.writelines(change(head, body))

        async def open_tampering() -> link_module._Connection:
            binding = unix_binding(path.name)
            _, connection = await asyncio.get_running_loop().create_unix_connection(
                lambda: Tampering(identity, link._verifier, keeper, lambda _transport: binding), str(path)
            )
            return connection

        link._open = open_tampering  # type: ignore[method-assign]
        return link

    return build


def test_t3_an_altered_frame_is_refused_and_ends_the_connection(tmp_path: Path) -> None:
    realm = Realm()
    imap = realm.module("imap")
    altered = _tampering(lambda head, body: (head, body[:-1] + bytes([body[-1] ^ 1])))
    outcome = attempt(tmp_path, realm, imap, realm.user(imap), connection=altered)
    assert (outcome.code, outcome.given) == ("refused.mac", 0)
    assert [refusal.code for refusal in outcome.refusals] == ["refused.mac"]


def test_t5_a_copied_frame_is_worthless_on_its_own_connection(tmp_path: Path) -> None:
    realm = Realm()
    imap = realm.module("imap")
    twice = _tampering(lambda head, body: (head, body + head + body))
    outcome = attempt(tmp_path, realm, imap, realm.user(imap), connection=twice)
    assert outcome.given <= 1
    assert [refusal.code for refusal in outcome.refusals] == ["refused.counter"]


# --- T5: stolen tickets ---


def test_t5_a_stolen_user_ticket_is_refused_from_another_process(tmp_path: Path) -> None:
    realm = Realm()
    thief, owner = realm.module("imap", 2), realm.module("imap", 1)
    outcome = attempt(tmp_path, realm, thief, realm.user(owner))
    assert (outcome.code, outcome.given, len(outcome.refusals)) == ("refused.holder", 0, 1)
    assert outcome.refusals[0].instance == thief.instance
    assert outcome.refusals[0].principal == ""  # the ticket was not verified, so nothing in it is believed


def test_t5_a_stolen_module_ticket_does_not_open_a_connection(tmp_path: Path) -> None:
    realm = Realm()
    owner, thief = realm.module("imap", 1), ModuleIdentity("imap", "imap-1.test")
    thief.ticket = owner.ticket
    outcome = attempt(tmp_path, realm, thief, realm.user(owner))
    assert (outcome.code, outcome.given, len(outcome.refusals)) == ("refused.holder", 0, 1)


def test_t5_a_keeper_that_is_not_the_one_asked_for_gets_no_call(tmp_path: Path) -> None:
    realm = Realm()
    imap = realm.module("imap")

    async def run() -> None:
        impostor = Keeper(realm, "vault")
        impostor.identity.ticket = realm.mint.module("mx", "mx-1.test", impostor.identity.thumbprint)[1]
        await impostor.server.serve_unix(tmp_path / "vault.sock")
        link = connect(realm, imap, tmp_path / "vault.sock")
        with pytest.raises(RefusedError) as caught:
            await link.call("vault.quota", vault.GetQuota(ALICE), vault.Quota, ticket=realm.user(imap))
        assert caught.value.code == "refused.keeper"
        assert impostor.given == 0
        await link.close()
        await impostor.server.close()

    asyncio.run(run())


def test_an_expired_module_ticket_stops_calls_on_a_live_connection(tmp_path: Path) -> None:
    realm = Realm()
    imap = realm.module("imap")

    async def run() -> None:
        keeper = Keeper(realm)
        await keeper.server.serve_unix(tmp_path / "vault.sock")
        link = Link(imap, realm.anchors, "vault", tmp_path / "vault.sock")
        lenient = FixedClock(realm.clock.seconds)
        link._verifier = Verifier(realm.anchors, lenient)
        request = vault.GetQuota(ALICE)
        await link.call("vault.quota", request, vault.Quota, ticket=realm.user(imap))
        realm.clock.advance(601)
        with pytest.raises(RefusedError) as caught:
            await link.call("vault.quota", request, vault.Quota, ticket=realm.user(imap))
        assert caught.value.code == "refused.expired"
        # With a fresh module ticket the same connection goes on.
        imap.ticket = realm.mint.module("imap", imap.instance, imap.thumbprint)[1]
        await link.call("vault.quota", request, vault.Quota, ticket=realm.user(imap))
        assert (keeper.given, len(keeper.refusals)) == (2, 1)
        await link.close()
        await keeper.server.close()

    asyncio.run(run())


# --- T6 and T7: what a module that was taken over can do ---


def test_t6_a_taken_imap_reads_the_mailboxes_of_the_tickets_it_holds_and_no_others(tmp_path: Path) -> None:
    realm = Realm()
    taken, neighbour = realm.module("imap", 1), realm.module("imap", 2)
    people = [new_id() for _ in range(12)]
    here = {person: realm.user(taken, person) for person in people[:3]}
    elsewhere = {person: realm.user(neighbour, person) for person in people[3:6]}

    async def run() -> set[bytes]:
        keeper = Keeper(realm)
        await keeper.server.serve_unix(tmp_path / "vault.sock")
        link = connect(realm, taken, tmp_path / "vault.sock")
        read = set()
        for person in people:
            for ticket in (b"", taken.ticket, *here.values(), *elsewhere.values(), *_forged(person)):
                try:
                    request = vault.FetchContent(person, INBOX, [vault.Range(1)])
                    await link.call("vault.content", request, vault.Quota, ticket=ticket)
                    read.add(person)
                except RefusedError:
                    continue
        assert keeper.given == len(here)
        await link.close()
        await keeper.server.close()
        return read

    def _forged(person: bytes) -> list[bytes]:
        """What its key can sign: a ticket of its own making, and one hung on a ticket that it does hold."""
        parent = next(iter(here.values()))
        claims = msgspec.structs.replace(tokens.read(parent)[0].ticket, principal=person.hex())
        child = msgspec.structs.replace(claims, depth=1, parent=tokens.digest(parent))
        return [
            tokens.write(claims, taken.sign),
            tokens.append(tokens.write(child, taken.sign), taken.public_key, parent),
        ]

    assert asyncio.run(run()) == set(here)


@pytest.mark.parametrize("module", ["mx", "submission", "relay"])
def test_t7_whoever_delivers_can_not_read_back_what_it_wrote(tmp_path: Path, module: str) -> None:
    realm = Realm()
    writer = realm.module(module)
    ticket = realm.operation(writer, "deliver")
    for method in ("vault.content", "vault.summaries", "vault.epochs", "vault.queue_content"):
        outcome = attempt(tmp_path, realm, writer, ticket, method)
        assert outcome.code in {"refused.method", "refused.action"}, method
        assert outcome.given == 0
    outcome = attempt(tmp_path, realm, writer, ticket, "kms.open_epochs", kms.OpenEpochs(ALICE, []))
    assert outcome.code in {"refused.method", "refused.audience"}
    assert outcome.given == 0


# --- The same over TLS 1.3 ---


def test_the_same_channel_over_mutual_tls_serves_and_refuses() -> None:
    """T5 between hosts: tickets are bound to the certificate that their module was enrolled with."""
    realm = Realm()
    ca, other_ca = trustme.CA(), trustme.CA()
    own = mutual_context(ca, ca, ssl.Purpose.SERVER_AUTH, "node.test")
    another = mutual_context(ca, ca, ssl.Purpose.SERVER_AUTH, "node.test")
    foreign = mutual_context(ca, other_ca, ssl.Purpose.SERVER_AUTH, "node.test")
    imap, thief = realm.module("imap", 1, own[1]), realm.module("imap", 2, own[1])
    local = realm.module("imap", 3)

    async def run() -> None:
        keeper = Keeper(realm)
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        server_context, server_certificate = mutual_context(ca, ca, ssl.Purpose.CLIENT_AUTH, "vault.test")
        await keeper.server.serve_tls(listener, server_context, certificate=server_certificate)
        port = listener.getsockname()[1]

        async def ask(
            identity: ModuleIdentity, side: tuple[ssl.SSLContext, bytes], swap: bytes = b""
        ) -> None:
            target = TlsTarget("127.0.0.1", port, "vault.test", side[0], swap or side[1])
            link = Link(identity, realm.anchors, "vault", target)
            link._verifier = Verifier(realm.anchors, realm.clock)
            try:
                await link.call("vault.quota", vault.GetQuota(ALICE), vault.Quota, ticket=realm.user(imap))
            finally:
                await link.close()

        async def refused(*asked: Any) -> str:
            with pytest.raises(RefusedError) as caught:
                await ask(*asked)
            return caught.value.code

        assert await refused(imap, own) == "refused.certificate"  # the keeper's own names none yet
        keeper.identity.ticket = realm.mint.module(
            "vault",
            "vault-1.test",
            keeper.identity.thumbprint,
            certificate=hashlib.sha256(server_certificate).hexdigest(),
        )[1]
        await ask(imap, own)
        assert keeper.given == 1
        assert await refused(thief, own) == "refused.holder"
        assert await refused(imap, another) == "refused.certificate"  # its ticket and key on another host
        assert await refused(local, own) == "refused.certificate"  # enrolled for one host only
        assert await refused(imap, own, b"another certificate") == "refused.handshake"
        with pytest.raises(Exception, match=r"can't be reached|connection"):
            await ask(imap, foreign)
        assert keeper.given == 1
        weak = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with pytest.raises(ValueError, match=r"1\.3"):
            await keeper.server.serve_tls(listener, weak, certificate=server_certificate)
        await keeper.server.close()

    asyncio.run(run())
