"""Fingerprints of secrets that will be destroyed: enough to recognise one, too little to make it.

A search for something that must be nowhere needs to know what to look for after it has gone. A fingerprint
keeps the first four bytes, which a search finds quickly, and a keyed hash of the whole, which decides. Of a
random secret of 32 bytes 224 bits stay unknown, so fingerprints may be stored before the secret is destroyed,
and a search that a crash has cut off can be repeated.
"""

import base64
import binascii
import hashlib
import hmac
import string
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

PREFIX_BYTES: Final = 4
"""Bytes kept in the clear: one position in four billion of random data fits by chance."""
SECRET_BYTES_MIN: Final = 16
"""What is shorter could be guessed from its fingerprint."""
SECRET_BYTES_MAX: Final = 4096
"""What is longer is found by its beginning; keeps the windows of a search small."""
SALT_BYTES: Final = 16

_RUN_MIN: Final = 20
"""Characters: the base64 of the shortest secret has 22, of which two are shared with what is around it."""
_RUN: Final = b"\x01" * _RUN_MIN
_TEXT: Final = string.ascii_letters.encode() + string.digits.encode() + b"+/-_"
_IS_TEXT: Final = bytes(byte in _TEXT for byte in range(256))

_PERSON: Final = b"pk-fingerprint"
_DIGEST_BYTES: Final = 16


class Fingerprint(msgspec.Struct, frozen=True, array_like=True):
    """One secret's: its length, its first bytes, the keyed hash of all of it."""

    length: int
    prefix: bytes
    digest: bytes


def fingerprint(secret: bytes, salt: bytes) -> Fingerprint:
    """Take the fingerprint of a secret of 16 to 4,096 bytes. ValueError for another length."""
    if not SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX or len(salt) != SALT_BYTES:
        raise ValueError("a fingerprint is of 16 to 4096 bytes, with a salt of 16")
    return Fingerprint(len(secret), secret[:PREFIX_BYTES], _digest(secret, salt))


def _digest(secret: bytes, salt: bytes) -> bytes:
    return hashlib.blake2b(secret, digest_size=_DIGEST_BYTES, key=salt, person=_PERSON).digest()


class Search:
    """Looks for fingerprinted secrets in bytes: as they are, in hexadecimal, in base64 (both alphabets)."""

    def __init__(self, wanted: Sequence[Fingerprint], salt: bytes) -> None:
        self._wanted = wanted
        self._salt = salt

    @property
    def window_bytes(self) -> int:
        """How many bytes a hit may span: successive pieces of a file must overlap by so much."""
        longest = max((one.length for one in self._wanted), default=0)
        return 2 * longest + _RUN_MIN

    def hits(self, data: bytes) -> Iterator[int]:
        """Yield, for every place where a secret stands in `data`, its number among those wanted."""
        for number, one in enumerate(self._wanted):
            for at in _places(data, one.prefix):
                if self._is(one, data[at : at + one.length]):
                    yield number
        for run in _text_runs(data):
            for number, one in enumerate(self._wanted):
                for text, read in _forms(one.prefix):
                    for at in _places(run, text):
                        if self._is(one, read(run, at, one.length)):
                            yield number

    def _is(self, one: Fingerprint, found: bytes) -> bool:
        return len(found) == one.length and hmac.compare_digest(_digest(found, self._salt), one.digest)


def _places(data: bytes, text: bytes) -> Iterator[int]:
    at = data.find(text)
    while at >= 0:
        yield at
        at = data.find(text, at + 1)


def _text_runs(data: bytes) -> Iterator[bytes]:
    """Yield the runs of letters and digits in which a secret could be written as text.

    Two passes in C over the bytes, so that what is no text costs a nanosecond a byte.
    """
    kinds = data.translate(_IS_TEXT)
    start = kinds.find(_RUN)
    while start >= 0:
        end = kinds.find(b"\x00", start)
        end = len(data) if end < 0 else end
        yield data[start:end]
        start = kinds.find(_RUN, end)


def _forms(prefix: bytes) -> Iterator[tuple[bytes, Callable[[bytes, int, int], bytes]]]:
    """Yield every text that a secret with this prefix begins with, and how to read the secret from there."""
    for text in {prefix.hex().encode(), prefix.hex().upper().encode()}:
        yield text, _read_hex
    for lead in range(3):
        # Characters of 6 bits; those that the unknown bytes before and after share are left out.
        skipped = -(-8 * lead // 6)
        known = 8 * (lead + len(prefix)) // 6
        encoded = base64.b64encode(bytes(lead) + prefix + bytes(3))[skipped:known]
        for text in {encoded, encoded.translate(_URL_SAFE)}:
            yield text, _base64_reader(lead, skipped)


_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_USUAL: Final = bytes.maketrans(b"-_", b"+/")


def _read_hex(data: bytes, at: int, length: int) -> bytes:
    try:
        return binascii.unhexlify(data[at : at + 2 * length])
    except binascii.Error:
        return b""


def _base64_reader(lead: int, skipped: int) -> Callable[[bytes, int, int], bytes]:
    def read(data: bytes, at: int, length: int) -> bytes:
        start = at - skipped
        count = -(-(lead + length) * 8 // 6)
        if start < 0 or start + count > len(data):
            return b""
        text = data[start : start + count].translate(_USUAL)
        try:
            return binascii.a2b_base64(text + b"A" * (-len(text) % 4))[lead : lead + length]
        except binascii.Error:
            return b""

    return read
