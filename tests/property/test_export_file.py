"""TM-42, K3, K4: an export's stream, sealed in pieces, is chunked encryption, and no cut, swap or change of
it goes unnoticed."""

import io
import itertools
import os
import tarfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postkeep.base.errors import IntegrityError
from postkeep.crypto import chunked, export_file, hpke
from postkeep.services.export.members import MEMBER_BYTES_MAX, TIME_S_MAX, MemberReader
from postkeep.services.export.sealed_file import SealedReader, SealedWriter

KEY, CTX = bytes(range(32)), b"context"
SEEDS = hpke.new_private_seeds()
PRIVATE = hpke.PrivateKey(SEEDS)
FULL = chunked.SEALED_CHUNK_BYTES
LENGTHS = st.one_of(st.integers(0, 70_000), st.sampled_from([0, 1, 16383, 16384, 16385, 32768, 49152]))


def opens(_kind: int) -> Callable[[bytes], bytes]:
    return lambda sealed: PRIVATE.open(sealed, export_file._info(PRIVATE.public_bytes))


def made(data: bytes) -> bytes:
    file = io.BytesIO()
    writer = SealedWriter(file, export_file.seal_to(PRIVATE.public_bytes))
    writer.write(data)
    writer.finish()
    return file.getvalue()


def read_all(sealed: bytes, length: int) -> bytes:
    reader = SealedReader(io.BytesIO(sealed), opens)
    data = reader.read(length)
    reader.finish()
    return data


@settings(deadline=None)
@given(LENGTHS, st.lists(st.integers(0, 40_000), max_size=8), st.lists(st.integers(0, 40_000), max_size=8))
def test_a_stream_in_any_pieces_is_what_chunked_encryption_makes_of_the_whole(
    length: int, cuts: list[int], sealed_cuts: list[int]
) -> None:
    data = os.urandom(length)
    sealer = chunked.StreamSealer(KEY, CTX)
    sealed = sealer.head + b"".join(sealer.update(piece) for piece in pieces(data, cuts)) + sealer.finish()
    assert chunked.open_all(KEY, CTX, sealed) == data
    assert len(sealed) == chunked.sealed_length(length)
    opener = chunked.StreamOpener(KEY, CTX, sealed[: chunked.HEAD_BYTES])
    body = sealed[chunked.HEAD_BYTES :]
    assert b"".join(opener.update(piece) for piece in pieces(body, sealed_cuts)) + opener.finish() == data


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    marks = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(marks)]


DATA = os.urandom(3 * chunked.CHUNK_BYTES + 100)
SEALED = made(DATA)
START = len(SEALED) - (3 * FULL + 100 + chunked.TAG_BYTES)
"""Where the first chunk begins."""


def test_an_untouched_file_gives_back_what_went_in() -> None:
    assert read_all(SEALED, len(DATA)) == DATA
    assert made(DATA) != SEALED


@settings(deadline=None)
@given(st.integers(0, len(SEALED) - 1))
def test_a_file_that_is_cut_short_anywhere_is_refused(length: int) -> None:
    with pytest.raises(IntegrityError):
        read_all(SEALED[:length], len(DATA))


@settings(deadline=None)
@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_a_file_with_any_octet_changed_is_refused(at: int, change: int) -> None:
    altered = bytearray(SEALED)
    altered[at] ^= change
    with pytest.raises(IntegrityError):
        read_all(bytes(altered), len(DATA))


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2, 1), (0, 1, 1), (0, 2), (0, 1, 2, 2)])
def test_chunks_that_are_swapped_repeated_or_left_out_are_refused(order: tuple[int, ...]) -> None:
    chunks = [SEALED[START + FULL * n : START + FULL * (n + 1)] for n in range(3)]
    last = SEALED[START + 3 * FULL :]
    with pytest.raises(IntegrityError):
        read_all(SEALED[:START] + b"".join(chunks[n] for n in order) + last, len(DATA))


def test_what_follows_the_end_or_is_of_another_file_is_refused() -> None:
    other = made(DATA)
    for sealed in (
        SEALED + b"x",
        SEALED + SEALED[-100:],
        SEALED[:START] + other[START:],
        other[:START] + SEALED[START:],
    ):
        with pytest.raises(IntegrityError):
            read_all(sealed, len(DATA))
    with pytest.raises(IntegrityError):
        read_all(SEALED, len(DATA) - 1)
    with pytest.raises(IntegrityError):
        read_all(SEALED, len(DATA) + 1)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 511), st.integers(0, 255)), max_size=6), st.binary(max_size=600))
def test_a_member_reader_takes_any_octets_for_members_or_refuses_them(
    changes: list[tuple[int, int]], after: bytes
) -> None:
    info = tarfile.TarInfo("mail/00001-inbox/0000000001.eml")
    info.size, info.mtime = 5, 7
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    for at, value in changes:
        block[at] = value
    total = sum(block[:148]) + 8 * 32 + sum(block[156:])
    block[148:156] = b"%06o\x00 " % total  # so that what follows the checksum is tried too
    source = io.BytesIO(bytes(block) + after)

    def read(count: int) -> bytes:
        octets = source.read(count)
        if len(octets) < count:
            raise IntegrityError("cut short")
        return octets

    try:
        member = MemberReader(read).next()
    except IntegrityError:
        return
    assert member is not None
    assert 0 <= member.size <= MEMBER_BYTES_MAX
    assert 0 <= member.time_s <= TIME_S_MAX


def test_another_recipient_opens_nothing() -> None:
    stranger = hpke.PrivateKey(hpke.new_private_seeds())
    with pytest.raises(IntegrityError):
        SealedReader(
            io.BytesIO(SEALED),
            lambda _kind: lambda sealed: stranger.open(sealed, export_file._info(stranger.public_bytes)),
        )
