"""The relay from the queue to other servers and back: a real vault, real sessions, real DNS questions."""

from collections.abc import Callable

from tests.integration.relay.conftest import BUSY, MESSAGE, UNKNOWN, Job, at, eventually, net, to, usual
from tests.relay_world import HOST, POLICY, RelayWorld
from tests.smtp_sink import Act, Script, Sink

from postkeep.faces.relay.destinations import Limits
from postkeep.protocols.smtp.events import Content, Mail, Rcpt
from postkeep.protocols.smtp.parameters import RcptParameters
from postkeep.protocols.smtp.replies import Reply
from postkeep.services.delivery.seal import Needs
from postkeep.services.queue.envelope import QueuedRecipient


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
