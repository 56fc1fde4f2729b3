"""The ledger as a module of a node: where its log lies, and that what it turns away is in it."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests.ledger_sample import World, events

from postkeep.base.errors import RefusedError
from postkeep.model.audit import AuditEvent, EventName
from postkeep.node.config import CategoryConfig, Config, LedgerConfig
from postkeep.node.context import ModuleContext
from postkeep.node.wiring import ledger
from postkeep.services.ledger import api
from postkeep.services.ledger.client import LedgerClient
from postkeep.stores.ledger_log import LedgerLog

QUIET = Config(ledger=LedgerConfig(heartbeat_seconds=0.0))
"""No signs of life among the entries that are counted here."""


def context_of(world: World, directory: Path, config: Config) -> tuple[ModuleContext, asyncio.Event]:
    ready = asyncio.Event()
    context = ModuleContext(
        module="ledger",
        instance="ledger-0.ab",
        index=0,
        config=config,
        data_dir=directory,
        state_dir=directory / "state",
        run_dir=directory,
        identity=world.identity("ledger", "ledger-0.ab"),
        anchors=world.anchors,
        stop=asyncio.Event(),
        ready=ready.set,
        publish=lambda name, key: None,
    )
    return context, ready


@pytest.mark.parametrize("place", ["state", "elsewhere"])
def test_the_module_serves_and_records_what_it_refuses(tmp_path: Path, place: str) -> None:
    config = QUIET
    if place == "elsewhere":
        category = CategoryConfig(directory=str(tmp_path / "elsewhere"))
        config = msgspec.structs.replace(QUIET, categories={"audit": category})

    async def scenario() -> None:
        world = World(tmp_path)
        context, ready = context_of(world, tmp_path, config)
        task = asyncio.create_task(ledger.run(context))
        await asyncio.wait_for(ready.wait(), 10)
        imap = LedgerClient(world.link("imap", "imap-1.aa"))
        assert (await imap.append(api.Append(events(2)))).first == 0
        with pytest.raises(RefusedError):
            await imap.entries(api.Entries(0, 5))
        head = await LedgerClient(world.link("kms", "kms-1.aa")).head()
        assert "/ledger/" in head.origin
        await world.close_links()
        context.stop.set()
        await task

    asyncio.run(scenario())
    log = LedgerLog(tmp_path / place)
    log.open()
    told = [msgspec.json.decode(entry, type=AuditEvent) for entry in log.read(0, 9)]
    log.close()
    assert [event.event for event in told] == [
        EventName.READ,
        EventName.READ,
        EventName.ACCESS_REFUSE,
        EventName.LEDGER_ANCHOR,  # of the tenant's log, in parting
    ]
    refusal = told[2]
    assert (refusal.source, refusal.instance) == ("ledger-0.ab", "imap-1.aa")
    assert refusal.method == "ledger.entries"
    assert (refusal.outcome, refusal.code.partition(".")[0]) == ("refused", "refused")
    assert refusal.time_ms > 1_700_000_000_000


def test_two_logs_never_share_a_name_and_a_name_fits_into_a_checkpoint() -> None:
    names = {ledger.new_origin("mail host+1.example") for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith("mail-host-1.example/ledger/") for name in names)
    assert not any(c in name for name in names for c in " +")


def test_a_ticket_of_a_stranger_authority_is_worth_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        world, stranger = World(tmp_path), World(tmp_path)
        context, ready = context_of(world, tmp_path, QUIET)
        task = asyncio.create_task(ledger.run(context))
        await asyncio.wait_for(ready.wait(), 10)
        stranger.anchors.authority.update(world.anchors.authority)
        with pytest.raises(RefusedError):
            await LedgerClient(stranger.link("imap", "imap-1.aa")).append(api.Append(events(1)))
        await stranger.close_links()
        context.stop.set()
        await task

    asyncio.run(scenario())
    log = LedgerLog(tmp_path / "state")
    log.open()
    (told,) = (msgspec.json.decode(entry, type=AuditEvent) for entry in log.read(0, 9))
    log.close()
    assert (told.event, told.code) == (EventName.ACCESS_REFUSE, "refused.signature")
