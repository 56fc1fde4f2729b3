"""Sessions at the authority: what renews them, what ends them, and that nothing slips through meanwhile."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.authority_world import PASSWORD, Office, run
from tests.warrants import person_warrant

from postkeep.base.errors import RefusedError
from postkeep.base.ids import new_id
from postkeep.model.audit import EventName
from postkeep.services.authority import api
from postkeep.stores.authority_access import RevocationRow, SessionRow
from postkeep.tickets.follow import follow_feed
from postkeep.tickets.revocations import RevocationView
from postkeep.tickets.verify import Verifier


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
