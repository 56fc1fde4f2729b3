"""G2, TM-41: the grant of an export: who gets it, for what, and what of a person's keys it opens."""

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.authority_world import Office, run
from tests.governance_world import Desk, Hall, in_hall
from tests.kms_world import running, sealed, write_epochs

from postkeep.base.errors import (
    ApprovalNeededError,
    InvalidInputError,
    PostkeepError,
    RefusedError,
    UnavailableError,
)
from postkeep.base.ids import NOBODY, new_id
from postkeep.model.audit import EventName, PersonalValues
from postkeep.model.selection import Selection, export_subject
from postkeep.model.ticket import Action, TicketKind
from postkeep.services.authority import governance_api as api
from postkeep.services.authority.api import Done
from postkeep.services.kms import api as kms_api
from postkeep.services.kms.api import PersonKey, ReleasedKey
from postkeep.services.kms.service import _check_reader
from postkeep.tickets import token as tokens
from postkeep.tickets.clear import Grant

CHOSEN = Selection(b"m" * 16, since_ms=1_700_000_000_000)
REASON = "legal matter 7"
SUMMARY = (
    f"Read out the mailbox {'6d' * 16} (inbox), from 2023-11-14 22:13:20 UTC, for who asks, who chooses a"
    " passphrase. Reason: legal matter 7"
)


class PersonKeyAtKms:
    """Stands where the channel to kms does: gives a person's key, or is away."""

    def __init__(self) -> None:
        self.away = False

    async def person_key(self, _request: PersonKey) -> ReleasedKey:
        if self.away:
            raise UnavailableError("away")
        return ReleasedKey(bytes(32))


async def ask(hall: Hall, principal: bytes, kind: str = "export") -> bytes:
    """Have the steward open the request, as it does on an operator's command."""
    of_it = (kind, hall.office.tenant, principal)
    digest = export_subject(*of_it[1:], CHOSEN)
    request = api.OpenRequest(*of_it, digest, "", export=api.ExportOrder(CHOSEN, "inbox", REASON))
    if kind != "export":
        request = api.OpenRequest(*of_it, digest, "another act")
    opened = await hall.office.admin.open_request(request, ticket=hall.operator().ticket)
    return opened.id


async def take(desk: Desk, request: bytes) -> api.ExportTickets:
    return await desk.ask("issue_export", api.IssueExport(request), api.ExportTickets)


def test_two_others_approve_and_only_the_requesters_own_command_gets_the_grant(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario(hall: Hall) -> None:
        office = hall.office
        kms = PersonKeyAtKms()
        office.state.persons.use(kms)
        alice = await office.person("alice")
        request = await ask(hall, alice)
        for votes in (hall.ann, hall.bob):
            with pytest.raises(ApprovalNeededError):
                await take(hall.root, request)
            await votes.vote(request)
        with pytest.raises(RefusedError) as refused:
            await hall.approvals.renew(request)
        assert refused.value.code == "refused.purpose", "the steward never holds what reads mail"
        office.state.persons.forget(office.tenant)
        kms.away = True
        with pytest.raises(UnavailableError):
            await take(hall.root, request)
        assert office.events.named(EventName.REQUEST_GRANT) == [], "no grant that its owner could not read of"
        kms.away = False
        answer = await take(hall.root, request)
        ticket = tokens.read(answer.grant)[0].ticket
        assert (ticket.kind, ticket.module, ticket.purpose) == (TicketKind.GRANT, "export", "export")
        assert (ticket.tenant, ticket.principal) == (office.tenant.hex(), alice.hex())
        assert ticket.request == request.hex()
        assert ticket.subject == export_subject(office.tenant, alice, CHOSEN).hex()
        assert (ticket.actions, ticket.audience) == ((Action.MAIL_EXPORT,), ("vault", "kms"))
        assert (ticket.approvals, ticket.expires - ticket.issued) == (2, 900)
        module = tokens.read(answer.module)[0].ticket
        assert (module.holder, module.instance) == (ticket.holder, ticket.instance)
        assert all(method.startswith(("vault.export_", "kms.open_epochs")) for method in module.methods)
        (granted,) = office.events.named(EventName.REQUEST_GRANT)
        assert (granted["note"], granted["count"]) == (f"{request.hex()} export", 2)
        assert (granted["principal"], granted["ticket"]) == (alice.hex(), ticket.id)
        await hall.root.ask("staff_status", api.StaffStatus("ann", False), api.StaffInfo)
        with pytest.raises(ApprovalNeededError):
            await take(hall.root, request)  # an export under way asks again every few minutes
        await hall.root.ask("close_request", api.CloseRequest(request), Done)
        with pytest.raises(RefusedError) as ended:
            await take(hall.root, request)
        assert ended.value.code == "refused.request_ended"

    in_hall(dsn, tmp_path, scenario)


def test_without_dual_control_an_export_is_granted_by_policy_and_said_to_be(dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        hall = Hall(office)
        office.state.persons.use(PersonKeyAtKms())
        request = await ask(hall, await office.person("alice"))
        answer = await take(hall.root, request)
        assert tokens.read(answer.grant)[0].ticket.approvals == 0
        (opened,) = office.events.named(EventName.REQUEST_OPEN)
        assert opened["note"] == f"{request.hex()} export by-policy"
        (granted,) = office.events.named(EventName.REQUEST_GRANT)
        assert (granted["count"], granted["actor"]) == (0, "operator")

    run(dsn, tmp_path, scenario)


def test_approvers_read_what_an_export_chooses_and_nothing_beside_it(dsn: str, tmp_path: Path) -> None:
    """A steward in other hands asks for everything under the name of one mailbox."""

    async def scenario(hall: Hall) -> None:
        alice, tenant = await hall.office.person("alice"), hall.office.tenant
        digest = export_subject(tenant, alice, Selection())
        inbox, order = api.ExportOrder(CHOSEN, "inbox", REASON), api.ExportOrder(Selection())
        for lie in (
            api.OpenRequest("export", tenant, alice, digest, SUMMARY),
            api.OpenRequest("export", tenant, alice, digest, SUMMARY, export=inbox),
            api.OpenRequest("export", tenant, new_id(), digest, SUMMARY, export=order),
            api.OpenRequest("custody", tenant, alice, digest, SUMMARY, export=order),
        ):
            with pytest.raises(InvalidInputError):
                await hall.office.admin.open_request(lie, ticket=hall.operator().ticket)
        told = api.OpenRequest("export", tenant, alice, digest, SUMMARY, export=order)
        opened = await hall.office.admin.open_request(told, ticket=hall.operator().ticket)
        assert opened.summary == (
            "Read out all mailboxes, for who asks, who chooses a passphrase. No reason was given."
        )

    in_hall(dsn, tmp_path, scenario)


def test_nobody_takes_or_closes_another_requesters_export_nor_any_other_act(dsn: str, tmp_path: Path) -> None:
    async def scenario(hall: Hall) -> None:
        hall.office.state.persons.use(PersonKeyAtKms())
        alice = await hall.office.person("alice")
        await hall.root.create("olga", "auditor")
        olga = Desk(hall.office, "olga")
        export, other = await ask(hall, alice), await ask(hall, alice, kind="custody")
        for request in (export, other):
            await hall.ann.vote(request)
            await hall.bob.vote(request)
        attempts: list[tuple[Desk, str, msgspec.Struct]] = [
            (hall.root, "issue_export", api.IssueExport(other)),
            (hall.root, "close_request", api.CloseRequest(other)),
            (hall.ann, "issue_export", api.IssueExport(export)),
            (olga, "issue_export", api.IssueExport(export)),
            (olga, "close_request", api.CloseRequest(export)),
        ]
        for desk, method, request_value in attempts:
            with pytest.raises(RefusedError):
                await desk.ask(method, request_value, api.ExportTickets)
        assert hall.office.events.named(EventName.REQUEST_GRANT) == []

    in_hall(dsn, tmp_path, scenario)


def test_what_the_owner_reads_is_sealed_for_the_owner(dsn: str, tmp_path: Path) -> None:
    async def scenario(hall: Hall) -> None:
        office = hall.office
        office.state.persons.use(PersonKeyAtKms())
        told: list[bytes] = []
        whole = office.state.persons.sealer

        async def listen(tenant: bytes, principal: bytes, values: PersonalValues) -> Any:
            told.append(msgspec.json.encode(values))
            return await whole(tenant, principal, values)

        office.state.persons.sealer = listen  # type: ignore[method-assign]
        request = await ask(hall, await office.person("alice"))
        await hall.ann.vote(request)
        await hall.bob.vote(request)
        await take(hall.root, request)
        assert [msgspec.json.decode(one, type=PersonalValues).reason for one in told] == [SUMMARY]
        assert not any("legal" in str(fields) for _, fields in office.events.seen)

    in_hall(dsn, tmp_path, scenario)


def cleared(tenant: bytes, principal: bytes) -> Grant:
    """A cleared grant for an export, as a handler gets it."""
    return Grant(
        peer_module="export", peer_instance="export-1", connection=None, kind=TicketKind.GRANT,  # type: ignore[arg-type]
        tenant=tenant, principal=principal, session=b"", ticket_id="", categories=frozenset(),
        method="kms.open_epochs", purpose="export",
    )  # fmt: skip


def test_kms_opens_for_an_export_the_epochs_of_its_person_only_and_counts_them(
    dsn: str, tmp_path: Path
) -> None:
    """K7, TM-41: another person, kind of grant, module or holder is refused, and stands in the ledger."""

    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            tenant, alice, bob = new_id(), new_id(), new_id()
            hers, his = [write_epochs(await node.provision(tenant, one), 3) for one in (alice, bob)]
            export, other, steward = node.module("export"), node.module("export"), node.module("steward")

            def grant(holder: Any, principal: bytes, kind: str = "export", of: bytes = tenant) -> bytes:
                minted = node.mint.grant(
                    holder.module, holder.instance, holder.thumbprint, kind=kind, request=new_id(),
                    subject=os.urandom(32), tenant=of, principal=principal,
                )  # fmt: skip
                return minted[1]

            mine = kms_api.OpenEpochs(alice, [sealed(writer) for writer in hers])
            opened = await node.client(export).open_epochs(mine, ticket=grant(export, alice))
            assert [item.error for item in opened.epochs] == ["", "", ""]
            foreign = kms_api.OpenEpochs(bob, [sealed(writer) for writer in his])
            attempts: list[tuple[Any, bytes, kms_api.OpenEpochs]] = [
                (export, grant(export, alice), foreign),
                (export, grant(export, alice, of=new_id()), mine),
                (export, grant(export, alice, kind="destroy"), mine),
                (export, grant(export, alice, kind="custody"), mine),
                (export, grant(export, NOBODY), mine),
                (export, grant(other, alice), mine),
                (steward, grant(steward, alice), mine),
                (export, node.user(export, tenant, alice), mine),
                (export, b"", mine),
            ]
            for who, ticket, request in attempts:
                with pytest.raises(PostkeepError):
                    await node.client(who).open_epochs(request, ticket=ticket)
            keys = await node.kms.service._hierarchy.principal(alice)
            for change in (
                {"purpose": "destroy"},
                {"principal": bob},
                {"tenant": new_id()},
                {"kind": "staff"},
            ):
                forged = msgspec.structs.replace(cleared(tenant, alice), **change)  # past every other check
                with pytest.raises(RefusedError):
                    _check_reader(forged, alice, keys)
            _check_reader(cleared(tenant, alice), alice, keys)
            (release,) = await node.events(EventName.KEY_RELEASE, wait_for=1)
            assert (release.module, release.principal, release.count) == ("export", alice.hex(), 3)
            buckets = node.kms.service._ceilings._buckets
            assert round(buckets["principal", alice.hex()].level) == 3
            refusals = await node.events(EventName.KEY_REFUSE, wait_for=len(attempts))
            assert len(refusals) >= len(attempts)

    asyncio.run(scenario())
