"""Where the relay takes mail: servers by DNS, loops, the inner network, TLS and what servers can do."""

import ssl
from collections.abc import Callable

import pytest
import trustme
from tests import smtp_sink
from tests.integration.relay.conftest import MESSAGE, Job, net
from tests.relay_world import HOST, RelayWorld
from tests.smtp_sink import Sink

from postkeep.faces.relay.destinations import Limits
from postkeep.protocols.smtp.replies import Reply
from postkeep.services.delivery.seal import Needs


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
