"""What modules get from the key service: the account key, signatures, certificates and their chain."""

import asyncio
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from tests.kms_world import running

from postkeep.base.errors import (
    LimitError,
    NotFoundError,
    RefusedError,
)
from postkeep.base.ids import NOBODY, new_id
from postkeep.model.audit import EventName
from postkeep.model.categories import Category
from postkeep.services.kms import api


def test_the_account_key_goes_to_the_authority_alone(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            authority = node.module("authority")
            client = node.client(authority)
            await client.provision_tenant(api.ProvisionTenant(NOBODY))
            key = (await client.category_key(api.CategoryKey(NOBODY, Category.ACCOUNT))).key
            assert len(key) == 32
            assert (await client.category_key(api.CategoryKey(NOBODY, Category.ACCOUNT))).key == key
            for category in (Category.SECRET, Category.CONTENT, Category.METADATA):
                with pytest.raises(RefusedError):
                    await client.category_key(api.CategoryKey(NOBODY, category))
            for name in ("imap", "mx", "relay", "steward", "vault"):
                with pytest.raises(RefusedError):
                    await node.client(node.module(name)).category_key(
                        api.CategoryKey(NOBODY, Category.ACCOUNT)
                    )
            events = await node.events(EventName.KEY_RELEASE)
            assert [(event.category, event.note) for event in events] == [("account", "category")] * 2

    asyncio.run(scenario())


def test_a_module_on_its_own_makes_keys_of_the_installation_only(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            client = node.client(node.module("authority"))
            await client.provision_tenant(api.ProvisionTenant(NOBODY))
            queue = new_id()
            key = await client.provision_principal(api.ProvisionPrincipal(NOBODY, queue, queue=True))
            assert await client.provision_principal(api.ProvisionPrincipal(NOBODY, queue, queue=True)) == key
            with pytest.raises(RefusedError):
                await client.provision_tenant(api.ProvisionTenant(new_id()))
            with pytest.raises(RefusedError):
                await client.provision_principal(api.ProvisionPrincipal(new_id(), new_id()))
            with pytest.raises(RefusedError):
                await client.provision_principal(api.ProvisionPrincipal(NOBODY, b"short"))
            created = await node.events(EventName.KEY_CREATE)
            assert [event.note for event in created] == ["tenant", "queue"]

    asyncio.run(scenario())


def test_signing_is_for_dkim_handles_and_never_with_the_installations_own_keys(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            handle = "dkim/example.com/s1"
            made = await node.kms.signing.make(handle)
            relay = node.module("relay")
            client, ticket = node.client(relay), node.relay(relay)
            answer = await client.sign(api.Sign(handle, b"header hash"), ticket=ticket)
            assert answer.public_key == made.public_key
            Ed25519PublicKey.from_public_bytes(answer.public_key).verify(answer.signature, b"header hash")
            for name in ("directory", "ledger", "sign/directory", "tls/ca", ""):
                with pytest.raises(RefusedError):
                    await client.sign(api.Sign(name, b"x"), ticket=ticket)
            with pytest.raises(NotFoundError):
                await client.sign(api.Sign("dkim/example.com/none", b"x"), ticket=ticket)
            with pytest.raises(NotFoundError):
                await client.sign(api.Sign("dkim/../directory", b"x"), ticket=ticket)
            with pytest.raises(LimitError):
                await client.sign(api.Sign(handle, bytes(65_537)), ticket=ticket)

    asyncio.run(scenario())


def test_the_faces_get_a_key_and_a_chain_that_clients_of_the_ca_accept(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> bytes:
        async with running(dsn, tmp_path) as node:
            pem = (await node.client(node.module("imap")).release_secret(api.ReleaseSecret("tls"))).value
            (tmp_path / "ca.pem").write_bytes(node.kms.tls.ca_pem)
            for name in ("root", "sign/directory", ""):
                with pytest.raises(NotFoundError):
                    await node.client(node.module("imap")).release_secret(api.ReleaseSecret(name))
            with pytest.raises(RefusedError):
                await node.client(node.module("relay")).release_secret(api.ReleaseSecret("tls"))
            assert [event.note for event in await node.events(EventName.KEY_RELEASE)] == ["tls"]
            return pem

    (tmp_path / "server.pem").write_bytes(asyncio.run(scenario()))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server.pem")
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    for name in ("mail.example.com", "localhost", "127.0.0.1", "::1"):
        shake_hands(client, server, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(client, server, "other.example.com")


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname=name)
    two = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (one, two):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
