"""Whatever is sent to a witness, it answers with one of its own errors, and nothing is believed."""

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.witness_log import SmallLog

from postkeep.base.errors import PostkeepError
from postkeep.crypto.verifier_key import parse_verifier_key
from postkeep.protocols.http.head import read_request, read_response
from postkeep.services.steward.witness_http import parse_url
from postkeep.services.witness.submission import format_submission, parse_submission

GOOD = SmallLog(size=20).submission(7, 20)
PIECES = st.sampled_from(
    [b"old 7", b"\n", b"\n\n", b"\r\n", b"\r\n\r\n", b"POST / HTTP/1.1", b"HTTP/1.1 200 OK", b"Host: w", b":"]
)


def only_own_errors(work: object, *arguments: object) -> None:
    assert callable(work)
    with contextlib.suppress(PostkeepError):
        work(*arguments)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES | st.binary(max_size=40), max_size=20).map(b"".join))
def test_any_octets(data: bytes) -> None:
    for reader in (parse_submission, read_request, read_response):
        only_own_errors(reader, data)
    text = data.decode("latin-1")
    only_own_errors(parse_verifier_key, text)
    only_own_errors(parse_url, text)
    only_own_errors(parse_url, "http://" + text)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_submission_changed_in_a_few_places(data: st.DataObject) -> None:
    changed = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = parse_submission(bytes(changed))
    except PostkeepError:
        return
    assert format_submission(read.old, read.proof, read.note) == bytes(changed)


def test_what_is_written_is_read_alike() -> None:
    read = parse_submission(GOOD)
    assert format_submission(read.old, read.proof, read.note) == GOOD
    assert (read.old, read.checkpoint.size) == (7, 20)
