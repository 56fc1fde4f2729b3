"""T5: what is genuine and another's, over a real Unix socket and over TLS."""

import asyncio
import hashlib
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.ticket_world import (
    ALICE,
    Keeper,
    Realm,
    attempt,
    connect,
)
from tests.tls_material import mutual_context

from postkeep.base.clock import FixedClock
from postkeep.base.errors import RefusedError
from postkeep.services.vault import api as vault
from postkeep.tickets.channel import Link, TlsTarget
from postkeep.tickets.identity import ModuleIdentity
from postkeep.tickets.verify import Verifier


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
