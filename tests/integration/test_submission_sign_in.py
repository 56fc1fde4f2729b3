"""Who gets in at the submission face, for how long, and what they hear who do not."""

import asyncio
import base64

import pytest
from tests.submission_world import ACME, PASSWORD, Office, Sasl, send, serve

from postkeep.base.errors import RefusedError, ThrottledError, UnavailableError
from postkeep.base.ids import new_id
from postkeep.faces.sasl import MECHANISMS
from postkeep.services.authority.api import (
    Revocation,
)
from postkeep.services.smtpclient import SmtpReplyError


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_every_mechanism_signs_in_and_a_wrong_password_does_not(mechanism: str, late: bool) -> None:  # noqa: FBT001
    async def scenario(office: Office) -> None:
        for tls in ("implicit", "required"):
            client = await office.client(tls=tls, sign_in=False)
            with pytest.raises(SmtpReplyError) as caught:
                await client.sign_in(Sasl(mechanism, "wrong", late=late))
            assert (caught.value.reply.code, caught.value.reply.enhanced) == (535, "5.7.8")
            await client.sign_in(Sasl(mechanism, late=late))
            assert (await send(client, "x@far.example"))[0].delivered
            await client.quit()
        assert {request.network for request in office.authority.asked} == {"127.0.0.1"}
        assert {request.protocol for request in office.authority.asked} == {"submission"}

    serve(scenario)


def test_nothing_is_signed_in_or_sent_in_the_clear() -> None:
    async def scenario(office: Office) -> None:
        client = await office.client(tls="none", sign_in=False)
        assert "AUTH" not in client.extensions
        with pytest.raises(SmtpReplyError) as caught:
            await client.sign_in(Sasl("PLAIN"))
        assert caught.value.reply.code == 538
        assert (await send(client, "x@far.example"))[0].reply.code == 530
        await client.quit()
        client = await office.client(sign_in=False)
        assert (await send(client, "x@far.example"))[0].reply.code == 530
        await client.quit()
        assert not office.authority.asked
        assert not office.world.deposits

    serve(scenario)


def test_a_revoked_session_is_cut_at_once() -> None:
    async def scenario(office: Office) -> None:
        for scope, subject in (("user", office.ann.key.principal), ("tenant", ACME)):
            client = await office.client()
            office.sessions.revoked(Revocation("user", new_id().hex(), 0))
            assert (await send(client, "x@far.example"))[0].delivered
            office.sessions.revoked(Revocation(scope, subject.hex(), 0))
            reply = (await send(client, "x@far.example"))[0]
            assert (reply.delivered, reply.reply.code) == (False, 421)
            client.close()
        assert len(office.world.queued(ACME)) == 2

    serve(scenario)


def test_tickets_are_renewed_while_the_client_stays_and_the_session_ends_with_it() -> None:
    async def scenario(office: Office) -> None:
        client = await office.client()
        await office.sessions.renew_due()
        assert office.authority.renewed == 0
        office.world.clock.advance(550)
        await office.sessions.renew_due()
        assert office.authority.renewed == 1
        assert (await send(client, "x@far.example"))[0].delivered
        await client.quit()
        await asyncio.sleep(0.05)
        assert len(office.authority.ended) == 1
        client = await office.client()
        office.world.clock.advance(550)
        office.authority.revoked = True
        await office.sessions.renew_due()
        assert (await send(client, "x@far.example"))[0].reply.code == 421
        client.close()

    serve(scenario)


@pytest.mark.parametrize(
    ("error", "code"),
    [(ThrottledError(code="throttled.account"), 454), (UnavailableError(), 454), (RefusedError(), 535)],
)
def test_why_a_sign_in_failed_is_told_apart_only_as_far_as_it_helps(error: Exception, code: int) -> None:
    async def scenario(office: Office) -> None:
        office.authority.error = error
        client = await office.client(sign_in=False)
        with pytest.raises(SmtpReplyError) as caught:
            await client.sign_in(Sasl("PLAIN"))
        assert caught.value.reply.code == code
        await client.quit()

    serve(scenario)


def test_a_broken_exchange_is_an_error_and_ends_nothing_else() -> None:
    async def scenario(office: Office) -> None:
        class Garbage(Sasl):
            def initial(self) -> bytes | None:
                return b"garbage"

        client = await office.client(sign_in=False)
        with pytest.raises(SmtpReplyError) as caught:
            await client.sign_in(Garbage("PLAIN"))
        assert caught.value.reply.code == 501
        await client.sign_in(Sasl("PLAIN"))
        await client.quit()

    serve(scenario)


def test_nothing_is_taken_once_the_ticket_has_run_out_even_for_another_company() -> None:
    async def scenario(office: Office) -> None:
        client = await office.client()
        office.world.clock.advance(601)
        (refused,) = await send(client, "eve@other.example")
        assert (refused.reply.code, refused.reply.enhanced) == (454, "4.7.0")
        assert office.world.copies(office.eve) == []
        await client.quit()

    serve(scenario)


def test_a_password_is_base64_on_the_wire_and_never_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario(office: Office) -> None:
        client = await office.client()
        assert (await send(client, "x@far.example"))[0].delivered
        await client.quit()

    serve(scenario)
    logged = "".join(capsys.readouterr())
    assert "submitted" in logged
    assert PASSWORD not in logged
    assert base64.b64encode(PASSWORD.encode()).decode() not in logged
    assert "@" not in logged
