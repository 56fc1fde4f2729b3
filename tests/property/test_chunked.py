"""K3, K4: chunked encryption: ranges agree with slicing, and no cut, swap or other key goes unnoticed."""

import hashlib
import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postkeep.base.errors import IntegrityError
from postkeep.crypto import chunked

KEY = bytes(range(32))
CTX = b"context"
FULL = chunked.SEALED_CHUNK_BYTES
LENGTHS = st.one_of(
    st.integers(0, 70_000), st.sampled_from([0, 1, 16383, 16384, 16385, 32768, 49152, 49151, 49153])
)


def data_of(length: int) -> bytes:
    return hashlib.shake_128(b"data").digest(length)


def sealed_of(length: int) -> bytes:
    return chunked._seal(KEY, CTX, bytes(24), data_of(length))


@given(LENGTHS)
def test_what_is_sealed_opens_and_has_the_length_foretold(length: int) -> None:
    sealed = chunked.seal(KEY, CTX, data_of(length))
    assert len(sealed) == chunked.sealed_length(length)
    assert chunked.plain_length(len(sealed)) == length
    assert chunked.open_all(KEY, CTX, sealed) == data_of(length)


@given(LENGTHS, st.integers(-5, 80_000), st.integers(-5, 80_000))
@example(16384, 16384, 10)
@example(32768, 32768, 0)
@example(0, 0, 0)
@example(40_000, 16_383, 2)
def test_a_span_covers_the_range_with_whole_chunks_and_no_more_than_needed(
    length: int, offset: int, count: int
) -> None:
    plain, sealed = data_of(length), sealed_of(length)
    begin, size = chunked.span(offset, count, len(sealed))
    assert begin >= chunked.HEAD_BYTES
    assert begin + size <= len(sealed)
    opened = chunked.open_span(
        KEY, CTX, sealed[: chunked.HEAD_BYTES], len(sealed), begin, sealed[begin : begin + size]
    )
    start = chunked.span_start(begin)
    lo = min(max(offset, 0), length)
    hi = min(lo + max(count, 0), length)
    assert opened[lo - start : hi - start] == plain[lo:hi]
    wanted_chunks = max(1, -(-hi // 16384) - lo // 16384) if hi > lo else 1
    assert -(-size // FULL) == wanted_chunks


@given(LENGTHS, st.integers(0, 70_500))
def test_every_truncation_is_detected(length: int, keep: int) -> None:
    sealed = sealed_of(length)
    if keep < len(sealed):
        with pytest.raises(IntegrityError):
            chunked.open_all(KEY, CTX, sealed[:keep])


@given(LENGTHS, st.binary(min_size=1, max_size=40))
def test_every_appended_byte_is_detected(length: int, tail: bytes) -> None:
    with pytest.raises(IntegrityError):
        chunked.open_all(KEY, CTX, sealed_of(length) + tail)


@given(LENGTHS, st.integers(0, 80_000), st.integers(0, 7))
def test_every_flipped_bit_is_detected(length: int, at: int, bit: int) -> None:
    sealed = bytearray(sealed_of(length))
    sealed[at % len(sealed)] ^= 1 << bit
    with pytest.raises(IntegrityError):
        chunked.open_all(KEY, CTX, bytes(sealed))


@given(st.permutations(range(4)))
def test_chunks_open_in_their_own_order_only(order: list[int]) -> None:
    sealed = sealed_of(4 * 16384 + 10)
    head, rest = sealed[:56], sealed[56:]
    chunks = [rest[i * FULL : (i + 1) * FULL] for i in range(5)]
    moved = head + b"".join(chunks[i] for i in order) + chunks[4]
    if order == [0, 1, 2, 3]:
        assert chunked.open_all(KEY, CTX, moved) == data_of(4 * 16384 + 10)
    else:
        with pytest.raises(IntegrityError):
            chunked.open_all(KEY, CTX, moved)


def test_a_chunk_of_another_message_under_the_same_key_is_detected() -> None:
    one = chunked.seal(KEY, CTX, b"a" * 40_000)
    two = chunked.seal(KEY, CTX, b"b" * 40_000)
    mixed = one[: 56 + FULL] + two[56 + FULL : 56 + 2 * FULL] + one[56 + 2 * FULL :]
    with pytest.raises(IntegrityError):
        chunked.open_all(KEY, CTX, mixed)


def test_dropping_whole_chunks_from_the_end_is_detected_even_when_only_a_span_is_read() -> None:
    sealed = sealed_of(40_000)
    cut = 56 + FULL
    with pytest.raises(IntegrityError):
        chunked.open_span(KEY, CTX, sealed[:56], cut, 56, sealed[56:cut])
    # With a total that a truncated message could have, the last chunk it names is not the short one.
    with pytest.raises(IntegrityError):
        chunked.open_span(KEY, CTX, sealed[:56], cut + 100, 56 + FULL, sealed[cut : cut + 100])


@pytest.mark.parametrize("offset", [0, 55, 57, 56 + FULL - 1, 56 - FULL])
def test_a_span_that_does_not_start_at_a_chunk_is_refused(offset: int) -> None:
    sealed = sealed_of(40_000)
    with pytest.raises(IntegrityError):
        chunked.open_span(KEY, CTX, sealed[:56], len(sealed), offset, sealed[56 : 56 + FULL])


def test_half_a_chunk_no_chunk_and_a_short_head_are_refused() -> None:
    sealed = sealed_of(40_000)
    for head, data in ((sealed[:56], sealed[56:156]), (sealed[:56], b""), (sealed[:55], sealed[56:])):
        with pytest.raises(IntegrityError):
            chunked.open_span(KEY, CTX, head, len(sealed), 56, data)


def test_a_ciphertext_that_authenticates_under_two_keys_is_refused_by_the_commitment() -> None:
    # AES-GCM alone does not commit: with the tag equation solved, one ciphertext has two keys. The
    # strongest such forgery authenticates its chunks under the second key; so make that chunk honest and
    # leave only the commitment of the first key in front of it.
    other = os.urandom(32)
    salt = bytes(24)
    _, _, commitment = chunked._derive(KEY, CTX, salt)
    chunk_key, base, other_commitment = chunked._derive(other, CTX, salt)
    chunk = AESGCM(chunk_key).encrypt(base.to_bytes(12, "big"), b"for the second reader", None)
    assert chunked.open_all(other, CTX, salt + other_commitment + chunk) == b"for the second reader"
    for key in (KEY, other):
        with pytest.raises(IntegrityError):
            chunked.open_all(key, CTX, salt + commitment + chunk)


@settings(max_examples=50)
@given(st.binary(max_size=40), st.binary(max_size=40))
def test_another_context_does_not_open(one: bytes, two: bytes) -> None:
    sealed = chunked.seal(KEY, one, b"data")
    if one != two:
        with pytest.raises(IntegrityError):
            chunked.open_all(KEY, two, sealed)


def test_the_same_data_never_seals_to_the_same_bytes() -> None:
    assert len({chunked.seal(KEY, CTX, b"same")[:56] for _ in range(200)}) == 200
