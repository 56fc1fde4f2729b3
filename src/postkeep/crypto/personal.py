"""Values of ledger entries that name a person or a place, under a key that is that person's alone.

The entry holds the ciphertext, so the tree over the entries stands whether or not the key still does. Each
ciphertext is bound to whose it is and to the one event (its source and number there) that it is part of.
"""

import base64
import binascii
from typing import Final

from postkeep.base.errors import IntegrityError
from postkeep.crypto.context import context
from postkeep.crypto.wrap import Wrapper, subkey

SEALED_CHARS_MAX: Final = 3_072  # characters of base64: a reason of 500 characters, four octets each


class PersonalSeal:
    """Seals and opens the values of one person's entries."""

    def __init__(self, person_key: bytes, tenant: bytes, principal: bytes) -> None:
        self._wrapper = Wrapper(subkey(person_key, context("ledger personal values")))
        self._tenant = tenant
        self._principal = principal

    def seal(self, values: bytes, source: str, number: int) -> str:
        """Return the sealed values as an entry's field."""
        sealed = self._wrapper.wrap(values, self._path(source, number))
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")

    def open(self, sealed: str, source: str, number: int) -> bytes:
        """Return the values; IntegrityError if they were not sealed with this key for this event."""
        if len(sealed) > SEALED_CHARS_MAX:
            raise IntegrityError("the sealed values are too long")
        try:
            octets = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
        except (binascii.Error, ValueError):
            raise IntegrityError("the sealed values are not base64url") from None
        return self._wrapper.unwrap(octets, self._path(source, number))

    def _path(self, source: str, number: int) -> bytes:
        return context("ledger personal values", self._tenant, self._principal, source, number)
