"""K7: who has epochs opened by the key service, for which ticket, and what is gone with shredded keys."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from tests.kms_world import READ, SESSION, running, sealed, write_epochs
from tests.warrants import narrower_than, person_warrant, tenant_warrant

from postkeep.base.errors import (
    ConflictError,
    LimitError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from postkeep.base.ids import NOBODY, new_id
from postkeep.crypto.epoch import EpochReader
from postkeep.model.audit import EventName
from postkeep.model.categories import Category
from postkeep.services.kms import api, epochs


def test_a_reader_opens_epochs_in_both_forms_and_each_release_is_in_the_ledger(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            tenant, principal = new_id(), new_id()
            key = await node.provision(tenant, principal)
            writers = write_epochs(key, 3)
            imap = node.module("imap")
            client, ticket = node.client(imap), node.user(imap, tenant, principal)
            request = api.OpenEpochs(principal, [sealed(writer) for writer in writers])
            first = (await client.open_epochs(request, ticket=ticket)).epochs
            cheap = [api.SealedEpoch(item.epoch, item.sealed or b"") for item in first]
            assert all(len(item.sealed) < 80 for item in cheap)
            again = (await client.open_epochs(api.OpenEpochs(principal, cheap), ticket=ticket)).epochs
            assert [item.chains for item in again] == [item.chains for item in first]
            assert [item.sealed for item in again] == [None] * 3
            for writer, item in zip(writers, again, strict=True):
                step = writer.take()
                reader = EpochReader(item.epoch, {str(c): start for c, start in item.chains.items()})
                assert reader.wrap_key("content", 0) == step.content
                assert reader.wrap_key("metadata", 0) == step.metadata
            releases = await node.events(EventName.KEY_RELEASE)
            assert len(releases) == 2
            digest = hashlib.sha256(b"".join(writer.epoch for writer in writers)).hexdigest()
            for event in releases:
                assert (event.count, event.digest) == (3, digest)
                assert (event.tenant, event.principal) == (tenant.hex(), principal.hex())
                assert (event.module, event.instance) == ("imap", "imap-1.test")
                assert event.session == SESSION.hex()
                assert event.category == "content,metadata"

    asyncio.run(scenario())


def test_only_the_categories_of_the_ticket_are_opened(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            tenant, principal = new_id(), new_id()
            writer = write_epochs(await node.provision(tenant, principal), 1)[0]
            imap = node.module("imap")
            ticket = node.narrowed_user(imap, tenant, principal, Category.METADATA)
            request = api.OpenEpochs(principal, [sealed(writer)])
            opened = (await node.client(imap).open_epochs(request, ticket=ticket)).epochs[0]
            assert opened.chains.keys() == {Category.METADATA}
            account = node.narrowed_user(imap, tenant, principal, Category.ACCOUNT)
            with pytest.raises(RefusedError):
                await node.client(imap).open_epochs(request, ticket=account)

    asyncio.run(scenario())


def test_epochs_of_others_are_refused_to_every_ticket_but_the_principals_own(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            tenant, alice, bob = new_id(), new_id(), new_id()
            writer = write_epochs(await node.provision(tenant, alice), 1)[0]
            await node.provision(tenant, bob)
            foreign = new_id()
            await node.provision(foreign, new_id())
            request = api.OpenEpochs(alice, [sealed(writer)])
            imap, relay, other = node.module("imap"), node.module("relay"), node.module("imap")
            steward, mx = node.module("steward"), node.module("mx")
            attempts = [
                (imap, node.user(imap, tenant, bob)),  # another user
                (imap, node.user(imap, foreign, alice)),  # the same principal under another tenant
                (imap, node.user(other, tenant, alice)),  # a ticket that another instance holds
                (imap, b""),
                (relay, node.relay(relay)),  # the relay's ticket, on somebody who is no queue
                (relay, node.deliver(relay)),  # K7: who may deliver may not open
                (mx, node.deliver(mx)),
                (steward, node.staff(steward)),
                (mx, node.user(mx, tenant, alice)),
            ]
            for module, ticket in attempts:
                with pytest.raises(RefusedError):
                    await node.client(module).open_epochs(request, ticket=ticket)
            refusals = await node.events(EventName.KEY_REFUSE, wait_for=len(attempts))
            assert len(refusals) == len(attempts)
            assert all(event.outcome == "refused" and event.code for event in refusals)
            assert await node.events(EventName.KEY_RELEASE) == []

    asyncio.run(scenario())


def test_another_principals_epoch_does_not_open_with_ones_own_ticket(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            tenant, alice, bob = new_id(), new_id(), new_id()
            stolen = write_epochs(await node.provision(tenant, alice), 1)[0]
            own = write_epochs(await node.provision(tenant, bob), 1)[0]
            imap = node.module("imap")
            ticket = node.user(imap, tenant, bob)
            garbage = [api.SealedEpoch(new_id(), data) for data in (b"", b"\x02" * 66, bytes(1173))]
            request = api.OpenEpochs(bob, [sealed(stolen), sealed(own), *garbage])
            opened = (await node.client(imap).open_epochs(request, ticket=ticket)).epochs
            assert [bool(item.chains) for item in opened] == [False, True, False, False, False]
            assert {item.error for item in opened} == {"integrity", ""}
            assert [event.count for event in await node.events(EventName.KEY_RELEASE)] == [1]
            assert [event.count for event in await node.events(EventName.KEY_REFUSE, wait_for=1)] == [4]

    asyncio.run(scenario())


def test_the_relay_opens_epochs_of_queues_only(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            tenant, queue = new_id(), new_id()
            writer = write_epochs(await node.provision(tenant, queue, queue=True), 1)[0]
            relay = node.module("relay")
            request = api.OpenEpochs(queue, [sealed(writer)])
            opened = await node.client(relay).open_epochs(request, ticket=node.relay(relay))
            assert opened.epochs[0].chains.keys() == set(READ)
            event = (await node.events(EventName.KEY_RELEASE))[0]
            assert (event.tenant, event.principal, event.count) == (tenant.hex(), queue.hex(), 1)

    asyncio.run(scenario())


def test_without_the_ledger_no_key_leaves_and_the_refusal_comes_within_a_second(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            tenant, principal = new_id(), new_id()
            writer = write_epochs(await node.provision(tenant, principal), 1)[0]
            await node.provision(NOBODY, new_id())
            imap, authority = node.module("imap"), node.module("authority")
            client, ticket = node.client(imap), node.user(imap, tenant, principal)
            request = api.OpenEpochs(principal, [sealed(writer)])
            await node.stop_ledger()
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: client.open_epochs(request, ticket=ticket),
                lambda: client.release_secret(api.ReleaseSecret("tls")),
                lambda: node.client(authority).category_key(api.CategoryKey(NOBODY, Category.ACCOUNT)),
            ]
            for call in calls:
                started = time.monotonic()
                with pytest.raises(UnavailableError):
                    await call()
                assert time.monotonic() - started < 1.5
            node.ledger_stack = AsyncExitStack()
            await node.start_ledger()
            await asyncio.sleep(1.2)  # the trail's longest pause between attempts
            assert (await client.open_epochs(request, ticket=ticket)).epochs[0].chains

    asyncio.run(scenario())


def test_shredded_keys_are_gone_at_once_and_the_ledger_knew_before_and_after(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            tenant, principal = new_id(), new_id()
            writer = write_epochs(await node.provision(tenant, principal), 1)[0]
            imap, steward = node.module("imap"), node.module("steward")
            client, ticket = node.client(imap), node.user(imap, tenant, principal)
            opened = await client.open_epochs(api.OpenEpochs(principal, [sealed(writer)]), ticket=ticket)
            cheap = api.SealedEpoch(writer.epoch, opened.epochs[0].sealed or b"")
            staff, card = node.client(steward), node.staff(steward)
            person = person_warrant(tenant, principal)
            approved = node.destroyer(steward, person)
            with pytest.raises(RefusedError):
                await client.shred(api.Shred(person), ticket=ticket)
            with pytest.raises(RefusedError):
                await staff.shred(api.Shred(person), ticket=card)
            for other in (
                person_warrant(tenant, new_id()),
                tenant_warrant(tenant),
                msgspec.structs.replace(person, reason="another one"),
            ):
                with pytest.raises(RefusedError):
                    await staff.shred(api.Shred(other), ticket=approved)
            for narrower in narrower_than(person):
                less = node.destroyer(steward, narrower)
                for attempt in (
                    staff.shred(api.Shred(narrower), ticket=less),
                    staff.mark(api.Mark(narrower, bytes(16)), ticket=less),
                ):
                    with pytest.raises(RefusedError) as caught:
                        await attempt
                    assert caught.value.code == "refused.unit"
            assert (await staff.shred(api.Shred(person), ticket=approved)).keys == 1
            assert (await staff.shred(api.Shred(person), ticket=approved)).keys == 0
            for epoch in (cheap, sealed(writer)):
                with pytest.raises(NotFoundError):
                    await client.open_epochs(api.OpenEpochs(principal, [epoch]), ticket=ticket)
            with pytest.raises(ConflictError):
                await staff.provision_principal(api.ProvisionPrincipal(tenant, principal), ticket=card)
            with pytest.raises(RefusedError):
                await staff.shred(api.Shred(tenant_warrant(NOBODY)), ticket=card)
            shreds = await node.events(EventName.KEY_SHRED)
            assert [(event.note, event.count) for event in shreds] == [
                ("begin", 0),
                ("done", 1),
                ("begin", 0),
                ("done", 0),
            ]

    asyncio.run(scenario())


def test_keys_that_are_shredded_while_they_are_being_opened_are_not_handed_out(
    dsn: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            tenant, principal = new_id(), new_id()
            writers = write_epochs(await node.provision(tenant, principal), 1)
            imap = node.module("imap")
            ticket = node.user(imap, tenant, principal)
            many = [sealed(writers[0])] * 1500
            opening = asyncio.create_task(
                node.client(imap).open_epochs(api.OpenEpochs(principal, many), ticket=ticket)
            )
            while node.kms.hierarchy.cached == 0:  # noqa: ASYNC110 - what is waited for tells nobody
                await asyncio.sleep(0)
            await node.kms.hierarchy.shred(tenant, principal)
            with pytest.raises(NotFoundError):
                await opening

    asyncio.run(scenario())


def test_too_many_epochs_in_one_call_are_refused(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postkeep.services.kms.service.EPOCHS_PER_CALL_MAX", 10)
    assert epochs.EPOCHS_PER_CALL_MAX > 10

    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            tenant, principal = new_id(), new_id()
            writer = write_epochs(await node.provision(tenant, principal), 1)[0]
            imap = node.module("imap")
            client, ticket = node.client(imap), node.user(imap, tenant, principal)
            with pytest.raises(LimitError):
                await client.open_epochs(api.OpenEpochs(principal, [sealed(writer)] * 11), ticket=ticket)
            nothing = await client.open_epochs(api.OpenEpochs(principal, []), ticket=ticket)
            assert nothing.epochs == []

    asyncio.run(scenario())
