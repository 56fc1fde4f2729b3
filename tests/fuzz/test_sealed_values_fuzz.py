"""Whatever a store hands back in the place of a sealed value: it opens, or IntegrityError, nothing else."""

from collections.abc import Callable
from contextlib import suppress

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from postkeep.base.errors import IntegrityError, InvalidInputError, RefusedError
from postkeep.crypto import chunked, directory_key, hpke, message
from postkeep.crypto.epoch import (
    EPOCH_MESSAGES_MAX,
    EpochReader,
    EpochRewrapper,
    open_seed,
    sealed_generation,
)
from postkeep.crypto.wrap import Wrapper

ID = b"i" * 16
KEY = b"k" * 32
SEEDS = hpke.new_private_seeds()
PRIVATE = hpke.PrivateKey(SEEDS)
ANCHOR = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
REWRAPPER = EpochRewrapper(SEEDS, ID, ID, 1)

OPENERS: list[Callable[[bytes], object]] = [
    lambda data: chunked.open_all(KEY, b"ctx", data),
    lambda data: message.open_content(KEY, ID, ID, data),
    lambda data: message.open_summary(KEY, ID, ID, data),
    lambda data: message.open_envelope(KEY, ID, ID, ID, data),
    lambda data: message.open_name(KEY, ID, ID, ID, ID, 0, data),
    lambda data: message.open_entries(KEY, ID, ID, ID, 0, ID, 0, data),
    lambda data: message.unwrap_key("content", data, KEY, ID, ID, ID, ID, 0),
    lambda data: Wrapper(KEY).unwrap(data, b"path"),
    lambda data: REWRAPPER.open(ID, data),
    lambda data: open_seed(PRIVATE, ID, ID, ID, data),
    lambda data: directory_key.check_public_key(ANCHOR, ID, ID, 1, data, data[-64:]),
]
LENGTHS = st.sampled_from([0, 1, 55, 56, 57, 61, 66, 72, 96, 1173, 16456, 16472])
BLOBS = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda head, length: (head + bytes(length))[:length], st.binary(max_size=60), LENGTHS),
)
NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.integers(-10, 40_000))


@settings(max_examples=600)
@given(BLOBS)
def test_arbitrary_bytes_never_open_as_anything(data: bytes) -> None:
    for opener in OPENERS:
        with suppress(IntegrityError):
            opener(data)
            raise AssertionError("opened")


@settings(max_examples=500)
@given(NUMBERS, NUMBERS, NUMBERS, BLOBS)
def test_impossible_spans_are_refused_and_possible_ones_lie_inside(
    offset: int, length: int, total: int, data: bytes
) -> None:
    with suppress(IntegrityError):
        begin, size = chunked.span(offset, length, total)
        assert chunked.HEAD_BYTES <= begin < begin + size <= total
    with suppress(IntegrityError):
        chunked.open_span(KEY, b"ctx", data[:56], total, offset, data[56:])
        raise AssertionError("opened")


@given(BLOBS)
def test_the_generation_of_an_epoch_is_a_number_of_four_bytes_or_refused(data: bytes) -> None:
    with suppress(IntegrityError):
        assert 0 <= sealed_generation(data) < 2**32


@given(BLOBS)
def test_arbitrary_bytes_are_a_public_key_or_malformed(data: bytes) -> None:
    with suppress(InvalidInputError):
        hpke.load_public_key(data)


@given(NUMBERS, st.text(max_size=10))
def test_a_reader_asked_for_anything_gives_a_key_or_refuses(index: int, category: str) -> None:
    reader = EpochReader(ID, {"metadata": KEY})
    try:
        key = reader.wrap_key(category, index)
    except (IntegrityError, RefusedError):
        assert category != "metadata" or not 0 <= index < EPOCH_MESSAGES_MAX
    else:
        assert len(key) == 32
