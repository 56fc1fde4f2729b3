"""The server core against the dialogues of the RFCs and against what they forbid (TM-11, TM-12)."""

import base64
from collections.abc import Iterable

import pytest

from postkeep.protocols.smtp import limits, replies
from postkeep.protocols.smtp.events import (
    AuthResponse,
    AuthStart,
    Closed,
    Content,
    Event,
    Mail,
    Rcpt,
    StartTls,
)
from postkeep.protocols.smtp.replies import Reply
from postkeep.protocols.smtp.server import ServerConnection, ServerSettings
from postkeep.protocols.smtp.states import TABLE, State, Verb

SETTINGS = ServerSettings("mx.example.org", 100_000, 50, starttls=True)
SUBMISSION = ServerSettings(
    "mail.example.org", 100_000, 50, starttls=True, mechanisms=("PLAIN", "LOGIN"), auth_required=True
)


def play(
    connection: ServerConnection, data: bytes, answers: dict[type, Reply] | None = None
) -> tuple[list[Event], list[str]]:
    """Feed octets, say yes (or the given reply) to every event; return events and reply lines."""
    events: list[Event] = []
    connection.receive(data)
    while (event := connection.next_event()) is not None:
        events.append(event)
        if connection.waiting:
            default = replies.AUTH_OK if isinstance(event, AuthStart | AuthResponse) else replies.OK
            connection.answer((answers or {}).get(type(event), default))
    return events, connection.take_output().decode().split("\r\n")[:-1]


def codes(lines: Iterable[str]) -> list[str]:
    return [line[:3] for line in lines if line[3] == " "]


def session(settings: ServerSettings = SETTINGS, *, tls: bool = False) -> ServerConnection:
    connection = ServerConnection(settings, tls=tls)
    play(connection, b"EHLO client.example.com\r\n")
    return connection


ENVELOPE = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n"


def test_the_greeting_names_the_host_and_esmtp() -> None:
    connection = ServerConnection(SETTINGS)
    connection.greet()
    assert connection.take_output() == b"220 mx.example.org ESMTP Postkeep\r\n"


def test_ehlo_lists_the_extensions_and_helo_lists_none() -> None:
    _, lines = play(ServerConnection(SETTINGS), b"EHLO client.example.com\r\n")
    assert lines == [
        "250-mx.example.org",
        "250-PIPELINING",
        "250-SIZE 100000",
        "250-8BITMIME",
        "250-SMTPUTF8",
        "250-CHUNKING",
        "250-ENHANCEDSTATUSCODES",
        "250-DSN",
        "250-LIMITS MAILMAX=1000 RCPTMAX=50",
        "250 STARTTLS",
    ]
    _, lines = play(ServerConnection(SETTINGS), b"HELO client.example.com\r\n")
    assert lines == ["250 mx.example.org"]


def test_starttls_is_offered_in_the_clear_only_and_auth_over_tls_only() -> None:
    _, clear = play(ServerConnection(SUBMISSION), b"EHLO c\r\n")
    _, tls = play(ServerConnection(SUBMISSION, tls=True), b"EHLO c\r\n")
    assert any("STARTTLS" in line for line in clear)
    assert not any("AUTH" in line for line in clear)
    assert not any("STARTTLS" in line for line in tls)
    assert "250 AUTH PLAIN LOGIN" in tls


def test_the_scenario_of_rfc_5321_appendix_d_1_works() -> None:
    connection = ServerConnection(ServerSettings("foo.com", 10_000, 50))
    events, lines = play(
        connection,
        b"EHLO bar.com\r\nMAIL FROM:<Smith@bar.com>\r\nRCPT TO:<Jones@foo.com>\r\nRCPT TO:<Green@foo.com>\r\n"
        b"RCPT TO:<Brown@foo.com>\r\nDATA\r\nBlah blah blah...\r\n...etc. etc. etc.\r\n.\r\nQUIT\r\n",
        {Rcpt: replies.RECIPIENT_OK},
    )
    assert codes(lines) == ["250", "250", "250", "250", "250", "354", "250", "221"]
    assert [str(event.recipient) for event in events if isinstance(event, Rcpt)] == [
        "Jones@foo.com",
        "Green@foo.com",
        "Brown@foo.com",
    ]
    assert [event.content for event in events if isinstance(event, Content)] == [
        b"Blah blah blah...\r\n..etc. etc. etc.\r\n"
    ]
    assert isinstance(events[-1], Closed)


def test_a_pipelined_group_is_answered_in_one_output() -> None:
    connection = session()
    connection.receive(ENVELOPE + b"DATA\r\n")
    assert isinstance(connection.next_event(), Mail)
    assert connection.next_event() is None
    connection.answer(replies.SENDER_OK)
    assert isinstance(connection.next_event(), Rcpt)
    connection.answer(replies.RECIPIENT_OK)
    assert connection.next_event() is None
    assert codes(connection.take_output().decode().split("\r\n")[:-1]) == ["250", "250", "354"]


def test_the_null_reverse_path_and_the_lone_postmaster_are_understood() -> None:
    events, lines = play(session(), b"MAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\n")
    assert codes(lines) == ["250", "250"]
    assert isinstance(events[0], Mail)
    assert events[0].sender is None
    assert isinstance(events[1], Rcpt)
    assert (events[1].recipient.local, events[1].recipient.domain) == ("postmaster", "")


@pytest.mark.parametrize(
    ("line", "sender"),
    [
        (b"MAIL FROM:<@relay.example,@two.example:joe@example.com>", "joe@example.com"),
        (b"mail from:<joe@EXAMPLE.com>", "joe@example.com"),
        (b"MAIL FROM: <joe@example.com>", "joe@example.com"),
        (b'MAIL FROM:<"joe bloggs"@example.com>', '"joe bloggs"@example.com'),
        (b"MAIL FROM:<joe@[192.0.2.1]>", "joe@[192.0.2.1]"),
        (b"MAIL FROM:<joe@[IPv6:2001:db8::1]>", "joe@[IPv6:2001:db8::1]"),
    ],
)
def test_paths_of_every_form_are_read(line: bytes, sender: str) -> None:
    events, lines = play(session(), line + b"\r\n")
    assert codes(lines) == ["250"]
    assert isinstance(events[0], Mail)
    assert str(events[0].sender) == sender


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"MAIL FROM:joe@example.com", "501 5.1.7"),
        (b"MAIL FROM:<joe@example.com", "501 5.1.7"),
        (b"MAIL FROM:<joe example.com>", "501 5.1.7"),
        (b"MAIL FROM:<joe@[999.0.2.1]>", "501 5.1.7"),
        (b"MAIL FROM:<" + b"a" * 65 + b"@example.com>", "501 5.1.7"),
        (b"MAIL FROM:<\xff@example.com> SMTPUTF8", "501 5.1.7"),
        (b"MAIL FROM:<j\xc3\xb6@example.com>", "553 5.6.7"),
        (b"MAIL TO:<joe@example.com>", "501 5.5.4"),
        (b"MAIL FROM:<joe@example.com> SIZE=100001", "552 5.3.4"),
        (b"MAIL FROM:<joe@example.com> SIZE=x", "501 5.5.4"),
        (b"MAIL FROM:<joe@example.com> SIZE=1 SIZE=1", "501 5.5.4"),
        (b"MAIL FROM:<joe@example.com> BODY=BINARYMIME", "501 5.5.4"),
        (b"MAIL FROM:<joe@example.com> RET=ALL", "501 5.5.4"),
        (b"MAIL FROM:<joe@example.com> ENVID=a+2", "501 5.5.4"),
        (b"MAIL FROM:<joe@example.com> FOO=1", "555 5.5.4"),
        (b"MAIL FROM:<joe@example.com> AUTH=<>", "555 5.5.4"),
        (b"RCPT TO:<joe@example.com>", "503 5.5.1"),
        (b"DATA", "503 5.5.1"),
        (b"BLURB", "500 5.5.2"),
        (b"EXPN staff", "502 5.5.1"),
        (b"VRFY joe", "252 2.5.0"),
        (b"HELP", "214"),
        (b"NOOP anything", "250 2.0.0"),
        (b"RSET x", "501 5.5.4"),
        (b"EHLO", "501 5.5.4"),
        (b"STARTTLS now", "501 5.5.4"),
        (b"AUTH PLAIN", "502 5.5.1"),
    ],
)
def test_a_line_gets_its_reply(line: bytes, reply: str) -> None:
    _, lines = play(session(), line + b"\r\n")
    assert lines[0].startswith((reply, reply.replace(" ", "-")))


@pytest.mark.parametrize(
    ("parameters", "reply"),
    [
        (b"NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+2Bx@example.com", "250"),
        (b"NOTIFY=NEVER", "250"),
        (b"NOTIFY=NEVER,DELAY", "501 5.5.4"),
        (b"NOTIFY=OFTEN", "501 5.5.4"),
        (b"ORCPT=rfc822", "501 5.5.4"),
        (b"ORCPT=rfc822;" + b"x" * 500, "501 5.5.4"),
        (b"FOO", "555 5.5.4"),
    ],
)
def test_dsn_parameters_are_read_and_checked(parameters: bytes, reply: str) -> None:
    connection = session()
    play(connection, b"MAIL FROM:<a@example.com> RET=HDRS ENVID=QQ314159\r\n")
    events, lines = play(connection, b"RCPT TO:<b@example.org> " + parameters + b"\r\n")
    assert lines[0].startswith(reply)
    if b"ORCPT" in parameters and reply == "250":
        assert isinstance(events[0], Rcpt)
        assert events[0].parameters.notify == ("FAILURE", "SUCCESS")
        assert events[0].parameters.orcpt == "rfc822;Bob+x@example.com"


def test_utf8_addresses_need_smtputf8_and_then_work() -> None:
    text = "MAIL FROM:<jörg@example.com> SMTPUTF8\r\nRCPT TO:<用户@例子.中国>\r\n".encode()
    events, lines = play(session(), text)
    assert codes(lines) == ["250", "250"]
    assert isinstance(events[1], Rcpt)
    assert events[1].recipient.local == "用户"
    assert events[1].recipient.domain == "xn--fsqu00a.xn--fiqs8s"


SMUGGLES = [
    b"\n.\r\n",
    b"\r\n.\n",
    b"\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\n\n.\r\n",
    b"\r\n\r.\r\n",
    b"\r\r\n.\r\r\n",
]


@pytest.mark.parametrize("ending", SMUGGLES)
def test_a_bare_line_end_never_ends_a_message_and_the_message_is_refused(ending: bytes) -> None:
    connection = session()
    smuggled = ending + b"MAIL FROM:<x@evil.example>\r\nRCPT TO:<y@example.org>\r\nDATA\r\nsmuggled"
    events, lines = play(connection, ENVELOPE + b"DATA\r\nhello" + smuggled + b"\r\n.\r\nNOOP\r\n")
    assert [type(event) for event in events] == [Mail, Rcpt]
    assert codes(lines) == ["250", "250", "354", "550", "250"]
    assert lines[3].startswith("550 5.6.0")


@pytest.mark.parametrize("content", [b"a\nb\r\n", b"a\rb\r\n", b"a\r\r\n", b"a\n", b"a\r"])
def test_bdat_refuses_bare_line_ends_too(content: bytes) -> None:
    events, lines = play(session(), ENVELOPE + b"BDAT %d LAST\r\n" % len(content) + content)
    assert not any(isinstance(event, Content) for event in events)
    assert lines[-1].startswith("550 5.6.0")


@pytest.mark.parametrize("line", [b"NOOP\n", b"NOOP\rRSET\r\n", b"\n", b"NOOP\r\r\n"])
def test_a_command_line_with_a_bare_line_end_closes_the_session(line: bytes) -> None:
    events, lines = play(session(), line + b"NOOP\r\n")
    assert [line[:9] for line in lines] == ["500 5.5.2"]
    assert isinstance(events[-1], Closed)


def test_dots_are_taken_back_and_a_lone_dot_ends_the_message() -> None:
    events, _ = play(session(), ENVELOPE + b"DATA\r\n..\r\n...x\r\n.y\r\n\r\n..\r\n.\r\n")
    assert isinstance(events[-1], Content)
    assert events[-1].content == b".\r\n..x\r\ny\r\n\r\n.\r\n"


@pytest.mark.parametrize("command", [b"DATA\r\n", b"BDAT 27 LAST\r\n"])
def test_a_message_cut_anywhere_is_the_same_message(command: bytes) -> None:
    content = b"Subject: x\r\n\r\none\r\n.\r\ntwo\r\n"
    wire = content.replace(b"\r\n.", b"\r\n..") + b".\r\n" if command == b"DATA\r\n" else content
    assert len(content) == 27
    for cut in range(1, len(wire)):
        connection = session()
        events, _ = play(connection, ENVELOPE + command + wire[:cut])
        events += play(connection, wire[cut:])[0]
        assert isinstance(events[-1], Content)
        assert events[-1].content == content


def test_an_empty_message_is_a_message() -> None:
    events, lines = play(session(), ENVELOPE + b"DATA\r\n.\r\n")
    assert isinstance(events[-1], Content)
    assert events[-1].content == b""
    assert codes(lines) == ["250", "250", "354", "250"]


def test_data_without_accepted_recipients_is_refused() -> None:
    _, lines = play(session(), ENVELOPE + b"DATA\r\n", {Rcpt: Reply(550, "5.1.1", "No such user")})
    assert lines[-1].startswith("554 5.5.1")


def test_a_refused_sender_leaves_no_transaction() -> None:
    _, lines = play(session(), ENVELOPE, {Mail: Reply(550, "5.7.1", "No")})
    assert codes(lines) == ["550", "503"]


def test_a_message_in_chunks_is_put_together_and_dots_stay() -> None:
    events, lines = play(session(), ENVELOPE + b"BDAT 7\r\n.one\r\n.BDAT 0\r\nBDAT 4 LAST\r\ntw\r\nRSET\r\n")
    assert codes(lines) == ["250", "250", "250", "250", "250", "250"]
    assert isinstance(events[-1], Content)
    assert events[-1].content == b".one\r\n.tw\r\n"


def test_octets_of_a_refused_chunk_are_never_commands() -> None:
    smuggled = b"MAIL FROM:<x@evil.example>\r\n"
    events, lines = play(session(), b"BDAT %d LAST\r\n" % len(smuggled) + smuggled + b"NOOP\r\n")
    assert events == []
    assert codes(lines) == ["503", "250"]


def test_chunks_and_data_do_not_mix() -> None:
    _, lines = play(
        session(), ENVELOPE + b"BDAT 4\r\nab\r\nDATA\r\nRCPT TO:<c@example.org>\r\nBDAT 0 LAST\r\n"
    )
    assert codes(lines) == ["250", "250", "250", "503", "503", "250"]


@pytest.mark.parametrize("line", [b"BDAT", b"BDAT x", b"BDAT -1", b"BDAT 5 FIRST", b"BDAT " + b"9" * 21])
def test_a_chunk_of_unknown_length_closes_the_session(line: bytes) -> None:
    events, _ = play(session(), ENVELOPE + line + b"\r\nNOOP\r\n")
    assert isinstance(events[-1], Closed)


def test_a_message_over_the_limit_is_read_to_its_end_and_refused() -> None:
    line = b"x" * 98 + b"\r\n"
    connection = session()
    _, lines = play(connection, ENVELOPE + b"DATA\r\n" + line * 1001 + b".\r\nNOOP\r\n")
    assert codes(lines) == ["250", "250", "354", "552", "250"]
    _, lines = play(connection, ENVELOPE + b"DATA\r\n" + line * 1000 + b".\r\n")
    assert codes(lines) == ["250", "250", "354", "250"]
    _, lines = play(connection, ENVELOPE + b"BDAT 100001 LAST\r\n" + b"x" * 100_001 + b"NOOP\r\n")
    assert codes(lines) == ["250", "250", "552", "250"]


def test_a_message_at_the_limit_may_be_full_of_dots() -> None:
    content = b".\r\n" * 33_333
    events, _ = play(session(), ENVELOPE + b"DATA\r\n" + b"..\r\n" * 33_333 + b".\r\n")
    assert isinstance(events[-1], Content)
    assert events[-1].content == content


def test_an_endless_message_is_cut_off() -> None:
    connection = session()
    play(connection, ENVELOPE + b"DATA\r\n")
    events: list[Event] = []
    for _ in range(300):
        events += play(connection, b"x" * 1000)[0]
    assert isinstance(events[-1], Closed)


def test_a_line_over_the_limit_closes_the_session() -> None:
    events, lines = play(session(), b"NOOP " + b"x" * limits.COMMAND_OCTETS_MAX)
    assert codes(lines) == ["500"]
    assert isinstance(events[-1], Closed)


def test_too_many_bad_commands_close_the_session() -> None:
    events, lines = play(session(), b"BLURB\r\n" * 20)
    assert codes(lines) == ["500"] * limits.BAD_COMMANDS_MAX + ["421"]
    assert isinstance(events[-1], Closed)


def test_too_many_idle_commands_close_the_session() -> None:
    _, lines = play(session(), b"NOOP\r\n" * 500)
    assert codes(lines) == ["250"] * (limits.IDLE_COMMANDS_MAX - 1) + ["421"]


def test_guessing_recipients_closes_the_session() -> None:
    connection = session()
    play(connection, b"MAIL FROM:<a@example.com>\r\n")
    _, lines = play(connection, b"RCPT TO:<b@example.org>\r\n" * 200, {Rcpt: Reply(550, "5.1.1", "No")})
    assert codes(lines) == ["550"] * limits.REFUSED_RECIPIENTS_MAX + ["421"]


def test_recipients_over_the_limit_wait_for_another_transaction() -> None:
    connection = session()
    _, lines = play(connection, b"MAIL FROM:<a@example.com>\r\n" + b"RCPT TO:<b@example.org>\r\n" * 51)
    assert codes(lines) == ["250"] * 51 + ["452"]


def test_a_browser_is_sent_away_at_once() -> None:
    events, lines = play(
        ServerConnection(SETTINGS), b"POST / HTTP/1.1\r\nHost: mx\r\n\r\nMAIL FROM:<a@b.c>\r\n"
    )
    assert codes(lines) == ["421"]
    assert isinstance(events[-1], Closed)


def test_what_was_injected_behind_starttls_is_never_read() -> None:
    connection = session()
    events, lines = play(connection, b"STARTTLS\r\nMAIL FROM:<x@evil.example>\r\n")
    assert [type(event) for event in events] == [StartTls]
    assert codes(lines) == ["220"]
    play(connection, b"RCPT TO:<y@example.org>\r\n")
    connection.tls_started()
    assert play(connection, b"NOOP\r\n")[1] == ["250 2.0.0 OK"]
    assert codes(play(connection, ENVELOPE)[1]) == ["503", "503"]
    assert connection.hello == ""
    assert codes(play(connection, b"EHLO again\r\nSTARTTLS\r\n")[1]) == ["250", "503"]


def test_starttls_is_refused_inside_a_transaction() -> None:
    assert codes(play(session(), ENVELOPE + b"STARTTLS\r\n")[1]) == ["250", "250", "503"]


def test_submission_demands_tls_then_a_sign_in() -> None:
    assert play(session(SUBMISSION), b"MAIL FROM:<a@example.com>\r\n")[1][0].startswith(
        "530 5.7.0 Use STARTTLS"
    )
    assert play(session(SUBMISSION), b"AUTH PLAIN\r\n")[1][0].startswith("538 5.7.11")
    over_tls = session(SUBMISSION, tls=True)
    assert play(over_tls, b"MAIL FROM:<a@example.com>\r\n")[1][0].startswith("530 5.7.0 Sign in")
    assert play(over_tls, b"AUTH GSSAPI\r\n")[1][0].startswith("504")


def test_auth_plain_with_an_initial_response() -> None:
    connection = session(SUBMISSION, tls=True)
    events, lines = play(
        connection, b"AUTH PLAIN AGEAYg==\r\nMAIL FROM:<a@example.com>\r\nAUTH PLAIN AA==\r\n"
    )
    assert events[0] == AuthStart("PLAIN", b"\0a\0b")
    assert codes(lines) == ["235", "250", "503"]


def test_an_exchange_with_challenges_and_its_cancelling() -> None:
    connection = session(SUBMISSION, tls=True)
    connection.receive(b"AUTH LOGIN\r\n")
    assert connection.next_event() == AuthStart("LOGIN", None)
    connection.challenge(b"Username:")
    assert connection.take_output() == b"334 " + base64.b64encode(b"Username:") + b"\r\n"
    connection.receive(base64.b64encode(b"alice") + b"\r\n")
    assert connection.next_event() == AuthResponse(b"alice")
    connection.challenge(b"Password:")
    connection.take_output()
    assert play(connection, b"*\r\nNOOP\r\n")[1] == ["501 5.7.0 Authentication cancelled", "250 2.0.0 OK"]
    assert play(connection, b"AUTH PLAIN !!!\r\n")[1] == ["501 5.5.2 Not valid base64"]


def test_failed_sign_ins_close_the_session() -> None:
    connection = session(SUBMISSION, tls=True)
    refusal: dict[type, Reply] = {AuthStart: Reply(535, "5.7.8", "Authentication failed")}
    events, lines = play(connection, b"AUTH PLAIN AGEAYg==\r\n" * 5, refusal)
    assert codes(lines) == ["535"] * limits.AUTH_FAILURES_MAX + ["421"]
    assert isinstance(events[-1], Closed)
    assert not connection.authenticated


def test_commands_before_the_sign_in_are_few() -> None:
    events, _ = play(session(SUBMISSION, tls=True), b"NOOP\r\n" * 50)
    assert isinstance(events[-1], Closed)


def test_the_table_lets_mail_begin_only_where_nothing_is_open() -> None:
    assert [state for state, verbs in TABLE.items() if Verb.MAIL in verbs] == [State.READY]
    assert [state for state, verbs in TABLE.items() if Verb.DATA in verbs] == [State.RCPT]
    assert all(Verb.QUIT in verbs for verbs in TABLE.values())


def test_an_answer_without_a_question_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no event"):
        session().answer(replies.OK)


def test_the_caller_can_end_the_session_with_its_own_words() -> None:
    connection = session()
    connection.close(Reply(421, "4.3.2", "Shutting down"))
    assert isinstance(connection.next_event(), Closed)
    assert connection.take_output() == b"421 4.3.2 Shutting down\r\n"
    assert play(connection, b"NOOP\r\n") == ([], [])
