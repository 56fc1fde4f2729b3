"""Literals of every kind, cut into pieces at random: the same commands come out, or the same refusals."""

from hypothesis import given, settings
from hypothesis import strategies as st

from postkeep.protocols.imap.reader import CommandBytes, CommandReader, Continue, Event, Refusal

LIMIT = 400

literals = st.tuples(st.binary(max_size=150), st.booleans(), st.booleans())  # octets, waited for, literal8
commands = st.tuples(
    st.sampled_from([b"APPEND x", b"REPLACE 1 x", b"UID REPLACE 1 x", b"LOGIN"]),
    st.lists(literals, max_size=4),
)


def _stream(
    tag: bytes, verb: bytes, given_literals: list[tuple[bytes, bool, bool]]
) -> tuple[bytes, list[Event]]:
    """Return what a client sends that does not wait to be told to go on, and what must come of it."""
    limit = LIMIT if verb != b"LOGIN" else LIMIT // 4
    sent, text, events, octets = tag + b" " + verb, tag + b" " + verb, list[Event](), 0
    kept, refused, too_big = list[bytes](), False, False
    for data, waits, binary in given_literals:
        head = b" %b{%d%b}\r\n" % (b"~" * binary, len(data), b"" if waits else b"+")
        sent, text, octets = sent + head, text + head, octets + len(data)
        refused |= octets > limit
        too_big |= len(data) > limit
        if waits and refused:  # the client is told, and does not send it
            return sent, [*events, Refusal(tag, too_big)]
        if waits:
            events.append(Continue())
        sent += data
        kept.append(data)
    sent += b"\r\n"
    return sent, [*events, Refusal(tag, too_big) if refused else CommandBytes(text, tuple(kept))]


@settings(max_examples=300, deadline=None)
@given(st.lists(commands, min_size=1, max_size=4), st.lists(st.integers(1, 60), max_size=30))
def test_commands_come_out_whole_however_they_are_cut(
    asked: list[tuple[bytes, list[tuple[bytes, bool, bool]]]], cuts: list[int]
) -> None:
    reader = CommandReader()
    reader.literal_bytes_max, reader.append_bytes_max = LIMIT // 4, LIMIT
    stream, expected = b"", list[Event]()
    for number, (verb, given_literals) in enumerate(asked):
        sent, events = _stream(b"t%d" % number, verb, given_literals)
        stream += sent
        expected += events
    seen: list[Event] = []
    while stream:
        size = cuts.pop() if cuts else len(stream)
        reader.feed(stream[:size])
        stream = stream[size:]
        while (event := reader.next_event()) is not None:
            seen.append(event)
    assert [_plain(event) for event in seen] == expected


def _plain(event: Event) -> Event:
    if isinstance(event, CommandBytes):
        return CommandBytes(event.text, tuple(map(bytes, event.literals)))
    return event
