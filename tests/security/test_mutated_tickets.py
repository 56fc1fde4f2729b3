"""T3: tickets and frames that were altered, against a genuine keeper over a real Unix socket."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.ticket_world import (
    ALICE,
    BOB,
    DELIVER,
    OTHER_BOX,
    SESSION,
    TENANT,
    Keeper,
    Realm,
    attempt,
    connect,
)

from postkeep.base.ids import new_id
from postkeep.crypto import paseto
from postkeep.model.categories import Category
from postkeep.model.ticket import Action
from postkeep.services.authority.api import Revocation
from postkeep.services.vault import api as vault
from postkeep.tickets import token as tokens
from postkeep.tickets.channel import Link
from postkeep.tickets.channel import link as link_module
from postkeep.tickets.channel.handshake import unix_binding
from postkeep.tickets.identity import ModuleIdentity
from postkeep.tickets.narrow import narrow

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
