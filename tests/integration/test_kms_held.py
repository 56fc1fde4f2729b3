"""A key service that signs no ledger's head, or gives no key, until people say so."""

import asyncio
import shutil
from pathlib import Path
from typing import cast

import msgspec
import pytest
from tests.kms_world import Node, running, sealed, write_epochs

from postkeep.base.errors import (
    IntegrityError,
    NotFoundError,
    PostkeepError,
    RefusedError,
    UnavailableError,
)
from postkeep.base.ids import NOBODY, new_id
from postkeep.crypto.note import open_checkpoint
from postkeep.model.audit import EventName
from postkeep.model.categories import Category
from postkeep.model.ticket import TicketKind
from postkeep.services.kms import api
from postkeep.services.kms.restoration import leave_held
from postkeep.services.kms.restored_api import (
    AcceptLedger,
    AcceptRestored,
    RestoredBy,
    RestoredStore,
    history_subject,
    restored_subject,
)
from postkeep.services.kms.withholding import GIVEN
from postkeep.tickets.clear import Connection, Grant
from postkeep.tickets.identity import ModuleIdentity


def test_the_ledgers_heads_are_signed_one_after_the_other(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            sizes = []
            for _ in range(3):
                await node.provision(new_id(), new_id())
                await node.kms.checkpointer.step()
                note = newest_checkpoint(tmp_path / "ledger")
                checkpoint = open_checkpoint(note, "test.example/ledger", node.kms.signing.ledger.public_key)
                sizes.append(checkpoint.size)
            assert sizes == sorted(set(sizes))
            anchors = await node.client(node.module("imap")).anchors()
            assert anchors.origin == "test.example/ledger"
            assert anchors.ledger_key == node.kms.signing.ledger.public_key
            assert anchors.directory_key == node.kms.signing.directory.public_key

    asyncio.run(scenario())


def newest_checkpoint(directory: Path) -> bytes:
    found = [path for path in directory.rglob("checkpoint*") if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime_ns).read_bytes()


def test_a_ledger_that_starts_anew_gets_no_signature_and_no_key_leaves(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        tenant, principal = new_id(), new_id()
        async with running(dsn, tmp_path) as node:
            writer = write_epochs(await node.provision(tenant, principal), 1)[0]
            await node.kms.checkpointer.step()
        (tmp_path / "ledger").rename(tmp_path / "old")
        for _ in range(2):  # a restart of kms forgets nothing
            async with running(dsn, tmp_path) as node:
                for _ in range(4):
                    await node.provision(new_id(), new_id())
                with pytest.raises(IntegrityError):
                    await node.kms.checkpointer.step()
                with pytest.raises(UnavailableError):
                    await node.kms.checkpointer.step()
                imap = node.module("imap")
                ticket = node.user(imap, tenant, principal)
                with pytest.raises(PostkeepError) as caught:
                    await node.client(imap).open_epochs(
                        api.OpenEpochs(principal, [sealed(writer)]), ticket=ticket
                    )
                assert caught.value.code == "unavailable.ledger"
                tls = await node.client(imap).release_secret(api.ReleaseSecret("tls"))
                assert tls.value  # mail goes on arriving
                alarms = await node.events(EventName.KEY_REFUSE, wait_for=2)
                assert "ledger.publish_checkpoint" in {event.method for event in alarms}
                with pytest.raises(TimeoutError):  # it waits for somebody's word
                    await asyncio.wait_for(node.kms.checkpointer.run(), 0.1)

    asyncio.run(scenario())


def test_a_held_key_store_gives_no_key_but_to_those_who_are_needed_for_the_way_out(
    dsn: str, tmp_path: Path
) -> None:
    """K6, G1: what is not on the list is refused; the way out is a grant for exactly this store."""
    tenant, principal = new_id(), new_id()
    store = RestoredStore(new_id(), RestoredBy.BACKUP, told=9, was=3)

    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            writer = write_epochs(await node.provision(tenant, principal), 1)[0]
        leave_held(tmp_path / "key-store.restored", store)
        async with running(dsn, tmp_path) as node:
            node.kms.restoration.approvals = 2  # as the ledger says that dual control is on
            refused = set()
            for name, (_, handler) in node.kms.service.handlers().items():
                if name in GIVEN:
                    continue
                with pytest.raises(UnavailableError) as caught:
                    await handler(some_grant(name), None)
                assert caught.value.code == "unavailable.restored", name
                refused.add(name)
            assert {"kms.open_epochs", "kms.person_key", "kms.backup_open", "kms.shred"} <= refused
            told = await node.events(EventName.KEY_REFUSE, wait_for=len(refused))
            assert {event.method for event in told} == refused

            authority, imap, steward = (node.module(name) for name in ("authority", "imap", "steward"))
            assert (await node.client(authority).ticket_keys()).seed
            await node.client(authority).provision_tenant(api.ProvisionTenant(NOBODY))
            account = api.CategoryKey(NOBODY, Category.ACCOUNT)
            assert (await node.client(authority).category_key(account)).key
            assert (await node.client(imap).release_secret(api.ReleaseSecret("tls"))).value

            client = node.client(steward)
            withheld = await client.withheld(ticket=node.staff(steward))
            assert (withheld.store, withheld.approvals) == (store, 2)
            subject = restored_subject(store, 2)
            request = AcceptRestored(store.id)
            for kind, what, approvals, code in (
                ("key_restore", subject, 1, "refused.approvals"),
                ("key_restore", restored_subject(store, 0), 2, "refused.subject"),
                ("custody", subject, 2, "refused.subject"),
                ("destroy", subject, 2, "refused.action"),
            ):
                ticket = acceptor(node, steward, kind, what, approvals)
                with pytest.raises(RefusedError) as refusal:
                    await client.accept_restored(request, ticket=ticket)
                assert refusal.value.code == code
            good = acceptor(node, steward, "key_restore", subject, 2)
            await client.accept_restored(request, ticket=good)
            ticket = node.user(imap, tenant, principal)
            opened = await node.client(imap).open_epochs(
                api.OpenEpochs(principal, [sealed(writer)]), ticket=ticket
            )
            assert opened.epochs[0].chains
            with pytest.raises(NotFoundError):
                await client.accept_restored(request, ticket=good)
            accepted = (await node.events(EventName.KEY_ACCEPT, wait_for=1))[-1]
            assert (accepted.digest, accepted.code) == (store.id.hex(), "")
            assert accepted.note.startswith("store was at 3, by request ")
        async with running(dsn, tmp_path) as node:
            assert node.kms.restoration.store is None

    asyncio.run(scenario())


def some_grant(method: str) -> Grant:
    """What the channel would hand to a handler."""
    return Grant(
        peer_module="imap",
        peer_instance="imap-1.test",
        connection=cast("Connection", None),
        kind=TicketKind.MODULE,
        tenant=NOBODY,
        principal=NOBODY,
        session=b"",
        ticket_id="",
        categories=frozenset(),
        method=method,
        purpose="",
    )


def acceptor(node: Node, holder: ModuleIdentity, kind: str, subject: bytes, approvals: int) -> bytes:
    return node.mint.grant(
        holder.module,
        holder.instance,
        holder.thumbprint,
        kind=kind,
        request=new_id(),
        subject=subject,
        tenant=NOBODY,
        principal=NOBODY,
        approvals=approvals,
    )[1]


def test_a_restored_ledger_is_signed_again_on_a_grant_for_exactly_the_two_heads(
    dsn: str, tmp_path: Path
) -> None:
    """A3: kms forgets the head it signed only under the grant, and the ledger itself says both heads."""
    tenant, principal = new_id(), new_id()

    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            writer = write_epochs(await node.provision(tenant, principal), 1)[0]
            await node.kms.checkpointer.step()
        shutil.copytree(tmp_path / "ledger", tmp_path / "copy")
        async with running(dsn, tmp_path) as node:
            for _ in range(3):
                await node.provision(new_id(), new_id())
            await node.kms.checkpointer.step()
            lost = (await node.events(EventName.KEY_CREATE))[-1]
        shutil.rmtree(tmp_path / "ledger")
        (tmp_path / "copy").rename(tmp_path / "ledger")
        async with running(dsn, tmp_path) as node:
            with pytest.raises(IntegrityError):
                await node.kms.checkpointer.step()
            steward, authority, imap = (node.module(name) for name in ("steward", "authority", "imap"))
            client = node.client(steward)
            assert (await node.client(authority).ticket_keys()).seed  # staff can sign in
            history = (await client.withheld(ticket=node.staff(steward))).history
            assert history is not None
            assert history.lost.size > history.shown.size
            open_mail = api.OpenEpochs(principal, [sealed(writer)])
            ticket = node.user(imap, tenant, principal)
            with pytest.raises(UnavailableError) as caught:
                await node.client(imap).open_epochs(open_mail, ticket=ticket)
            assert "ledger accept-restored" in caught.value.public_text
            other = msgspec.structs.replace(history, shown=history.lost)
            for kind, subject, code in (
                ("ledger_restore", history_subject(other, 0), "refused.subject"),
                ("key_restore", history_subject(history, 0), "refused.subject"),
            ):
                bad = acceptor(node, steward, kind, subject, 2)
                with pytest.raises(RefusedError) as refused:
                    await client.accept_ledger(AcceptLedger(history), ticket=bad)
                assert refused.value.code == code
            good = acceptor(node, steward, "ledger_restore", history_subject(history, 0), 2)
            await client.accept_ledger(AcceptLedger(history), ticket=good)
            await node.kms.checkpointer.step()
            assert (await node.client(imap).open_epochs(open_mail, ticket=ticket)).epochs[0].chains
            (told,) = await node.events(EventName.LEDGER_ACCEPT, wait_for=1)
            assert (told.count, told.digest) == (history.lost.size, history.lost.root.hex())
            assert history.shown.size <= int(told.note.split()[3]) < history.lost.size
            assert lost not in await node.events(EventName.KEY_CREATE)
            assert (tmp_path / f"lost-checkpoint-{history.lost.size}").exists()

    asyncio.run(scenario())
