"""Hostile mail: never an exception, never more than linear time or memory."""

import random
import time
import tracemalloc
from collections.abc import Callable

import pytest
from tests.corpus import messages

from postkeep.protocols.imap.structure import render_bodystructure, render_envelope
from postkeep.protocols.mime import (
    base_subject,
    decode_words,
    parse,
    parse_addresses,
    parse_date,
    parse_identifiers,
    split_fields,
)
from postkeep.services.delivery.summary import decode, encode, summarize

_TOKENS = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b'"',
        b"(",
        b")",
        b"<",
        b">",
        b"@",
        b",",
        b";",
        b":",
        b"\\",
        b"[",
        b"]",
        b"'",
    ),
    *(
        b"=?gb2312?B?",
        b"=?utf-7?Q?+ADw-",
        b"=?x?q?=",
        b"?=",
        b"*0*=",
        b"%",
        b"\xe4",
        b"\xff\xfe",
        b"--",
        b"--b--",
    ),
    *(b"Content-Type: message/rfc822\r\n\r\n", b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"),
    *(b"Content-Type: text/plain; name*1*=x; name*0=y\r\n", b"References: <a", b"Date: 31 Feb 99999 99:99"),
)
_SECONDS_MAX = 2.0
"""Generous: each of these takes a few milliseconds, a quadratic one minutes."""
_MEGABYTE = 1024 * 1024


def test_mutated_mail_is_always_summarised() -> None:
    rnd = random.Random(5)
    originals = [sample.data[:5000] for sample in messages(40, seed=5)]
    for _ in range(4000):
        data = bytearray(rnd.choice(originals))
        for _ in range(rnd.randint(1, 10)):
            place = rnd.randrange(len(data) + 1)
            data[place : place + rnd.choice((0, 0, 1, 4, 80))] = rnd.choice(_TOKENS)
        summary = summarize(bytes(data))
        assert decode(encode(summary)) == summary
        assert b"\0" not in summary.envelope + summary.bodystructure + summary.body


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_the_shortest_inputs_are_mail_too(length: int) -> None:
    for first in (b"\r\n\r", b"\n\n\n", b":a\n", b"--b", b"a: "):
        assert summarize(first[:length]).size == length


def _multipart(boundary: bytes) -> bytes:
    return b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n--%b\r\n" % (boundary, boundary)


_TRAPS: dict[str, bytes] = {
    "nested boundaries": b"".join(_multipart(b"b%d" % depth) for depth in range(20_000)),
    "nested equal boundaries": _multipart(b"b") * 20_000,
    "nested messages": b"Content-Type: message/rfc822\r\n\r\n" * 30_000,
    "many parts": _multipart(b"b") + b"\r\nx\r\n--b\r\n" * 150_000,
    "false delimiters": _multipart(b"b") + b"--bX\r\n" * 200_000,
    "delimiters with blanks": _multipart(b"b") + (b"--b" + b" " * 5000 + b"x\r\n") * 300,
    "many fields": b"a:\n" * 400_000,
    "fields of parts": _multipart(b"b") + (b"x:y\r\n" * 300 + b"\r\n--b\r\n") * 1000,
    "one endless line": b"a" * 2_000_000,
    "endless folding": b"Subject: x\r\n" + b" y\r\n" * 300_000,
    "comments": b"From: " + b"(" * 500_000 + b"\r\nTo: " + b"(a)" * 100_000 + b"\r\n\r\n",
    "parameters": b"Content-Type: text/plain" + b"; a=b" * 200_000 + b"\r\n\r\n",
    "continuations": b"Content-Type: text/plain"
    + b"".join(b"; n*%d*=x'" % n for n in range(50_000))
    + b"\r\n\r\n",
    "open quotes": b'Content-Type: text/plain; x="' + b'\\"; y="' * 100_000 + b"\r\n\r\n",
    "addresses": b"To: " + b"a@b," * 200_000 + b"\r\n\r\n",
    "angles": b"To: " + b"<" * 300_000 + b"\r\nCc: " + b"a@<" * 100_000 + b"\r\n\r\n",
    "groups": b"To: " + b"g:;" * 200_000 + b"\r\n\r\n",
    "encoded words": b"Subject: " + b"=?utf-8?Q?a?= " * 100_000 + b"\r\n\r\n",
    "open words": b"Subject: " + b"=?utf-8?Q?" * 100_000 + b"\r\n\r\n",
    "open brackets": b"References: " + b"<" * 300_000 + b"\r\nSubject: " + b"[" * 300_000 + b"\r\n\r\n",
    "replies": b"Subject: "
    + b"Re: " * 100_000
    + b"[a] " * 10_000
    + b"\r\nDate: "
    + b"1 " * 100_000
    + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", list(_TRAPS))
def test_a_trap_costs_no_more_than_its_length(name: str) -> None:
    data = _TRAPS[name]
    started = time.process_time()
    summary = summarize(data)
    assert time.process_time() - started < _SECONDS_MAX
    assert len(encode(summary)) < 2 * _MEGABYTE


def test_memory_stays_a_small_multiple_of_the_limits() -> None:
    for name in ("many parts", "addresses", "many fields", "nested messages"):
        data = _TRAPS[name]
        tracemalloc.start()
        summarize(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 32 * _MEGABYTE, name


@pytest.mark.parametrize(
    "read",
    [
        parse_addresses,
        parse_date,
        parse_identifiers,
        decode_words,
        lambda raw: split_fields(raw, 0, len(raw)),
    ],
)
def test_field_readers_take_random_tokens(read: Callable[[bytes], object]) -> None:
    rnd = random.Random(9)
    for _ in range(3000):
        read(b"".join(rnd.choice(_TOKENS) for _ in range(rnd.randint(0, 12))))


def test_base_subjects_of_random_marks_end() -> None:
    rnd = random.Random(9)
    marks = ["Re:", "fwd :", "[a]", "[fwd: ", "]", "(fwd)", " ", "x", "re[2]:"]
    for _ in range(3000):
        text = "".join(rnd.choice(marks) for _ in range(rnd.randint(0, 30)))
        assert len(base_subject(text)) <= len(text)


def test_random_bytes_render_as_one_line_of_balanced_parentheses() -> None:
    rnd = random.Random(3)
    for _ in range(500):
        message = parse(rnd.randbytes(rnd.randint(0, 300)))
        for text in (render_envelope(message), render_bodystructure(message)):
            assert text.startswith(b"(")
            assert text.endswith(b")")
