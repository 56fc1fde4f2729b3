"""The client core: what it sends, what it makes of replies, and what it refuses to believe."""

import pytest

from postkeep.base.address import Address
from postkeep.base.errors import InvalidInputError
from postkeep.protocols.smtp import limits
from postkeep.protocols.smtp.client import Answer, ClientConnection, Step
from postkeep.protocols.smtp.events import Content, Event, Mail, Rcpt
from postkeep.protocols.smtp.parameters import MailParameters, RcptParameters, decode_xtext, encode_xtext
from postkeep.protocols.smtp.replies import OK, Reply, SmtpProtocolError
from postkeep.protocols.smtp.server import ServerConnection, ServerSettings

JOE = Address("joe", "example.com")


def ready() -> ClientConnection:
    client = ClientConnection("client.example")
    client.receive(b"220 mx.example.org ESMTP\r\n")
    assert client.next_answer() == Answer(Step.GREETING, Reply(220, "", "mx.example.org ESMTP"))
    client.ehlo()
    assert client.take_output() == b"EHLO client.example\r\n"
    client.receive(b"250-mx.example.org\r\n250-size 1000\r\n250-DSN\r\n250-8BITMIME\r\n250 PIPELINING\r\n")
    assert client.next_answer() is not None
    return client


def test_the_ehlo_reply_gives_the_extensions() -> None:
    assert ready().extensions == {"SIZE": "1000", "DSN": "", "8BITMIME": "", "PIPELINING": ""}


def test_commands_are_pipelined_and_their_replies_matched() -> None:
    client = ready()
    client.mail(JOE, MailParameters(size=9, body="8BITMIME", ret="HDRS", envid="a b"))
    client.rcpt(Address("x", "example.org"), RcptParameters(("FAILURE",), "rfc822;x+y@example.org"))
    client.rcpt(Address("y", "example.org"), RcptParameters())
    client.data()
    assert client.take_output() == (
        b"MAIL FROM:<joe@example.com> SIZE=9 BODY=8BITMIME RET=HDRS ENVID=a+20b\r\n"
        b"RCPT TO:<x@example.org> NOTIFY=FAILURE ORCPT=rfc822;x+2By@example.org\r\n"
        b"RCPT TO:<y@example.org>\r\nDATA\r\n"
    )
    client.receive(b"250 2.1.0 ok\r\n250 ok\r\n550-5.1.1 no such\r\n550 5.1.1 user\r\n354 go\r\n")
    found = [client.next_answer() for _ in range(4)]
    assert found == [
        Answer(Step.MAIL, Reply(250, "2.1.0", "ok")),
        Answer(Step.RCPT, Reply(250, "", "ok"), 0),
        Answer(Step.RCPT, Reply(550, "5.1.1", "no such\nuser"), 1),
        Answer(Step.DATA, Reply(354, "", "go")),
    ]
    client.content(b".a\r\n..b")
    assert client.take_output() == b"..a\r\n...b\r\n.\r\n"
    assert client.outstanding == 1


def test_parameters_that_the_server_does_not_know_are_left_out() -> None:
    client = ClientConnection("c")
    client.mail(None, MailParameters(size=9, ret="FULL", envid="x"))
    client.rcpt(JOE, RcptParameters(("NEVER",)))
    assert client.take_output() == b"MAIL FROM:<>\r\nRCPT TO:<joe@example.com>\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n",
        b"199 x\r\n",
        b"250-a\r\n251 b\r\n",
        b"250_x\r\n",
        b"2" * limits.REPLY_LINE_OCTETS_MAX,
        b"250-x\r\n" * (limits.REPLY_LINES_MAX + 1),
        b"220 hi\r\n250 nobody asked\r\n",
    ],
)
def test_what_is_not_a_reply_is_a_protocol_error(data: bytes) -> None:
    client = ClientConnection("c")
    client.receive(data)
    with pytest.raises(SmtpProtocolError):
        list(iter(client.next_answer, None))


def test_a_reply_injected_behind_starttls_is_refused() -> None:
    client = ready()
    client.starttls()
    client.receive(b"220 go\r\n250 injected\r\n")
    with pytest.raises(SmtpProtocolError, match="in the clear"):
        client.next_answer()


def test_capabilities_of_the_clear_are_forgotten_after_the_handshake() -> None:
    client = ready()
    client.tls_started()
    assert not client.supports("SIZE")


def test_an_argument_can_not_smuggle_a_command() -> None:
    with pytest.raises(InvalidInputError):
        ready().rcpt(Address("x>\r\nRCPT TO:<y", "example.org"), RcptParameters())


def test_sasl_lines_are_base64_and_a_cancel_is_a_star() -> None:
    client = ready()
    client.auth("PLAIN", b"\0a\0b")
    client.auth("XOAUTH", b"")
    client.auth_response(b"x")
    client.auth_response(None)
    assert client.take_output() == b"AUTH PLAIN AGEAYg==\r\nAUTH XOAUTH =\r\neA==\r\n*\r\n"


def test_xtext_goes_there_and_back() -> None:
    text = "a+b=c d~" + chr(1)
    assert encode_xtext(text) == "a+2Bb+3Dc+20d~+01"
    assert decode_xtext(encode_xtext(text)) == text


def test_the_two_halves_understand_each_other() -> None:
    server = ServerConnection(ServerSettings("mx", 10_000, 10))
    client = ClientConnection("c")
    server.greet()
    events: list[Event] = []

    def exchange() -> list[Answer]:
        server.receive(client.take_output())
        while (event := server.next_event()) is not None:
            events.append(event)
            if server.waiting:
                server.answer(OK)
        client.receive(server.take_output())
        found = []
        while (answer := client.next_answer()) is not None:
            found.append(answer)
        return found

    exchange()
    client.ehlo()
    exchange()
    client.mail(JOE, MailParameters(size=20))
    client.rcpt(JOE, RcptParameters(("NEVER",), "rfc822;joe@example.com"))
    client.bdat(b".two halves\r\n")
    assert [answer.step for answer in exchange()] == [Step.MAIL, Step.RCPT, Step.CONTENT]
    client.quit()
    assert exchange()[0].reply.code == 221
    assert events[:3] == [
        Mail(JOE, MailParameters(size=20)),
        Rcpt(JOE, RcptParameters(("NEVER",), "rfc822;joe@example.com")),
        Content(b".two halves\r\n"),
    ]
