"""The relay from the queue to other servers and back: a real vault, real sessions, real DNS questions."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop
from tests import dns_server, smtp_sink
from tests.relay_world import HOST, POLICY, RelayWorld, relay_world, running_relay
from tests.smtp_sink import Act, Script, Sink

from postkeep.base.ids import new_id
from postkeep.faces.relay.destinations import Limits
from postkeep.protocols.smtp.events import Content, Event, Mail, Rcpt
from postkeep.protocols.smtp.parameters import RcptParameters
from postkeep.protocols.smtp.replies import Reply
from postkeep.services.delivery.seal import Needs
from postkeep.services.queue.envelope import QueuedRecipient

MESSAGE = b"From: sender@example.org\r\nSubject: hi\r\n\r\n.hello\r\n"
BUSY = Reply(450, "4.2.0", "busy")
UNKNOWN = Reply(550, "5.1.1", "no such user")
Job = Callable[[RelayWorld], Awaitable[None]]


@pytest.fixture
def run(dsn: str, tmp_path: Path) -> Callable[[Job], None]:
    """Run a test's coroutine in a world of its own."""

    def go(job: Job) -> None:
        async def main() -> None:
            async with relay_world(dsn, tmp_path) as world:
                await job(world)

        uvloop.run(main())

    return go


@asynccontextmanager
async def net(world: RelayWorld, sink: Sink | None, **options: Any) -> AsyncIterator[dns_server.DnsServer]:
    """Run a relay, a sink that is the server of example.net, and the DNS that says so."""
    dns = dns_server.DnsServer(
        {
            ("example.net", "MX"): ["10 mx.example.net."],
            ("mx.example.net", "A"): ["127.0.0.1"],
            **options.pop("records", {}),
        }
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(dns_server.running(dns))
        server = await stack.enter_async_context(smtp_sink.running(sink or Sink()))
        settings: dict[str, Any] = {"resolver": dns.where, "port": server.port} | options
        await stack.enter_async_context(running_relay(world, **settings))
        yield dns


def at(kind: type[Event], act: Act) -> Script:
    """Do something at one step, always."""
    return lambda event: act if isinstance(event, kind) else None


def usual(_event: Event) -> Act | None:
    """Do what servers do."""
    return None


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it never happened")


def to(answers: dict[str, Act]) -> Script:
    """Answer recipients by their local part."""
    return lambda event: answers.get(event.recipient.local) if isinstance(event, Rcpt) else None


def test_a_message_goes_out_byte_for_byte_with_what_its_sender_asked(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink()
        asked = QueuedRecipient("bob@example.net", ("FAILURE", "SUCCESS"), "rfc822;bob+x@example.net")
        await world.submit(MESSAGE, [asked], needs=Needs(ret="HDRS", envid="e 1", body="8BITMIME"))
        async with net(world, sink):
            await world.until(0)
        (taken,) = sink.taken
        assert taken.content == MESSAGE
        assert taken.sender == "sender@example.org"
        assert taken.recipients == ["bob@example.net"]
        assert (taken.parameters.ret, taken.parameters.envid, taken.parameters.body) == (
            "HDRS",
            "e 1",
            "8BITMIME",
        )
        assert taken.rcpt_parameters == [RcptParameters(("FAILURE", "SUCCESS"), "rfc822;bob+x@example.net")]
        assert world.events.notes == [("delivered", 1)]
        assert world.reports() == []

    run(job)


def test_a_large_message_arrives_whole(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink(hide=("CHUNKING",))
        message = MESSAGE + b".dots and lines\r\n" * 200_000
        await world.submit(message, ["bob@example.net"])
        async with net(world, sink):
            await world.until(0)
        assert [taken.content == message for taken in sink.taken] == [True]

    run(job)


def test_items_for_one_destination_share_a_session_and_the_number_of_sessions_is_bounded(
    run: Callable[[Job], None],
) -> None:
    async def job(world: RelayWorld) -> None:
        for number in range(30):
            await world.submit(MESSAGE, [f"r{number}@example.net"])
        sink = Sink()
        async with net(world, sink, limits=Limits(20, 2)):
            await world.until(0)
        assert sorted(sink.recipients) == sorted(f"r{number}@example.net" for number in range(30))
        assert sink.open_most <= 2
        assert sink.sessions <= 4

    run(job)


def test_each_recipient_has_its_own_ending_and_only_the_rest_is_tried_again(
    run: Callable[[Job], None],
) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink(to({"later": BUSY, "nobody": UNKNOWN}))
        await world.submit(MESSAGE, ["good@example.net", "later@example.net", "nobody@example.net"])
        async with net(world, sink):
            (row,) = await world.until(1, attempts=1)
            assert row.recipients == 1
            assert row.reason == "450 4.2.0 mx.example.net"
            assert row.not_before_ms > world.clock.now_ms()
            assert sink.recipients == ["good@example.net"]
            (report,) = world.reports()
            assert [fields["final-recipient"] for fields in report.recipients] == [
                "rfc822; nobody@example.net"
            ]
            assert report.recipients[0]["diagnostic-code"] == "smtp; 550 5.1.1 no such user"
            assert report.recipients[0]["remote-mta"] == "dns; mx.example.net"
            sink.script = usual
            world.clock.advance(80)
            await world.until(0)
        assert sink.recipients == ["good@example.net", "later@example.net"]
        assert world.events.notes == [("delivered", 1), ("deferred", 1), ("failed", 1), ("delivered", 1)]

    run(job)


TROUBLES: tuple[tuple[Script, Act | None], ...] = (
    (usual, "drop"),
    (usual, Reply(421, "4.3.2", "not now")),
    (at(Mail, "drop"), None),
    (at(Mail, Reply(421, "4.3.2", "closing")), None),
    (at(Mail, BUSY), None),
    (at(Rcpt, "drop"), None),
    (at(Rcpt, BUSY), None),
    (at(Content, "drop"), None),
    (at(Content, Reply(451, "4.3.0", "disk")), None),
)


def test_trouble_at_any_step_puts_the_message_off_and_it_arrives_once(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink()
        async with net(world, sink):
            for number, (script, greeting) in enumerate(TROUBLES):
                sink.script, sink.greeting = script, greeting
                await world.submit(MESSAGE, [f"r{number}@example.net"])
                (row,) = await world.until(1, attempts=1)
                assert row.reason.split()[-2].startswith("4.")
                assert len(sink.taken) == number
                sink.script, sink.greeting = usual, None
                world.clock.advance(80)
                await world.until(0)
                assert sink.recipients == [f"r{place}@example.net" for place in range(number + 1)]
                sink.hang_up()
        assert world.reports() == []

    run(job)


def test_a_refusal_for_good_at_any_step_is_reported(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink()
        async with net(world, sink):
            no = Reply(554, "5.7.1", "go away")
            for number, sink.script in enumerate((at(Mail, no), at(Rcpt, no), at(Content, no)), 1):
                await world.submit(MESSAGE, ["bob@example.net"], needs=Needs(ret="FULL", envid="id7"))
                await world.until(0)
                report = world.reports()[-1]
                assert report.message["original-envelope-id"] == "id7"
                assert report.message["reporting-mta"] == f"dns; {HOST}"
                assert (report.recipients[0]["action"], report.recipients[0]["status"]) == ("failed", "5.7.1")
                assert report.returned == MESSAGE
                assert await world.stored() == len(world.reports()) == number

    run(job)


def test_a_server_that_hangs_up_after_taking_it_gets_it_again(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink(at(Content, "take_and_drop"))
        await world.submit(MESSAGE, ["bob@example.net"])
        async with net(world, sink):
            await world.until(1, attempts=1)
            sink.script = usual
            world.clock.advance(80)
            await world.until(0)
        assert len(sink.taken) == 2  # RFC 1047: rather twice than never

    run(job)


def test_a_session_that_the_server_ended_meanwhile_is_replaced(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink()
        async with net(world, sink):
            for number in range(2):
                await world.submit(MESSAGE, [f"r{number}@example.net"])
                await world.until(0)
                sink.hang_up()
                await eventually(lambda: not sink.open_now)
        assert sink.recipients == ["r0@example.net", "r1@example.net"]
        assert sink.sessions == 2
        assert world.events.notes == [("delivered", 1)] * 2

    run(job)


# --- Routes ---


def test_the_next_server_is_tried_when_the_first_does_not_take_us(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        second = Sink()
        async with smtp_sink.running(second, "127.0.0.2"):
            first = Sink(greeting=Reply(554, "5.3.2", "no service"), port=second.port)
            records = {
                ("example.net", "MX"): ["10 mx.example.net.", "5 dead.example.net.", "20 other.example.net."],
                ("dead.example.net", "A"): ["127.0.0.9"],
                ("other.example.net", "A"): ["127.0.0.2"],
            }
            await world.submit(MESSAGE, ["bob@example.net"])
            async with net(world, first, records=records):
                await world.until(0)
        assert (first.sessions, len(second.taken)) == (1, 1)

    run(job)


def test_a_domain_without_mx_is_its_own_server_and_aliases_are_followed(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink()
        records = {
            ("implicit.org", "A"): ["127.0.0.1"],
            ("alias.org", "CNAME"): ["implicit.org."],
        }
        await world.submit(MESSAGE, ["bob@implicit.org"])
        await world.submit(MESSAGE, ["bob@alias.org"])
        async with net(world, sink, records=records):
            await world.until(0)
        assert sorted(sink.recipients) == ["bob@alias.org", "bob@implicit.org"]

    run(job)


def test_a_domain_that_can_take_no_mail_is_reported_at_once(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink()
        records = {
            ("null.org", "MX"): ["0 ."],
            ("empty.org", "TXT"): ['"here"'],
            ("dangling.org", "MX"): ["10 nowhere.dangling.org."],
            ("loop.org", "MX"): [f"10 {HOST}."],
            (HOST, "A"): ["127.0.0.1"],
        }
        expected = {
            "null.org": "5.1.10",
            "unknown.org": "5.1.2",
            "empty.org": "5.4.4",
            "dangling.org": "5.1.2",
            "loop.org": "5.4.6",
        }
        async with net(world, sink, records=records):
            for domain in expected:
                await world.submit(MESSAGE, [f"bob@{domain}"])
            await world.until(0)
        found = [report.recipients[0] for report in world.reports()]
        assert {one["final-recipient"].partition("@")[2]: one["status"] for one in found} == expected
        assert sink.sessions == 0

    run(job)


def test_our_own_port_is_a_loop_under_any_name(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink()
        await world.submit(MESSAGE, ["bob@example.net"])
        async with smtp_sink.running(sink):
            own = frozenset({("127.0.0.1", sink.port)})
            async with net(world, None, port=sink.port, own_endpoints=own):
                await world.until(0)
        assert world.reports()[0].recipients[0]["status"] == "5.4.6"
        assert sink.sessions == 0

    run(job)


def test_nobody_can_send_our_connections_into_the_inner_network(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink()
        records = {
            ("one.org", "A"): ["127.0.0.1"],
            ("two.org", "MX"): ["10 two.org."],
            ("two.org", "A"): ["10.0.0.1", "169.254.169.254"],
            ("three.org", "AAAA"): ["::1", "::ffff:127.0.0.1", "fe80::1"],
        }
        recipients = ["bob@one.org", "bob@two.org", "bob@three.org", "bob@[127.0.0.1]"]
        async with net(world, sink, records=records, allow_private=False):
            for recipient in recipients:
                await world.submit(MESSAGE, [recipient])
            await world.until(0)
        assert [report.recipients[0]["status"] for report in world.reports()] == ["5.4.4"] * len(recipients)
        assert sink.sessions == 0

    run(job)


def test_dns_that_does_not_answer_puts_mail_off(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink()
        await world.submit(MESSAGE, ["bob@example.net"])
        async with net(world, sink) as dns:
            dns.failing.add("example.net")
            (row,) = await world.until(1, attempts=1)
            assert row.reason == "4.4.3 example.net"
            dns.failing.clear()
            world.clock.advance(80)
            await world.until(0)
        assert sink.recipients == ["bob@example.net"]

    run(job)


def test_a_smarthost_takes_everything_over_one_line_without_dns(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink()
        for number in range(6):
            await world.submit(MESSAGE, [f"bob@d{number}.example"])
        async with smtp_sink.running(sink):
            async with net(world, None, smarthost=("127.0.0.1", sink.port), limits=Limits(20, 1)) as dns:
                await world.until(0)
            assert dns.asked == []
        assert len(sink.taken) == 6
        assert sink.sessions == 1

    run(job)


# --- TLS and extensions ---


def _server_tls() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("mx.example.net").configure_cert(context)
    return context


def test_tls_is_used_where_it_is_offered_and_plain_where_it_breaks(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink(tls=_server_tls())
        await world.submit(MESSAGE, ["one@example.net"])
        async with net(world, sink):
            await world.until(0)
        broken = Sink(tls=_server_tls(), break_tls=True)
        await world.submit(MESSAGE, ["two@example.net"])
        async with net(world, broken):
            await world.until(0)
        assert [taken.over_tls for taken in sink.taken] == [True]
        assert [taken.over_tls for taken in broken.taken] == [False]

    run(job)


@pytest.mark.parametrize("offered", ["none", "unverified"])
def test_mail_that_requires_tls_never_goes_without_a_verified_server(
    run: Callable[[Job], None], offered: str
) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink(tls=_server_tls() if offered == "unverified" else None)
        await world.submit(MESSAGE, ["one@example.net"], needs=Needs(requires=("TLS",)))
        async with net(world, sink):
            await world.until(0)
        assert sink.taken == []
        assert world.reports()[0].recipients[0]["status"] == "5.7.10"

    run(job)


def test_a_server_without_smtputf8_is_not_sent_what_needs_it(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink(hide=("SMTPUTF8",))
        await world.submit(MESSAGE, ["用户@example.net"], needs=Needs(smtputf8=True))
        async with net(world, sink):
            await world.until(0)
        (report,) = world.reports()
        assert report.recipients[0]["status"] == "5.6.7"
        assert report.recipients[0]["final-recipient"] == "utf-8; 用户@example.net"

    run(job)


# --- Reports ---


def test_success_is_reported_by_us_only_where_the_next_server_will_not(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        asked = QueuedRecipient("bob@example.net", ("SUCCESS",))
        for hide, reports in ((("DSN",), 1), ((), 1)):
            await world.submit(MESSAGE, [asked])
            async with net(world, Sink(hide=hide)):
                await world.until(0)
            assert len(world.reports()) == reports
        assert world.reports()[0].recipients[0]["action"] == "relayed"

    run(job)


def test_a_delay_is_reported_once_and_the_end_after_it(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink(at(Rcpt, BUSY))
        await world.submit(MESSAGE, ["bob@example.net"])
        async with net(world, sink):
            await world.until(1, attempts=1)
            assert world.reports() == []
            world.clock.advance(POLICY.delay_notice)
            await world.until(1, attempts=2)
            world.clock.advance(400)
            await world.until(1, attempts=3)
            (delay,) = world.reports()
            assert (delay.recipients[0]["action"], delay.recipients[0]["status"]) == ("delayed", "4.2.0")
            assert "will-retry-until" in delay.recipients[0]
            world.clock.advance(POLICY.expire)
            await world.until(0)
        _, failure = world.reports()
        assert (failure.recipients[0]["action"], failure.recipients[0]["status"]) == ("failed", "5.4.7")
        assert failure.recipients[0]["diagnostic-code"] == "smtp; 450 4.2.0 busy"

    run(job)


def test_a_bounce_is_never_answered_by_a_bounce(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        await world.submit(MESSAGE, ["bob@example.net"], sender="")
        async with net(world, Sink(at(Rcpt, UNKNOWN))):
            await world.until(0)
        assert world.world.deposits == []
        assert world.events.notes == [("failed", 1)]

    run(job)


def test_a_report_to_a_sender_elsewhere_goes_through_the_queue_and_dies_there(
    run: Callable[[Job], None],
) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink(to({"nobody": UNKNOWN, "stranger": UNKNOWN}))
        await world.submit(MESSAGE, ["nobody@example.net"], sender="stranger@example.net")
        async with net(world, sink):
            await world.until(0)
        ((destination, envelope, content),) = world.world.queued(world.tenant)
        assert (destination, envelope.reverse_path) == ("example.net", "")
        assert envelope.recipients == (QueuedRecipient("stranger@example.net", ("NEVER",)),)
        assert b"multipart/report" in content
        assert world.events.notes == [("failed", 1), ("failed", 1)]

    run(job)


# --- Crashes and outages ---


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
        async with net(world, sink, lease_seconds=1):
            await eventually(lambda: bool(sink.sessions))
            for _ in range(8):
                await asyncio.sleep(0.4)
                world.clock.advance(0.4)
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
        async with net(world, sink, lease_seconds=1):
            await eventually(lambda: bool(sink.sessions))
            await world.vault.stores.pool.execute("UPDATE queue SET lease = $1", new_id())
            sink.script = usual
            await eventually(lambda: not sink.open_now)
            (row,) = await world.rows()
            assert (row.attempts, row.reason) == (0, "")
        assert (sink.taken, world.events.notes) == ([], [])

    run(job)


def test_an_attempt_ends_when_its_lease_can_not_be_renewed_in_time(run: Callable[[Job], None]) -> None:
    async def job(world: RelayWorld) -> None:
        sink = Sink(at(Mail, "hang"))
        await world.submit(MESSAGE, ["bob@example.net"])
        async with net(world, sink, lease_seconds=1):
            await eventually(lambda: bool(sink.sessions))
            world.outages["queue_renew"] = 10**6
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
