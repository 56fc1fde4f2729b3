"""People sign in at the authority, and nobody else does."""

import asyncio
from pathlib import Path

import pytest
from tests.authority_world import PASSWORD, Office, run

from postkeep.base.errors import InvalidInputError, RefusedError, ThrottledError
from postkeep.model.audit import EventName
from postkeep.protocols.sasl.scram import ScramClient
from postkeep.services.authority import api, tokens_api
from postkeep.services.authority.tokens import make_token
from postkeep.tickets import token as tokens


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


def test_a_token_signs_its_owner_in_until_it_runs_out_or_is_deleted(dsn: str, tmp_path: Path) -> None:
    """TM-43."""

    async def scenario(office: Office) -> None:
        alice, bob = await office.person("alice"), await office.person("bob")
        make = tokens_api.CreateToken(alice, "laptop", ["imap"], 30)
        made = await office.admin.create_token(make, ticket=office.staff)
        imap = office.client(office.module("imap", 2))

        async def sign_in(token: str, address: str = "", protocol: str = "imap") -> api.SignedIn:
            client = imap if protocol == "imap" else office.client(office.module(protocol, 2))
            return await client.token_sign_in(
                tokens_api.TokenSignIn(token, address, "192.0.2.9", protocol, "Test 1")
            )

        signed_in = await sign_in(made.token)
        assert signed_in.principal == alice
        assert (await sign_in(made.token, "alice@example.com")).principal == alice
        assert [event["note"] for event in office.events.named(EventName.SIGN_IN)] == ["token"] * 2
        (listed,) = (await office.admin.list_tokens(tokens_api.ListTokens(alice), ticket=office.staff)).tokens
        assert (listed.token, listed.name, listed.protocols) == ("", "laptop", ["imap"])
        assert listed.last_used_ms
        assert listed.expires_ms - listed.created_ms == 30 * 86_400_000
        assert made.token not in repr(made)
        # Somebody else's, another protocol's, a changed one, none at all: one and the same refusal.
        other = await office.admin.create_token(
            tokens_api.CreateToken(bob, "phone", ["imap"], 1), ticket=office.staff
        )
        changed = made.token[:-1] + ("A" if made.token[-1] != "A" else "B")
        for token, address, protocol in (
            (other.token, "alice@example.com", "imap"),
            (made.token, "nobody@example.com", "imap"),
            (made.token, "", "submission"),
            (changed, "", "imap"),
            ("pkt_", "", "imap"),
            ("", "alice@example.com", "imap"),
            (PASSWORD, "alice@example.com", "imap"),
        ):
            with pytest.raises(RefusedError) as caught:
                await sign_in(token, address, protocol)
            assert caught.value.code == "refused.credentials"
        # A token is no password.
        with pytest.raises(RefusedError):
            await office.sign_in("alice", made.token)
        await office.admin.delete_token(tokens_api.DeleteToken(alice, made.id), ticket=office.staff)
        with pytest.raises(RefusedError):
            await sign_in(made.token)
        with pytest.raises(RefusedError) as caught:
            await imap.renew_user(api.RenewUser(signed_in.session))
        assert caught.value.code == "refused.session"

    run(dsn, tmp_path, scenario)


def test_tokens_are_throttled_like_passwords(dsn: str, tmp_path: Path) -> None:
    async def scenario(office: Office) -> None:
        alice = await office.person("alice")
        made = await office.admin.create_token(
            tokens_api.CreateToken(alice, "laptop", ["imap"], 30), ticket=office.staff
        )
        imap = office.client(office.module("imap", 2))
        wrong = tokens_api.TokenSignIn(make_token(alice), "", "192.0.2.9", "imap")

        async def attempt() -> str:
            try:
                await imap.token_sign_in(wrong)
            except (RefusedError, ThrottledError) as error:
                return error.code
            raise AssertionError

        codes = await asyncio.gather(*(attempt() for _ in range(14)))
        assert "throttled.pair" in codes
        right = tokens_api.TokenSignIn(made.token, "alice@example.com", "192.0.2.9", "imap")
        with pytest.raises(ThrottledError):
            await imap.token_sign_in(right)
        elsewhere = tokens_api.TokenSignIn(made.token, "", "192.0.2.10", "imap")
        assert (await imap.token_sign_in(elsewhere)).principal == alice

    run(dsn, tmp_path, scenario)


def test_a_token_that_has_run_out_opens_nothing_and_ends_what_it_opened(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postkeep.services.authority.tokens.DAY_MS", 200_000)

    async def scenario(office: Office) -> None:
        alice = await office.person("alice")
        make = tokens_api.CreateToken(alice, "laptop", ["imap"], 1)
        made = await office.admin.create_token(make, ticket=office.staff)
        request = tokens_api.TokenSignIn(made.token, "", "192.0.2.9", "imap")
        signed_in = await office.imap.token_sign_in(request)
        assert signed_in.expires * 1000 <= made.expires_ms  # the ticket ends with the token
        office.clock.advance(199)
        await office.imap.renew_user(api.RenewUser(signed_in.session))
        office.clock.advance(2)
        with pytest.raises(RefusedError):
            await office.imap.token_sign_in(request)
        with pytest.raises(RefusedError) as caught:
            await office.imap.renew_user(api.RenewUser(signed_in.session))
        assert caught.value.code == "refused.session"
        # What has run out gives way to a new one.
        await office.admin.create_token(make, ticket=office.staff)
        listed = await office.admin.list_tokens(tokens_api.ListTokens(alice), ticket=office.staff)
        assert len(listed.tokens) == 1

    run(dsn, tmp_path, scenario)


@pytest.mark.parametrize(
    ("name", "protocols", "days"),
    [
        ("", ["imap"], 1),
        ("x" * 201, ["imap"], 1),
        ("x", [], 1),
        ("x", ["web"], 1),
        ("x", ["imap"], 0),
        ("x", ["imap"], 401),
    ],
)
def test_no_token_is_made_without_bounds(
    name: str, protocols: list[str], days: int, dsn: str, tmp_path: Path
) -> None:
    async def scenario(office: Office) -> None:
        alice = await office.person("alice")
        with pytest.raises(InvalidInputError):
            await office.admin.create_token(
                tokens_api.CreateToken(alice, name, protocols, days), ticket=office.staff
            )

    run(dsn, tmp_path, scenario)
