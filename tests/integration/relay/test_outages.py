"""The relay's crashes, its claims on the queue, and keepers that are away."""

import asyncio
from collections.abc import Callable

from tests.integration.relay.conftest import MESSAGE, UNKNOWN, Job, at, eventually, net, to, usual
from tests.relay_world import RelayWorld
from tests.smtp_sink import Sink

from postkeep.base.ids import new_id
from postkeep.faces.relay.destinations import Limits
from postkeep.protocols.smtp.events import Content, Mail, Rcpt


def test_a_crash_between_report_and_record_reports_once(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink(at(Rcpt, UNKNOWN))
        await world.submit(MESSAGE, ["bob@example.net"])
        world.outages["queue_update"] = 10**6
        async with net(world, sink):
            await eventually(lambda: bool(world.world.deposits))
        world.outages.clear()
        assert len(await world.rows()) == 1
        world.clock.advance(301)  # the lease ends
        async with net(world, sink):
            await world.until(0)
        assert sink.sessions == 2
        assert len(world.reports()) == await world.stored() == 1

    run(job)


def test_a_lease_is_renewed_for_as_long_as_its_item_is_worked_on(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink(at(Content, "hang"))
        await world.submit(MESSAGE, ["bob@example.net"])
        async with net(world, sink, lease_seconds=6):  # renewed by itself every two seconds
            await eventually(lambda: bool(sink.sessions))
            for number in range(1, 3):
                await eventually(lambda: world.renewals == number)  # noqa: B023 - waited for at once
                world.clock.advance(5)
            assert [row.leased for row in await world.rows()] == [True]
            assert sink.sessions == 1
            sink.script = usual
            sink.hang_up()
            await world.until(1, attempts=1)

    run(job)


def test_a_lost_lease_ends_the_attempt_before_anything_more_is_sent(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink(at(Mail, "hang"))
        await world.submit(MESSAGE, ["bob@example.net"])
        async with net(world, sink):
            await eventually(lambda: bool(sink.sessions))
            await world.vault.stores.pool.execute("UPDATE queue SET lease = $1", new_id())
            sink.script = usual
            await world.leases.renew()
            await eventually(lambda: not sink.open_now)
            (row,) = await world.rows()
            assert (row.attempts, row.reason) == (0, "")
        assert (sink.taken, world.events.notes) == ([], [])

    run(job)


def test_an_attempt_ends_when_its_lease_can_not_be_renewed_in_time(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink(at(Mail, "hang"))
        await world.submit(MESSAGE, ["bob@example.net"])
        async with net(world, sink):
            await eventually(lambda: bool(sink.sessions))
            world.leases.seconds = 1
            await world.leases.renew()  # and not again: the next is due in minutes
            await eventually(lambda: not sink.open_now)
        assert sink.taken == []

    run(job)


def test_an_item_held_by_a_relay_that_died_goes_out_when_its_lease_ends(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink(at(Mail, "hang"))
        await world.submit(MESSAGE, ["bob@example.net"])
        async with net(world, sink):
            await eventually(lambda: bool(sink.sessions))
            world.outages["queue_update"] = 10**6
        world.outages.clear()
        assert [row.leased for row in await world.rows()] == [True]
        sink.script = usual
        async with net(world, sink):
            await asyncio.sleep(0.2)
            assert sink.taken == []
            world.clock.advance(301)
            await world.until(0)
        assert sink.recipients == ["bob@example.net"]

    run(job)


def test_a_vault_that_is_away_after_the_last_reply_is_waited_for_and_nothing_is_sent_twice(
    run: Callable[[Job], None],
) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink()
        await world.submit(MESSAGE, ["bob@example.net"])
        world.outages["queue_update"] = 3
        async with net(world, sink):
            await world.until(0)
        assert len(sink.taken) == 1

    run(job)


def test_who_can_not_be_reported_stays_and_who_has_it_gets_it_once(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink(to({"nobody": UNKNOWN}))
        await world.submit(MESSAGE, ["good@example.net", "nobody@example.net"])
        world.outages["deposit"] = 2  # the depositor tries twice
        async with net(world, sink):
            (row,) = await world.until(1, attempts=1)
            assert row.recipients == 1
            assert world.reports() == []
            world.clock.advance(80)
            await world.until(0)
        assert sink.recipients == ["good@example.net"]
        assert len(world.reports()) == 1

    run(job)


def test_stopping_gives_back_what_was_not_begun(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink(at(Mail, "hang"))
        for number in range(5):
            await world.submit(MESSAGE, [f"r{number}@example.net"])
        async with net(world, sink, limits=Limits(1, 1)):
            await eventually(lambda: bool(sink.sessions))
            asyncio.get_running_loop().call_later(0.1, sink.hang_up)
        rows = await world.until(5)
        assert all(not row.leased for row in rows)

    run(job)


def test_a_damaged_envelope_is_put_off_and_others_go_on(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        broken = await world.submit(MESSAGE, ["one@example.net"])
        await world.submit(MESSAGE, ["two@example.net"])
        pool = world.vault.stores.pool
        await pool.execute("UPDATE queue SET envelope = envelope || 'x' WHERE item = $1", broken)
        sink = Sink()
        async with net(world, sink):
            (row,) = await world.until(1, attempts=1)
        assert (row.id, row.reason) == (broken, "unreadable: integrity")
        assert sink.recipients == ["two@example.net"]

    run(job)
