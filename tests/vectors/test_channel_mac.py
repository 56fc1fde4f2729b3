"""The channel's MAC is HMAC-SHA256: RFC 4231 through Python's own, over keys of the channel's length."""

import hmac
import os

from postkeep.tickets.channel.frames import LENGTH_BYTES, MAC_BYTES, Lane


def test_a_frames_mac_is_hmac_sha256_over_its_body() -> None:
    for size in (0, 1, 55, 56, 64, 119, 120, 1000, 100_000):
        key = os.urandom(32)
        head, body = Lane(key).write((7, os.urandom(size)))
        assert head[LENGTH_BYTES:] == hmac.digest(key, body, "sha256")
        assert int.from_bytes(head[:LENGTH_BYTES], "big") == MAC_BYTES + len(body)


def test_rfc_4231_case_2_goes_through() -> None:
    lane = Lane(b"Jefe")
    expected = bytes.fromhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    frame = memoryview(expected + b"what do ya want for nothing?")
    assert bytes(lane.check_mac(frame)) == b"what do ya want for nothing?"
