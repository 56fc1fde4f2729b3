"""The vault as a whole: its table of methods, its wiring, and two vaults that tell each other."""

import asyncio
import contextlib
from pathlib import Path

from tests.integration.vault.conftest import (
    RELAY,
    Peer,
    Person,
    RunVault,
    Vault,
    grant,
    message,
    queue_item,
    running_vault,
)

from postkeep.base.ids import new_id
from postkeep.services.queue import api as queue_api
from postkeep.services.vault import api
from postkeep.services.vault.client import VaultClient
from postkeep.services.vault.notices import Notices
from postkeep.tickets.rules import rules_for

TENANT = new_id()


def test_every_method_has_a_rule_a_handler_and_a_client(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        methods = rules_for("vault").keys()
        assert vault.service.handlers.keys() == methods
        clients = (*vars(VaultClient), "backup_packs", "backup_read", "backup_hold", "backup_erased")
        assert {f"vault.{name}" for name in clients if not name.startswith("_")} == methods

    run_vault(job)


def test_two_vaults_on_one_database_wake_each_others_watchers(dsn: str, tmp_path: Path) -> None:
    async def job() -> None:
        async with (
            running_vault(dsn, tmp_path / "one") as one,
            running_vault(dsn, tmp_path / "two") as two,
            contextlib.AsyncExitStack() as stack,
        ):
            for vault in (one, two):
                notices = Notices(vault.stores.pool, vault.service.watching)
                task = asyncio.create_task(notices.run())
                stack.push_async_callback(stop, task)
                await notices.listening.wait()
            ann, peer = Person(TENANT), Peer()
            await two.call("watch", grant(TENANT, ann.principal, peer=peer), api.Watch(ann.principal))
            waiting = asyncio.create_task(two.call("queue_wait", RELAY, queue_api.QueueWait(20.0)))
            await asyncio.sleep(0.05)
            deposit = message(TENANT, [ann.placement("sent")], queue=[queue_item(ann)])
            await one.call("submit", ann.grant, api.Submit([deposit], ann.epochs))
            sent = (await one.boxes(ann))["sent"]
            heard = await two.call("next_changes", grant(peer=peer), api.NextChanges(20.0))
            assert heard.changes == [api.Changed(ann.principal, sent.id, sent.highest_modseq)]
            await asyncio.wait_for(waiting, 10)

    async def stop(task: asyncio.Task[None]) -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(job())
