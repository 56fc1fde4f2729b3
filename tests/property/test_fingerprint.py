"""A fingerprint finds its secret in every form and place, and nothing else (D1)."""

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postkeep.crypto.fingerprint import SALT_BYTES, Search, fingerprint

SALT = b"s" * SALT_BYTES


@given(
    secret=st.binary(min_size=16, max_size=100),
    before=st.binary(max_size=20),
    after=st.binary(max_size=20),
)
def test_a_secret_is_found_raw_in_hexadecimal_and_in_base64_wherever_it_stands(
    secret: bytes, before: bytes, after: bytes
) -> None:
    search = Search([fingerprint(os.urandom(32), SALT), fingerprint(secret, SALT)], SALT)
    whole = before + secret + after
    for form in (
        whole,
        b"x" + whole.hex().encode(),
        whole.hex().upper().encode() + b"\n",
        b'"' + base64.b64encode(whole) + b'"',
        b"." + base64.urlsafe_b64encode(whole).rstrip(b"="),
    ):
        assert 1 in set(search.hits(form))
        assert 0 not in set(search.hits(form))


@given(secret=st.binary(min_size=16, max_size=64), data=st.data())
def test_a_secret_with_any_byte_changed_is_not_found(secret: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(secret) - 1))
    other = bytearray(secret)
    other[at] ^= data.draw(st.integers(1, 255))
    search = Search([fingerprint(secret, SALT)], SALT)
    for form in (bytes(other), other.hex().encode(), base64.b64encode(other), secret[:-1]):
        assert list(search.hits(form)) == []


def test_what_could_be_guessed_has_no_fingerprint() -> None:
    for secret in (b"", b"short", os.urandom(15), os.urandom(4097)):
        with pytest.raises(ValueError, match="fingerprint"):
            fingerprint(secret, SALT)


def test_a_fingerprint_does_not_hold_the_secret() -> None:
    secret = os.urandom(32)
    made = fingerprint(secret, SALT)
    assert made.digest not in secret
    assert secret[4:] not in made.prefix + made.digest
