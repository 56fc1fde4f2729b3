"""Any octets: an event or a reply, nothing else, and the same however they are cut up."""

import random
from itertools import pairwise
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from postkeep.protocols.smtp import replies
from postkeep.protocols.smtp.client import Answer, ClientConnection
from postkeep.protocols.smtp.content import DotReader, dot_stuff
from postkeep.protocols.smtp.events import Event
from postkeep.protocols.smtp.replies import SmtpProtocolError
from postkeep.protocols.smtp.server import ServerConnection, ServerSettings

SETTINGS = ServerSettings("mx.example.org", 400, 3, starttls=True, mechanisms=("PLAIN",))

PIECES = st.sampled_from(
    [
        b"EHLO a\r\n",
        b"HELO b\r\n",
        b"MAIL FROM:<a@b.example>\r\n",
        b"MAIL FROM:<>",
        b" SIZE=3",
        b"\r\n",
        b"\r",
        b"\n",
        b"RCPT TO:<c@d.example>\r\n",
        b"RCPT TO:<c@d.example> NOTIFY=NEVER\r\n",
        b"DATA\r\n",
        b".\r\n",
        b"\r\n.\r\n",
        b"BDAT 3\r\n",
        b"BDAT 5 LAST\r\n",
        b"BDAT 900 LAST\r\n",
        b"abcde",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"STARTTLS\r\n",
        b"AUTH PLAIN\r\n",
        b"AUTH PLAIN AGEAYg==\r\n",
        b"AGEAYg==\r\n",
        b"*\r\n",
        b"x" * 300,
        b"..\r\n",
        b"QUIT\r\n",
        b"\xff\x00",
        b"GET / HTTP/1.1\r\n",
        b"\n.\r\n",
        b"VRFY x\r\n",
    ]
)
STREAMS = st.lists(PIECES | st.binary(max_size=20), max_size=30).map(b"".join)


def run(pieces: list[bytes], *, tls: bool) -> tuple[list[Event], bytes]:
    connection = ServerConnection(SETTINGS, tls=tls)
    events: list[Event] = []
    output = b""
    for piece in pieces:
        connection.receive(piece)
        while (event := connection.next_event()) is not None:
            events.append(event)
            if connection.waiting:
                connection.answer(replies.OK)
        output += connection.take_output()
    return events, output


@settings(max_examples=400, deadline=None)
@given(STREAMS, st.sampled_from((0, 1)), st.integers(0, 2**32))
def test_the_server_reads_the_same_whole_in_pieces_and_octet_by_octet(
    data: bytes, over_tls: Literal[0, 1], seed: int
) -> None:
    tls = bool(over_tls)
    whole = run([data], tls=tls)
    assert run([data[i : i + 1] for i in range(len(data))], tls=tls) == whole
    cuts = sorted(random.Random(seed).choices(range(len(data) + 1), k=5))
    borders = [0, *cuts, len(data)]
    assert run([data[a:b] for a, b in pairwise(borders)], tls=tls) == whole


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([b"\r\n", b".", b"\r", b"\n", b"a", b"..", b".\r\n"]), max_size=40).map(b"".join)
)
def test_the_dot_reader_agrees_with_a_plain_search_at_any_cut(text: bytes) -> None:
    data = text + b"\r\n.\r\nrest"
    end = (b"\r\n" + data).index(b"\r\n.\r\n") + 3
    expected = data[:end]
    lines = expected[: -len(b".\r\n")].split(b"\r\n")
    content = b"\r\n".join(line.removeprefix(b".") for line in lines)
    for cut in range(len(data) + 1):
        reader = DotReader(1000)
        first = reader.feed(data[:cut])
        position = first if first >= 0 else cut + reader.feed(data[cut:])
        assert position == end
        assert reader.finish() == content


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([b"\r\n", b".", b"a", b".\r\n", b"\r\n."]), max_size=30).map(b"".join))
def test_stuffing_then_reading_gives_the_message_back(message: bytes) -> None:
    reader = DotReader(10_000)
    wire = dot_stuff(message)
    assert reader.feed(wire) == len(wire)
    ended = message if not message or message.endswith(b"\r\n") else message + b"\r\n"
    assert reader.finish() == ended


def answers(pieces: list[bytes]) -> tuple[list[Answer], str]:
    client = ClientConnection("client.example")
    for _ in range(20):
        client.ehlo()
    found: list[Answer] = []
    for piece in pieces:
        client.receive(piece)
        try:
            while (answer := client.next_answer()) is not None:
                found.append(answer)
        except SmtpProtocolError as error:
            return found, error.detail
    return found, ""


REPLIES = st.lists(
    st.sampled_from(
        [b"250 ok\r\n", b"250-a\r\n", b"250-SIZE 5\r\n", b"354 \r\n", b"5", b"\n", b"220\r\n", b"999 x\r\n"]
    )
    | st.binary(max_size=8),
    max_size=20,
).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(REPLIES)
def test_the_client_reads_replies_or_raises_a_protocol_error_at_any_cut(data: bytes) -> None:
    assert answers([data]) == answers([data[i : i + 1] for i in range(len(data))])
