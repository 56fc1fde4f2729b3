"""Hostile bytes to the IMAP core: a value or a protocol error, nothing else, however they are cut."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from postkeep.protocols.imap.client import ResponseReader
from postkeep.protocols.imap.commands import Request
from postkeep.protocols.imap.errors import ImapStreamError, ImapSyntaxError
from postkeep.protocols.imap.parser import parse_command
from postkeep.protocols.imap.reader import CommandBytes, CommandReader, Continue

_SEEDS = [
    b'a1 LOGIN "alice" {5}\r\npass1\r\n',
    b"a2 SELECT &ZeU- (CONDSTORE)\r\na3 NOOP\r\n",
    b'a4 UID FETCH 1:*,3 (FLAGS BODY.PEEK[1.2.HEADER.FIELDS (To "X-Y")]<5.10>) (CHANGEDSINCE 4)\r\n',
    b"a5 UID SEARCH RETURN (MIN) CHARSET UTF-8 OR FROM bob NOT (1:3 SINCE 1-Feb-1994 TEXT {3+}\r\nabc)\r\n",
    b'a6 APPEND x (\\Seen) " 7-Feb-1994 21:52:25 -0800" ~{12+}\r\nFrom: x\r\n\r\nb\r\n',
    b'a7 LIST (SUBSCRIBED) "" (INBOX "a/%") RETURN (CHILDREN STATUS (UNSEEN))\r\n',
    b"a8 STORE 1,2:4 (UNCHANGEDSINCE 9) +FLAGS.SILENT (\\Deleted $X)\r\n",
    b'a9 ID ("name" "mutt" "os" NIL)\r\na10 IDLE\r\nDONE\r\n',
    b"b1 APPEND x {90000+}\r\nshort\r\n",
    b"b2 UID SORT RETURN (PARTIAL -1:-9 COUNT) (REVERSE TO) UTF-8 OLDER 9 EMAILID M1 SAVEDON 1-Jan-2020\r\n",
    b'b3 UID THREAD REFERENCES US-ASCII OR UNSEEN MODSEQ "/flags/x" all 7\r\n',
]
_TOKENS = [
    *(b"{3}\r\n", b"{0+}\r\n", b"~{1}\r\nx", b"(", b")", b'"', b"\\", b"\r\n", b"\r", b"\n", b"*", b"NIL"),
    *(b"[", b"]", b"<", b"\x00", b"\xff", b" ", b"NOT ", b"OR ", b"&", b"&-", b"%", b"4294967296", b"UID "),
]


def outcome(chunks: list[bytes]) -> list[object]:
    """What comes of a stream: events, values, protocol errors; anything else escapes and fails the test."""
    reader = CommandReader()
    reader.append_bytes_max = 4096
    seen: list[object] = []
    try:
        for chunk in chunks:
            reader.feed(chunk)
            while (event := reader.next_event()) is not None:
                if isinstance(event, CommandBytes):
                    try:
                        request = parse_command(event)
                        assert isinstance(request, Request)
                        seen.append(request)
                    except ImapSyntaxError as exc:
                        seen.append(("syntax", exc.tag, exc.public_text))
                elif not isinstance(event, Continue):
                    seen.append(event)
                assert reader.backlog <= sum(map(len, chunks))
    except ImapStreamError:
        seen.append("stream")
    return seen


def mutated(rng: random.Random) -> bytes:
    stream = bytearray(b"".join(rng.choices(_SEEDS, k=rng.randint(1, 3))))
    for _ in range(rng.randint(0, 6)):
        at = rng.randrange(len(stream) + 1)
        action = rng.randrange(4)
        if action == 0:
            stream[at:at] = rng.choice(_TOKENS)
        elif action == 1:
            del stream[at : at + rng.randint(1, 6)]
        elif action == 2:
            stream[at:at] = bytes([rng.randrange(256)])
        else:
            other = rng.choice(_SEEDS)
            stream[at:at] = other[rng.randrange(len(other)) :]
        if not stream:
            stream += b"x"
    return bytes(stream)


def test_mutated_streams_give_the_same_outcome_whole_and_byte_by_byte() -> None:
    rng = random.Random(20260801)
    for _ in range(3000):
        stream = mutated(rng)
        whole = outcome([stream])
        assert outcome([stream[at : at + 1] for at in range(len(stream))]) == whole, stream
        cut = rng.randrange(len(stream) + 1)
        assert outcome([stream[:cut], stream[cut:]]) == whole, stream


@settings(max_examples=300)
@given(
    st.lists(
        st.one_of(st.sampled_from(_SEEDS), st.sampled_from(_TOKENS), st.binary(max_size=20)), max_size=12
    )
)
def test_any_octets_give_a_value_or_a_protocol_error(pieces: list[bytes]) -> None:
    outcome([b"".join(pieces)])


@settings(max_examples=300)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [
                    b"* ",
                    b"a OK [",
                    b"]",
                    b"(",
                    b")",
                    b"{4}\r\n",
                    b"NIL",
                    b'"',
                    b"BODY[TEXT]<0>",
                    b" ",
                    b"\r\n",
                    b"1 FETCH ",
                    b"\\",
                ]
            ),
            st.binary(max_size=8),
        ),
        max_size=20,
    ),
)
def test_any_answer_gives_the_client_a_response_or_a_protocol_error(pieces: list[bytes]) -> None:
    reader = ResponseReader()
    reader.feed(b"".join(pieces) + b"\r\n")
    for _ in range(100):
        try:
            if reader.next_response() is None:
                return
        except ImapSyntaxError:
            pass
    raise AssertionError("the reader does not come to an end")
