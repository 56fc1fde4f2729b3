"""Module instances get their tickets, on this host and over TLS; the operator of the machine gets theirs."""

import asyncio
import hashlib
import os
import socket
import ssl
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trustme
from tests.authority_world import Office, run
from tests.tls_material import mutual_context

from postkeep.base.errors import RefusedError, UnavailableError
from postkeep.model.audit import EventName
from postkeep.services.authority import api
from postkeep.services.authority.client import OperationTickets
from postkeep.tickets import token as tokens
from postkeep.tickets.channel import Link, TlsTarget
from postkeep.tickets.identity import ModuleIdentity
from postkeep.tickets.mint import OPERATION_SECONDS
from postkeep.tickets.verify import Verifier

T = TypeVar("T")


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


# --- Between hosts ---


class Host:
    """A host that speaks to the authority over TLS, with a certificate of its own."""

    def __init__(self, office: Office, ca: trustme.CA, port: int) -> None:
        self.office = office
        context, certificate = mutual_context(ca, ca, ssl.Purpose.SERVER_AUTH, "host.test")
        self.target = TlsTarget("127.0.0.1", port, "authority.test", context, certificate)
        self.certificate = hashlib.sha256(certificate).hexdigest()

    async def call(self, identity: ModuleIdentity, method: str, request: Any, reply: type[T]) -> T:
        """Call the authority from this host, over a connection of its own."""
        link = Link(identity, self.office.anchors, "authority", self.target)
        link._verifier = Verifier(self.office.anchors, self.office.clock)
        try:
            return await link.call(method, request, reply)
        finally:
            await link.close()

    async def enrol(self, secret: bytes, named: str | None = None) -> ModuleIdentity:
        """Enrol an instance of mx; `named`: the certificate that it names, instead of its own."""
        identity = ModuleIdentity("mx", "mx-1.far")
        certificate = self.certificate if named is None else named
        request = api.Enrol("mx", "mx-1.far", secret, identity.public_key, certificate)
        identity.ticket = (await self.call(identity, "authority.enrol", request, api.ModuleTicket)).ticket
        return identity

    async def hear(self, identity: ModuleIdentity) -> api.FeedPage:
        """Do what needs a module ticket."""
        return await self.call(identity, "authority.feed", api.Feed(0, 0.0), api.FeedPage)


async def two_hosts(office: Office) -> tuple[Host, Host]:
    """Let the authority listen to other hosts, and make two of them."""
    ca = trustme.CA()
    context, certificate = mutual_context(ca, ca, ssl.Purpose.CLIENT_AUTH, "authority.test")
    office.identity.ticket = office.mint.module(
        "authority",
        office.identity.instance,
        office.identity.thumbprint,
        certificate=hashlib.sha256(certificate).hexdigest(),
    )[1]
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    await office.server.serve_tls(listener, context, certificate=certificate)
    port = listener.getsockname()[1]
    return Host(office, ca, port), Host(office, ca, port)


async def refused(asked: Awaitable[Any]) -> str:
    """Return the code of the refusal that this must meet."""
    with pytest.raises(RefusedError) as caught:
        await asked
    return caught.value.code


def test_a_module_of_another_host_enrols_over_tls_and_its_ticket_is_good_from_there_only(
    dsn: str, tmp_path: Path
) -> None:
    """T5 between hosts: with the module's ticket and its key, another certificate gets nothing."""

    async def scenario(office: Office) -> None:
        own, other = await two_hosts(office)
        secret = os.urandom(32)
        digest = hashlib.sha256(secret).digest()
        office.enrolments.expect("mx", "mx-1.far", digest, None, None, own.certificate)
        identity = await own.enrol(secret)
        assert tokens.read(identity.ticket)[0].ticket.certificate == own.certificate
        await own.hear(identity)
        assert await refused(other.hear(identity)) == "refused.certificate"

        renewed = await own.call(identity, "authority.renew_module", api.RenewModule(), api.ModuleTicket)
        assert renewed.ticket != identity.ticket
        identity.ticket = renewed.ticket
        await own.hear(identity)
        assert await refused(other.hear(identity)) == "refused.certificate"

        local = office.module("mx", 2)  # enrolled on this host: its ticket names no certificate
        assert await refused(own.hear(local)) == "refused.certificate"
        told = office.events.named(EventName.ACCESS_REFUSE)
        assert [item["code"] for item in told] == ["refused.certificate"] * 3

    run(dsn, tmp_path, scenario, locked=True)


def test_over_tls_nobody_enrols_but_the_host_that_is_expected(dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        own, other = await two_hosts(office)
        secret = os.urandom(32)
        digest = hashlib.sha256(secret).digest()

        def expect(certificate: str, uid: int | None = None, pid: int | None = None) -> None:
            office.enrolments.expect("mx", "mx-1.far", digest, uid, pid, certificate)

        expect(own.certificate)
        assert await refused(other.enrol(secret)) == "refused.enrolment"
        assert await refused(own.enrol(secret)) == "refused.enrolment", "a try uses the secret up"
        expect(own.certificate)
        assert await refused(own.enrol(secret, other.certificate)) == "refused.enrolment"
        expect(own.certificate)
        assert await refused(own.enrol(secret, "")) == "refused.enrolment"
        expect("", os.getuid(), os.getpid())  # a process of this host does not come over TLS
        assert await refused(own.enrol(secret)) == "refused.enrolment"
        expect(own.certificate)  # nor an instance of another host by this one's socket
        identity = ModuleIdentity("mx", "mx-1.far")
        link = Link(identity, office.anchors, "authority", office.path)
        link._verifier = Verifier(office.anchors, office.clock)
        request = api.Enrol("mx", "mx-1.far", secret, identity.public_key, own.certificate)
        assert await refused(link.call("authority.enrol", request, api.ModuleTicket)) == "refused.enrolment"
        await link.close()
        expect(own.certificate)
        await own.hear(await own.enrol(secret))

    run(dsn, tmp_path, scenario, locked=True)
