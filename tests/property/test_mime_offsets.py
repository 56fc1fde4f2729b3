"""The scanner's offsets against the standard library's parser, on generated messages."""

from email import message_from_bytes, policy
from email.message import Message as StdlibMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.corpus import messages

from postkeep.protocols.mime import Message, Part, parse

_POLICY = policy.compat32


def _pairs(ours: Part, theirs: StdlibMessage) -> list[tuple[Part, StdlibMessage]]:
    """Walk both trees side by side; they must have the same shape."""
    pairs = [(ours, theirs)]
    if theirs.get_content_type() == "message/rfc822":
        assert ours.message is not None
        enclosed = theirs.get_payload(0)
        assert isinstance(enclosed, StdlibMessage)
        return pairs + _pairs(ours.message.root, enclosed)
    if theirs.is_multipart():
        children = theirs.get_payload()
        assert len(children) == len(ours.children)
        for child, other in zip(ours.children, children, strict=True):
            assert isinstance(other, StdlibMessage)
            pairs += _pairs(child, other)
    return pairs


def _check(data: bytes) -> None:
    message = parse(data)
    for part, theirs in _pairs(message.root, message_from_bytes(data, policy=_POLICY)):
        if part.message is None and not part.children:
            payload: str = vars(theirs)["_payload"]  # get_payload() would decode it
            assert data[part.body_offset : part.end] == payload.encode("ascii", "surrogateescape")
        assert f"{part.type.decode()}/{part.subtype.decode()}" == theirs.get_content_type()
        header = data[part.header_offset : part.body_offset]
        assert [
            line.split(b":")[0] for line in header.split(b"\r\n") if line[:1].strip() and b":" in line
        ] == [
            name.encode()
            for name in theirs.keys()  # noqa: SIM118 - one entry per field, not per name
        ]


def test_bodies_and_headers_of_the_corpus_are_where_the_standard_library_sees_them() -> None:
    checked = 0
    for sample in messages(250, seed=11):
        # The library ends a header at a line that is no field, and keeps no structure without a boundary.
        if any(mark in sample.data for mark in (b"no header", b"no boundary", b";;;", b"never closed")):
            continue
        _check(sample.data)
        checked += 1
    assert checked > 150


_line = (
    st.binary(max_size=30).map(lambda raw: raw.translate(None, b"\r\n")).filter(lambda raw: raw[:2] != b"--")
)
_body = st.lists(_line, max_size=6).map(b"\r\n".join)


@st.composite
def _parts(draw: st.DrawFn, depth: int = 0) -> bytes:
    kind = draw(st.sampled_from(["text", "bin", "multi", "message"] if depth < 4 else ["text", "bin"]))
    if kind == "text":
        return b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + draw(_body)
    if kind == "bin":
        return b"Content-Type: application/x-a\r\nX-Note: a\r\n\tb\r\n\r\n" + draw(_body)
    if kind == "message":
        return b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n" + draw(_parts(depth=depth + 1))
    boundary = b"b%d" % draw(st.integers(0, 10**9))
    children = draw(st.lists(_parts(depth=depth + 1), min_size=1, max_size=4))
    head = b'Content-Type: multipart/mixed; boundary="%b"\r\n\r\n' % boundary
    return (
        head
        + draw(_body)
        + b"".join(
            b"\r\n--%b%b\r\n%b" % (boundary, draw(st.sampled_from([b"", b" \t"])), child)
            for child in children
        )
        + b"\r\n--%b--" % boundary
        + draw(st.sampled_from([b"", b"\r\n", b"\r\nepilogue"]))
    )


@settings(max_examples=300, deadline=None)
@given(_parts())
def test_generated_nestings_have_the_bodies_that_the_standard_library_sees(part: bytes) -> None:
    _check(b"From: a@example.org\r\n" + part)


def _spans(part: Part) -> list[Part]:
    inner = [] if part.message is None else _spans(part.message.root)
    return [part, *(found for child in part.children for found in _spans(child)), *inner]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 2**32), st.integers(0, 10**6))
def test_any_bytes_give_ordered_offsets_inside_the_message(junk: bytes, seed: int, place: int) -> None:
    (sample,) = messages(1, seed)
    data = sample.data[:4000]
    cut = place % (len(data) + 1)
    _check_order(parse(data[:cut] + junk + data[cut:]))


def _check_order(message: Message) -> None:
    for part in _spans(message.root):
        assert 0 <= part.header_offset <= part.body_offset <= part.end <= len(message.data)
        previous = part.body_offset
        for child in part.children:
            assert previous <= child.header_offset
            assert child.end <= part.end
            previous = child.end


@pytest.mark.parametrize("separator", [b"\r\n", b"\n"])
def test_a_part_does_not_own_the_line_break_before_its_delimiter(separator: bytes) -> None:
    lines = [
        b"Content-Type: multipart/mixed; boundary=b",
        b"",
        b"--b",
        b"",
        b"one",
        b"--b",
        b"",
        b"",
        b"--b--",
    ]
    data = separator.join(lines) + separator
    first, second = parse(data).root.children
    assert data[first.body_offset : first.end] == b"one"
    assert data[second.body_offset : second.end] == b""
