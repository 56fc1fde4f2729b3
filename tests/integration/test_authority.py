"""The authority over a real channel and a real PostgreSQL: enrolment, sign-in, sessions, directory, feed."""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.warrants import narrower_than, person_warrant, tenant_warrant

from postkeep.base.clock import FixedClock
from postkeep.base.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    ThrottledError,
    UnavailableError,
)
from postkeep.base.ids import NOBODY, new_id
from postkeep.model.audit import EventName
from postkeep.model.warrant import Warrant
from postkeep.protocols.sasl.scram import ScramClient
from postkeep.services.authority import api
from postkeep.services.authority.client import AuthorityClient, OperationTickets
from postkeep.services.authority.enrolment import Enrolments
from postkeep.services.authority.feed import FeedLog
from postkeep.services.authority.passwords import Passwords
from postkeep.services.authority.service import AuthorityService
from postkeep.services.authority.state import AuthorityState
from postkeep.services.kms.api import SignedPublicKey
from postkeep.stores.authority_access import AccessRows, RevocationRow, SessionRow
from postkeep.stores.authority_directory import DirectoryRows
from postkeep.stores.authority_requests import GovernanceRows
from postkeep.stores.postgres import Pool, load_migrations, migrate, open_pool
from postkeep.tickets import token as tokens
from postkeep.tickets.channel import Link, Server
from postkeep.tickets.follow import follow_feed
from postkeep.tickets.identity import Anchors, ModuleIdentity
from postkeep.tickets.mint import OPERATION_SECONDS, Mint
from postkeep.tickets.revocations import RevocationView
from postkeep.tickets.verify import Verifier

T = TypeVar("T")
PASSWORD = "correct horse battery"
ACCOUNT_KEY = os.urandom(32)


def key_of(tenant: bytes, principal: bytes) -> SignedPublicKey:
    return SignedPublicKey(tenant, principal, 1, os.urandom(1216), os.urandom(64))


@dataclass
class Events:
    """Keeps what would go to the ledger."""

    seen: list[tuple[EventName, dict[str, Any]]] = field(default_factory=list)

    def note(self, event: EventName, personal: object = None, **fields: Any) -> None:
        del personal
        self.seen.append((event, fields))

    async def record(self, event: EventName, personal: object = None, **fields: Any) -> int:
        self.note(event, personal, **fields)
        return len(self.seen)

    def named(self, event: EventName) -> list[dict[str, Any]]:
        return [fields for name, fields in self.seen if name is event]


class Office:
    """A running authority with one company, and callers of several modules."""

    def __init__(self, pool: Pool, run_dir: Path) -> None:
        self.pool = pool
        self.path = run_dir / "authority.sock"
        key = Ed25519PrivateKey.generate()
        self.clock = FixedClock()
        self.mint = Mint(key.sign, self.clock)
        self.anchors = Anchors()
        self.anchors.trust("authority", key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
        self.events = Events()
        self.view = RevocationView()
        self.enrolments = Enrolments()
        self.passwords = Passwords()
        self.state = AuthorityState(
            self.mint,
            self.clock,
            FeedLog(self.view),
            self.events,
            DirectoryRows(pool),
            AccessRows(pool),
            GovernanceRows(pool),
        )
        self.identity = self.module("authority")
        self.service = AuthorityService(self.state, self.enrolments, self.passwords, os.getuid())
        self.server = Server(
            self.identity,
            self.anchors,
            "authority",
            self.service.handlers(),
            self.view,
            self.service.on_refusal,
            self.clock,
        )
        self.links: list[Link] = []
        self.tenant = new_id()
        self.steward = self.module("steward")
        self.staff = self.mint.staff(
            "steward", self.steward.instance, self.steward.thumbprint, session=new_id()
        )[1]
        self.admin = self.client(self.steward)
        self.imap_identity = self.module("imap")
        self.imap = self.client(self.imap_identity)

    def destroyer(self, warrant: Warrant) -> bytes:
        """Make a grant for exactly one destruction."""
        return self.mint.grant(
            "steward",
            self.steward.instance,
            self.steward.thumbprint,
            kind="destroy",
            request=new_id(),
            subject=warrant.digest(),
            tenant=warrant.tenant,
            principal=warrant.principal,
        )[1]

    def module(self, name: str, number: int = 1) -> ModuleIdentity:
        identity = ModuleIdentity(name, f"{name}-{number}.test")
        identity.ticket = self.mint.module(name, identity.instance, identity.thumbprint)[1]
        return identity

    def client(self, identity: ModuleIdentity) -> AuthorityClient:
        link = Link(identity, self.anchors, "authority", self.path)
        link._verifier = Verifier(self.anchors, self.clock)
        self.links.append(link)
        return AuthorityClient(link)

    def unlock(self) -> None:
        self.state.unlock(ACCOUNT_KEY, key_of(NOBODY, NOBODY))

    async def start(self) -> None:
        self.state.feed.load(await self.state.access.revocations(), await self.state.directory.version())
        await self.server.serve_unix(self.path)

    async def company(self, domain: str = "example.com") -> None:
        await self.admin.create_tenant(
            api.CreateTenant(self.tenant, domain, "Example", key_of(self.tenant, new_id())), ticket=self.staff
        )

    async def person(self, name: str, password: str | None = PASSWORD) -> bytes:
        principal = new_id()
        await self.admin.create_user(
            api.CreateUser(
                self.tenant,
                principal,
                f"{name}@example.com",
                name.title(),
                password,
                None,
                key_of(self.tenant, principal),
            ),
            ticket=self.staff,
        )
        return principal

    async def group(self, name: str, members: list[str]) -> bytes:
        principal = new_id()
        await self.admin.create_group(
            api.CreateGroup(self.tenant, principal, f"{name}@example.com", name.title(), members),
            ticket=self.staff,
        )
        return principal

    async def sign_in(self, name: str, password: str = PASSWORD, network: str = "192.0.2.1") -> api.SignedIn:
        return await self.imap.sign_in(api.SignIn(f"{name}@example.com", password, network, "imap"))

    async def close(self) -> None:
        for link in self.links:
            await link.close()
        await self.server.close()
        self.passwords.close()


def run(
    dsn: str, run_dir: Path, scenario: Callable[[Office], Awaitable[Any]], *, locked: bool = False
) -> None:
    async def whole() -> None:
        pool = await open_pool(dsn)
        try:
            async with pool.acquire() as connection:
                await migrate(connection, "authority", load_migrations("postkeep.stores.sql.authority"))
            office = Office(pool, run_dir)
            await office.start()
            try:
                if not locked:
                    office.unlock()
                    await office.company()
                await scenario(office)
            finally:
                await office.close()
        finally:
            await pool.close()

    asyncio.run(whole())


# --- Modules ---


def test_an_expected_instance_enrols_once_with_its_secret_and_nobody_else(dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        async def enrol(secret: bytes, instance: str = "mx-1.new", module: str = "mx") -> ModuleIdentity:
            identity = ModuleIdentity(module, instance)
            link = Link(identity, office.anchors, "authority", office.path)
            link._verifier = Verifier(office.anchors, office.clock)
            try:
                answer = await link.call(
                    "authority.enrol",
                    api.Enrol(module, instance, secret, identity.public_key),
                    api.ModuleTicket,
                )
                identity.ticket = answer.ticket
                await link.call("authority.feed", api.Feed(0, 0.0), api.FeedPage)
            finally:
                await link.close()
            return identity

        secret = os.urandom(32)
        digest = hashlib.sha256(secret).digest()
        office.enrolments.expect("mx", "mx-1.new", digest, os.getuid(), os.getpid())
        identity = await enrol(secret)
        ticket = tokens.read(identity.ticket)[0].ticket
        assert (ticket.module, ticket.instance, ticket.holder) == ("mx", "mx-1.new", identity.thumbprint)
        assert "vault.deposit" in ticket.methods
        assert "vault.content" not in ticket.methods

        refused = [
            (None, secret, "mx"),  # used up
            (digest, os.urandom(32), "mx"),
            (digest, b"", "mx"),
            (digest, secret, "kms"),
            (digest, secret, "cli"),
        ]
        for expectation, given, module in refused:
            if expectation is not None:
                office.enrolments.expect("mx", "mx-1.new", expectation, os.getuid(), os.getpid())
            with pytest.raises(RefusedError) as caught:
                await enrol(given, module=module)
            assert caught.value.code == "refused.enrolment"
        office.enrolments.expect("mx", "mx-1.new", digest, os.getuid() + 1, os.getpid())
        with pytest.raises(RefusedError):
            await enrol(secret)
        told = office.events.named(EventName.TICKET_REFUSE)
        assert [item["code"] for item in told] == ["refused.enrolment"] * 6

    run(dsn, tmp_path, scenario, locked=True)


def test_before_kms_has_answered_modules_enrol_and_people_wait(dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        assert (await office.imap.renew_module(api.RenewModule())).ticket
        with pytest.raises(UnavailableError) as caught:
            await office.sign_in("alice")
        assert caught.value.code == "unavailable.starting"
        office.unlock()
        with pytest.raises(RefusedError):
            await office.sign_in("alice")

    run(dsn, tmp_path, scenario, locked=True)


def test_operation_tickets_go_to_those_the_table_names_and_renew_by_themselves(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario(office: Office) -> None:
        mx = office.client(office.module("mx"))
        ticket = tokens.read((await mx.issue_operation(api.IssueOperation("deliver"))).ticket)[0].ticket
        assert (ticket.purpose, ticket.audience, ticket.actions) == ("deliver", ("vault",), ("mail.deposit",))
        for purpose in ("relay", "maintain", "everything"):
            with pytest.raises(RefusedError) as caught:
                await mx.issue_operation(api.IssueOperation(purpose))
            assert caught.value.code == "refused.purpose"
        held = OperationTickets(mx, "deliver", office.clock)
        first = await held.get()
        assert await held.get() == first
        office.clock.advance(OPERATION_SECONDS // 2)
        assert await held.get() == first  # renewed beside, not before
        for _ in range(500):
            await asyncio.sleep(0.01)
            if await held.get() != first:
                break
        assert await held.get() != first
        held.discard()
        assert await held.get()
        await held.close()

    run(dsn, tmp_path, scenario)


def test_the_owner_of_the_machine_signs_in_by_the_sockets_peer_alone(dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        identity = ModuleIdentity("cli", "cli")
        link = Link(identity, office.anchors, "authority", office.path)
        link._verifier = Verifier(office.anchors, office.clock)
        answer = await link.call("authority.operator_sign_in", api.OperatorSignIn(), api.ModuleTicket)
        await link.close()
        module, staff = (tokens.read(item)[0].ticket for item in (answer.ticket, answer.staff))
        assert module.module == "cli"
        assert module.audience == ("authority", "backup", "kms", "steward")
        straight = {m for m in module.methods if m.startswith(("vault.", "kms.", "ledger."))}
        assert straight == {"kms.reseal", "kms.set_custody"}, "secrets that the steward must not see"
        assert staff.kind == "staff"
        assert "mail.read" not in staff.actions

    run(dsn, tmp_path, scenario, locked=True)


# --- People ---


def test_a_right_password_opens_a_session_with_the_users_ticket(dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        alice = await office.person("alice")
        await office.admin.create_alias(api.CreateAlias("al@example.com", alice), ticket=office.staff)
        await office.admin.grant_address(api.GrantAddress(alice, "sales@example.com"), ticket=office.staff)
        signed_in = await office.sign_in("Alice")
        ticket = tokens.read(signed_in.ticket)[0].ticket
        assert (ticket.principal, ticket.tenant) == (alice.hex(), office.tenant.hex())
        assert ticket.holder == office.imap_identity.thumbprint
        assert ticket.actions == ("mail.read", "mail.write")
        assert signed_in.addresses == ["alice@example.com", "al@example.com", "sales@example.com"]
        assert signed_in.public_key.principal == alice
        # Submission may send and not read.
        submission = office.client(office.module("submission"))
        sender = await submission.sign_in(api.SignIn("al@example.com", PASSWORD, "192.0.2.1", "submission"))
        assert tokens.read(sender.ticket)[0].ticket.actions == ("mail.send",)
        (first, *_) = office.events.named(EventName.SIGN_IN)
        assert first["principal"] == alice.hex()

    run(dsn, tmp_path, scenario)


def test_whoever_is_not_let_in_hears_the_same(dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        await office.person("alice")
        disabled = await office.person("bob")
        await office.person("carol", None)
        await office.group("team", ["alice@example.com"])
        await office.admin.set_status(api.SetStatus(disabled, "disabled"), ticket=office.staff)
        heard = set()
        for name, password in (
            ("alice", "wrong password"),
            ("bob", PASSWORD),
            ("carol", "whatever it is"),
            ("nobody", PASSWORD),
            ("team", PASSWORD),
            ("no one at all", PASSWORD),
            ("alice", "\u0000control"),
            ("alice", ""),
        ):
            with pytest.raises(RefusedError) as caught:
                await office.sign_in(name, password)
            heard.add((caught.value.code, caught.value.public_text))
        assert len(heard) == 1
        refusals = office.events.named(EventName.SIGN_IN)
        assert len(refusals) == 8
        assert all("@" not in str(fields) and "alice" not in str(fields) for fields in refusals)

    run(dsn, tmp_path, scenario)


def test_scram_signs_in_with_the_password_and_with_an_app_password(dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        alice = await office.person("alice")
        made = await office.admin.create_app_password(
            api.CreateAppPassword(alice, "phone", ["imap"]), ticket=office.staff
        )

        async def scram(name: str, password: str, module: str = "imap") -> api.SignedIn:
            caller = office.client(office.module(module, 2))
            client = ScramClient(name, password)
            challenge = await caller.scram_start(api.ScramStart(client.client_first, "192.0.2.9", module))
            final = client.receive_first(challenge.server_first)
            answer = await caller.scram_finish(api.ScramFinish(challenge.exchange, final))
            client.receive_final(answer.server_final)
            with pytest.raises(RefusedError):  # an exchange ends once
                await caller.scram_finish(api.ScramFinish(challenge.exchange, final))
            return answer

        assert (await scram("alice@example.com", PASSWORD)).principal == alice
        assert (await scram("ALICE@example.com", made.password)).principal == alice
        for name, password, module in (
            ("alice@example.com", "wrong password", "imap"),
            ("alice@example.com", made.password, "submission"),
            ("nobody@example.com", PASSWORD, "imap"),
        ):
            with pytest.raises(RefusedError) as caught:
                await scram(name, password, module)
            assert caught.value.code == "refused.credentials"
        client = ScramClient("nobody@example.com", PASSWORD)
        salts = {
            (
                await office.imap.scram_start(api.ScramStart(client.client_first, "192.0.2.9", "imap"))
            ).server_first.split(b",")[1]
            for _ in range(3)
        }
        assert len(salts) == 1  # an account that does not exist has a salt, and always the same

    run(dsn, tmp_path, scenario)


def test_app_passwords_are_shown_once_limited_to_protocols_and_cut_their_sessions(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario(office: Office) -> None:
        alice = await office.person("alice")
        made = await office.admin.create_app_password(
            api.CreateAppPassword(alice, "phone", ["imap"]), ticket=office.staff
        )
        listed = await office.admin.list_app_passwords(api.ListAppPasswords(alice), ticket=office.staff)
        assert [(item.name, item.password) for item in listed.passwords] == [("phone", "")]
        by_app = await office.sign_in("alice", made.password)
        by_password = await office.sign_in("alice")
        submission = office.client(office.module("submission"))
        with pytest.raises(RefusedError):
            await submission.sign_in(
                api.SignIn("alice@example.com", made.password, "192.0.2.1", "submission")
            )
        await office.admin.delete_app_password(api.DeleteAppPassword(alice, made.id), ticket=office.staff)
        with pytest.raises(RefusedError):
            await office.imap.renew_user(api.RenewUser(by_app.session))
        await office.imap.renew_user(api.RenewUser(by_password.session))
        with pytest.raises(RefusedError):
            await office.sign_in("alice", made.password)

    run(dsn, tmp_path, scenario)


def test_a_face_can_not_pass_off_its_app_passwords_as_another_protocols(dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        alice = await office.person("alice")
        made = await office.admin.create_app_password(
            api.CreateAppPassword(alice, "printer", ["submission"]), ticket=office.staff
        )
        with pytest.raises(RefusedError):
            await office.imap.sign_in(
                api.SignIn("alice@example.com", made.password, "192.0.2.1", "submission")
            )
        first = ScramClient("alice@example.com", made.password).client_first
        with pytest.raises(RefusedError):
            await office.imap.scram_start(api.ScramStart(first, "192.0.2.1", "submission"))

    run(dsn, tmp_path, scenario)


@pytest.mark.parametrize("change", ["password", "app password", "disabled"])
def test_a_sign_in_under_way_does_not_outlive_the_change_that_ends_the_others(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    async def scenario(office: Office) -> None:
        alice = await office.person("alice")
        made = await office.admin.create_app_password(
            api.CreateAppPassword(alice, "phone", ["imap"]), ticket=office.staff
        )
        access = office.state.access
        real = access.open_session

        async def late(row: SessionRow, network: bytes | None) -> None:
            if change == "password":
                request = api.SetPassword(alice, "another long password")
                await office.admin.set_password(request, ticket=office.staff)
            elif change == "disabled":
                await office.admin.set_status(api.SetStatus(alice, "disabled"), ticket=office.staff)
            else:
                gone = api.DeleteAppPassword(alice, made.id)
                await office.admin.delete_app_password(gone, ticket=office.staff)
            await real(row, network)

        monkeypatch.setattr(access, "open_session", late)
        with pytest.raises(RefusedError):
            await office.sign_in("alice", made.password if change == "app password" else PASSWORD)
        assert await office.pool.fetchval("SELECT count(*) FROM sessions") == 0

    run(dsn, tmp_path, scenario)


@pytest.mark.parametrize("method", ["open_session", "renew_session"])
def test_a_ticket_made_while_its_user_is_revoked_is_void_or_never_given(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    async def scenario(office: Office) -> None:
        alice = await office.person("alice")
        before = await office.sign_in("alice")
        real = getattr(office.state.access, method)

        async def revoked(*arguments: Any) -> None:
            if method == "renew_session":
                await office.admin.revoke(api.Revoke("user", alice.hex()), ticket=office.staff)
            await real(*arguments)
            if method == "open_session":
                await office.admin.revoke(api.Revoke("user", alice.hex()), ticket=office.staff)
            office.clock.advance(1)

        monkeypatch.setattr(office.state.access, method, revoked)
        if method == "renew_session":
            with pytest.raises(RefusedError):
                await office.imap.renew_user(api.RenewUser(before.session))
            return
        given = await office.sign_in("alice")
        verified = Verifier(office.anchors, office.clock).verify(
            given.ticket, audience="vault", holder=office.imap_identity.thumbprint
        )
        with pytest.raises(RefusedError) as caught:
            office.view.check(verified)
        assert caught.value.code == "refused.revoked"

    run(dsn, tmp_path, scenario)


def test_a_ticket_given_while_a_revocation_is_on_its_way_to_the_database_is_void_too(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(office: Office) -> None:
        alice = await office.person("alice")
        real = office.state.access.revoke
        given: list[api.SignedIn] = []

        async def slow(scope: str, subject: str, now_ms: Callable[[], int]) -> RevocationRow:
            office.clock.advance(1)
            given.append(await office.sign_in("alice"))
            return await real(scope, subject, now_ms)

        monkeypatch.setattr(office.state.access, "revoke", slow)
        await office.state.revoke(None, api.Revoke("user", alice.hex()))
        verified = Verifier(office.anchors, office.clock).verify(
            given[0].ticket, audience="vault", holder=office.imap_identity.thumbprint
        )
        with pytest.raises(RefusedError) as caught:
            office.view.check(verified)
        assert caught.value.code == "refused.revoked"

    run(dsn, tmp_path, scenario)


def test_followers_hear_of_every_revocation_when_several_are_made_at_once(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(office: Office) -> None:
        subjects = [new_id().hex() for _ in range(3)]
        real = office.state.access.revoke

        async def late(scope: str, subject: str, now_ms: Callable[[], int]) -> RevocationRow:
            row = await real(scope, subject, now_ms)
            if subject == subjects[0]:
                await asyncio.sleep(0.2)  # its answer comes after the second one's
            return row

        monkeypatch.setattr(office.state.access, "revoke", late)
        feed = office.state.feed
        first = asyncio.create_task(office.state.revoke(None, api.Revoke("user", subjects[0])))
        await asyncio.sleep(0.1)
        await office.state.revoke(None, api.Revoke("user", subjects[1]))
        early = await feed.next_page(0, feed.version, 0.0)
        await first
        await office.state.revoke(None, api.Revoke("user", subjects[2]))
        later = await feed.next_page(early.position, feed.version, 0.0)
        heard = {item.subject for item in (*early.revocations, *later.revocations)}
        assert heard == set(subjects)
        assert (await feed.next_page(later.position, feed.version, 0.0)).revocations == []

    run(dsn, tmp_path, scenario)


def test_guesses_are_throttled_per_network_and_the_owner_is_not_locked_out(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postkeep.services.authority.throttle.DELAY_SECONDS", 0.0)

    async def scenario(office: Office) -> None:
        await office.person("alice")
        await office.sign_in("alice", network="192.0.2.1")
        guesses = await asyncio.gather(
            *(office.sign_in("alice", f"guess number {number}", "198.51.100.7") for number in range(40)),
            return_exceptions=True,
        )
        refused = sum(isinstance(item, RefusedError) for item in guesses)
        throttled = sum(isinstance(item, ThrottledError) for item in guesses)
        assert refused + throttled == 40
        assert refused <= 12  # ten, and what was under way beside
        with pytest.raises(ThrottledError):
            await office.sign_in("alice", network="198.51.100.7")
        assert (await office.sign_in("alice", network="192.0.2.1")).ticket
        assert (await office.sign_in("alice", network="203.0.113.5")).ticket

    run(dsn, tmp_path, scenario)


# --- Sessions ---


def test_a_session_renews_for_its_holder_only_and_survives_a_restart(dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        await office.person("alice")
        signed_in = await office.sign_in("alice")
        thief = office.client(office.module("imap", 2))
        with pytest.raises(RefusedError) as caught:
            await thief.renew_user(api.RenewUser(signed_in.session))
        assert caught.value.code == "refused.holder"
        with pytest.raises(RefusedError):
            await thief.sign_out(api.SignOut(signed_in.session))
        told = office.events.named(EventName.TICKET_REFUSE)
        assert [(item["code"], item["instance"]) for item in told] == [("refused.holder", "imap-2.test")] * 2
        await office.server.close()
        restarted = Office(office.pool, tmp_path)
        restarted.mint = office.mint
        restarted.anchors.authority.update(office.anchors.authority)
        office.anchors.authority.update(restarted.anchors.authority)
        await restarted.start()
        restarted.unlock()
        again = await office.imap.renew_user(api.RenewUser(signed_in.session))
        assert again.ticket != signed_in.ticket
        assert again.addresses == signed_in.addresses
        await office.imap.sign_out(api.SignOut(signed_in.session))
        await office.imap.sign_out(api.SignOut(signed_in.session))
        with pytest.raises(RefusedError) as caught:
            await office.imap.renew_user(api.RenewUser(signed_in.session))
        assert caught.value.code == "refused.session"
        await restarted.close()

    run(dsn, tmp_path, scenario)


@pytest.mark.parametrize(
    "act", ["revoke session", "revoke user", "revoke tenant", "disable", "delete", "password"]
)
def test_what_ends_sessions_reaches_followers_at_once(dsn: str, tmp_path: Path, act: str) -> None:
    async def scenario(office: Office) -> None:
        alice = await office.person("alice")
        await office.person("bob")
        signed_in, other = await office.sign_in("alice"), await office.sign_in("bob")
        heard: asyncio.Queue[Any] = asyncio.Queue()
        view = RevocationView()
        vault = office.client(office.module("vault"))
        following = asyncio.create_task(follow_feed(vault, view, heard.put_nowait))
        await asyncio.sleep(0.1)
        office.clock.advance(0.01)
        staff = office.staff
        if act.startswith("revoke"):
            scope = act.split()[1]
            subject = {"session": signed_in.session, "user": alice, "tenant": office.tenant}[scope]
            await office.admin.revoke(api.Revoke(scope, subject.hex()), ticket=staff)
        elif act == "disable":
            await office.admin.set_status(api.SetStatus(alice, "disabled"), ticket=staff)
        elif act == "delete":
            warrant = person_warrant(office.tenant, alice)
            await office.admin.delete_principal(
                api.DeletePrincipal(warrant), ticket=office.destroyer(warrant)
            )
        else:
            await office.admin.set_password(api.SetPassword(alice, "another one entirely"), ticket=staff)
        await asyncio.wait_for(heard.get(), 5.0)
        verifier = Verifier(office.anchors, office.clock)
        holder = office.imap_identity.thumbprint
        with pytest.raises(RefusedError) as caught:
            view.check(verifier.verify(signed_in.ticket, audience="vault", holder=holder))
        assert caught.value.code == "refused.revoked"
        with pytest.raises(RefusedError):
            await office.imap.renew_user(api.RenewUser(signed_in.session))
        if act != "revoke tenant":
            view.check(verifier.verify(other.ticket, audience="vault", holder=holder))
            await office.imap.renew_user(api.RenewUser(other.session))
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        view.check_fresh()

    run(dsn, tmp_path, scenario)


# --- Directory ---


def test_addresses_resolve_through_aliases_and_nested_groups_to_distinct_people(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario(office: Office) -> None:
        alice, bob = await office.person("alice"), await office.person("bob")
        gone = await office.person("gone")
        await office.admin.create_alias(api.CreateAlias("al@example.com", alice), ticket=office.staff)
        inner = await office.group("inner", ["al@example.com", "bob@example.com", "outer@example.com"])
        await office.group(
            "outer",
            [
                "inner@example.com",
                "alice@example.com",
                "x@elsewhere.test",
                "gone@example.com",
                "typo@example.com",
            ],
        )
        await office.group("empty", [])
        await office.admin.set_status(api.SetStatus(gone, "disabled"), ticket=office.staff)
        mx = office.client(office.module("mx"))
        asked = [
            "ALICE@Example.COM",
            "al@example.com",
            "nobody@example.com",
            "gone@example.com",
            "x@elsewhere.test",
            "not an address",
            "outer@example.com",
            "inner@example.com",
            "empty@example.com",
        ]
        routes = (await mx.resolve(api.Resolve(asked))).routes
        assert [route.address for route in routes] == asked
        assert [route.status for route in routes] == [
            "local",
            "local",
            "unknown",
            "disabled",
            "foreign",
            "unknown",
            "local",
            "local",
            "disabled",
        ]
        assert routes[0].recipients == routes[1].recipients
        assert sorted(item.key.principal for item in routes[6].recipients) == sorted([alice, bob])
        assert routes[6].forwards == ["x@elsewhere.test"]
        assert sorted(item.key.principal for item in routes[7].recipients) == sorted([alice, bob])
        await office.admin.set_members(api.SetMembers(inner, ["bob@example.com"]), ticket=office.staff)
        (route,) = (await mx.resolve(api.Resolve(["inner@example.com"]))).routes
        assert [item.key.principal for item in route.recipients] == [bob]

    run(dsn, tmp_path, scenario)


def test_each_change_takes_the_directory_on_and_wakes_the_feed(dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        mx = office.client(office.module("mx"))
        page = await mx.poll_feed(0, -1, 5.0)
        waiting = asyncio.create_task(mx.poll_feed(page.position, page.directory_version, 5.0))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await office.person("alice")
        later = await asyncio.wait_for(waiting, 5.0)
        assert later.directory_version > page.directory_version
        routes = await mx.resolve(api.Resolve(["alice@example.com"]))
        assert routes.version == later.directory_version

    run(dsn, tmp_path, scenario)


def test_administration_shows_what_it_made_and_refuses_conflicts(dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        staff, admin = office.staff, office.admin
        alice = await office.person("alice")
        info = await admin.find(api.Find("alice@example.com"), ticket=staff)
        assert (info.principal, info.name, info.kind, info.status) == (alice, "Alice", "user", "active")
        with pytest.raises(ConflictError):
            await office.person("alice")
        await admin.add_domain(api.AddDomain(office.tenant, "example.org"), ticket=staff)
        await admin.create_alias(api.CreateAlias("alice@example.org", alice), ticket=staff)
        with pytest.raises(ConflictError):
            await admin.remove_domain(api.RemoveDomain("example.org"), ticket=staff)
        with pytest.raises(ConflictError):
            await admin.delete_alias(api.DeleteAlias("alice@example.com"), ticket=staff)
        await admin.delete_alias(api.DeleteAlias("alice@example.org"), ticket=staff)
        await admin.remove_domain(api.RemoveDomain("example.org"), ticket=staff)
        with pytest.raises(NotFoundError):
            await admin.create_alias(api.CreateAlias("alice@example.org", alice), ticket=staff)
        with pytest.raises(InvalidInputError):
            await office.person("weak", "short")
        with pytest.raises(NotFoundError):
            await admin.grant_address(api.GrantAddress(alice, "boss@elsewhere.test"), ticket=staff)
        await admin.set_quota(api.SetQuota(alice, 10**9), ticket=staff)
        listed = await admin.list_principals(api.ListPrincipals(office.tenant, "user"), ticket=staff)
        assert [(item.address, item.quota_bytes) for item in listed.principals] == [
            ("alice@example.com", 10**9)
        ]
        (tenant,) = (await admin.list_tenants(api.ListTenants(), ticket=staff)).tenants
        assert (tenant.name, tenant.domains, tenant.users) == ("Example", ["example.com"], 1)
        assert await admin.find_tenant(api.FindTenant("EXAMPLE.com"), ticket=staff) == tenant
        mx = office.client(office.module("mx"))
        assert (await mx.queue_key(api.QueueKey(office.tenant))).tenant == office.tenant
        assert (await mx.queue_key(api.QueueKey(b""))).tenant == NOBODY
        company = tenant_warrant(office.tenant)
        with pytest.raises(RefusedError):
            await admin.delete_tenant(api.DeleteTenant(company), ticket=staff)
        with pytest.raises(RefusedError):  # a person is no group, whose end an operator's word would do for
            await admin.delete_group(api.DeleteGroup(alice), ticket=staff)
        for narrower in narrower_than(person_warrant(office.tenant, alice)):
            approved = office.destroyer(narrower)
            for attempt in (
                admin.delete_principal(api.DeletePrincipal(narrower), ticket=approved),
                admin.delete_tenant(api.DeleteTenant(narrower), ticket=approved),
            ):
                with pytest.raises(RefusedError) as caught:
                    await attempt
                assert caught.value.code == "refused.unit"
        await admin.delete_tenant(api.DeleteTenant(company), ticket=office.destroyer(company))
        assert (await admin.list_tenants(api.ListTenants(), ticket=staff)).tenants == []
        (route,) = (await mx.resolve(api.Resolve(["alice@example.com"]))).routes
        assert route.status == "foreign"

    run(dsn, tmp_path, scenario)


def test_no_address_name_or_password_is_readable_in_the_database(
    dsn: str, tmp_path: Path, cluster_dir: Path
) -> None:
    words = [b"zanzibar", b"quetzalcoatl", b"xylophonist", b"yggdrasil"]

    async def scenario(office: Office) -> None:
        await office.admin.create_user(
            api.CreateUser(
                office.tenant,
                principal := new_id(),
                "zanzibar@example.com",
                "Quetzalcoatl",
                "xylophonist music",
                None,
                key_of(office.tenant, principal),
            ),
            ticket=office.staff,
        )
        await office.admin.create_alias(
            api.CreateAlias("yggdrasil@example.com", principal), ticket=office.staff
        )
        await office.pool.execute("CREATE TABLE proof (word text)")
        await office.pool.execute("INSERT INTO proof VALUES ('an Ouagadougou of the search')")
        await office.pool.execute("CHECKPOINT")
        found = dict.fromkeys([*words, b"Ouagadougou", b"example.com"], 0)
        for path in (cluster_dir / "data").rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                for word in found:
                    found[word] += data.lower().count(word.lower())
        assert found[b"Ouagadougou"] > 0
        assert found[b"example.com"] > 0
        assert {word: found[word] for word in words} == dict.fromkeys(words, 0)

    run(dsn, tmp_path, scenario)


def test_a_row_moved_to_another_place_does_not_open(dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        await office.person("alice")
        mallory = await office.person("mallory", "mallory's own one")
        await office.pool.execute(
            "UPDATE credentials SET sealed = (SELECT sealed FROM credentials WHERE principal <> $1) "
            "WHERE principal = $1",
            mallory,
        )
        with pytest.raises(Exception, match="integrity"):
            await office.sign_in("mallory")

    run(dsn, tmp_path, scenario)
