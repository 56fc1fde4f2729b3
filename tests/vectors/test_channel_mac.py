"""The channel's MAC is AES-256-GMAC with the counter as nonce: known answers, and what must not pass."""

import os

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import GCM

from postkeep.base.errors import RefusedError
from postkeep.tickets.channel.frames import COUNTER_BYTES, LENGTH_BYTES, MAC_BYTES, Lane


def gmac(key: bytes, counter: int, body: bytes) -> bytes:
    """The tag by another interface of the library: GCM with the body as associated data only."""
    encryptor = Cipher(AES256(key), GCM(counter.to_bytes(12, "big"))).encryptor()
    encryptor.authenticate_additional_data(body)
    encryptor.finalize()
    return encryptor.tag


def frame(head: bytes, body: bytes) -> memoryview:
    return memoryview(head[LENGTH_BYTES:] + body)


def test_a_frames_head_is_length_counter_and_tag() -> None:
    for size in (0, 1, 16, 1000, 100_000):
        key = os.urandom(32)
        lane = Lane(key)
        for counter in (1, 2):
            head, body = lane.write((7, os.urandom(size)))
            assert int.from_bytes(head[:LENGTH_BYTES], "big") == MAC_BYTES + len(body)
            assert head[LENGTH_BYTES:] == counter.to_bytes(COUNTER_BYTES, "big") + gmac(key, counter, body)


def test_a_frame_is_read_once_and_in_turn_only() -> None:
    key = os.urandom(32)
    writer, reader = Lane(key), Lane(key)
    first, second = (frame(*writer.write((number, b"x"))) for number in (1, 2))
    assert reader.read(first)
    with pytest.raises(RefusedError) as copied:
        reader.read(first)
    assert copied.value.code == "refused.counter"
    late = Lane(key)
    with pytest.raises(RefusedError) as skipped:
        late.read(second)
    assert skipped.value.code == "refused.counter"


def test_a_flipped_bit_anywhere_is_refused() -> None:
    key = os.urandom(32)
    good = frame(*Lane(key).write((1, b"body")))
    for place in range(len(good) * 8):
        bad = bytearray(good)
        bad[place // 8] ^= 1 << place % 8
        with pytest.raises(RefusedError) as caught:
            Lane(key).read(memoryview(bytes(bad)))
        assert caught.value.code == "refused.mac"
