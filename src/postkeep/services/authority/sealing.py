"""How the authority's rows are sealed: nothing that names a person is readable in the database.

One key from kms (`account` of the installation) gives one key per use. Values are wrapped with the path of
their row bound in; addresses are looked up by a keyed hash, which without the key says nothing, not even
to somebody with a list of addresses to try.
"""

import hmac
from typing import Final, TypeVar

import msgspec

from postkeep.base.address import Address
from postkeep.base.errors import IntegrityError
from postkeep.crypto.context import context
from postkeep.crypto.wrap import Wrapper, subkey
from postkeep.protocols.sasl.scram import ITERATIONS

T = TypeVar("T")

LOOKUP_BYTES: Final = 32  # HMAC-SHA256
NETWORK_BYTES: Final = 16
"""Octets of a network's keyed hash: enough to tell the networks of one account apart."""


class TenantNames(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed of a tenant."""

    name: str


class PrincipalNames(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed of a user or group."""

    address: str
    name: str
    scram_salt: bytes = b""
    scram_iterations: int = ITERATIONS
    """One salt and count for all of a user's passwords: SCRAM names them before it knows which is used."""


class SealedText(msgspec.Struct, frozen=True, array_like=True):
    """An address."""

    text: str


class AccountSeal:
    """Seals, opens and looks up, under keys derived from the account key."""

    def __init__(self, account_key: bytes) -> None:
        self._wrapper = Wrapper(subkey(account_key, context("authority rows")))
        self._lookup_key = subkey(account_key, context("authority look-up of addresses"))
        self._network_key = subkey(account_key, context("authority look-up of networks"))
        self.app_key = subkey(account_key, context("authority app passwords"))
        """The key of app passwords' verifiers."""
        self.token_key = subkey(account_key, context("authority access tokens"))
        """The key of access tokens' verifiers."""
        self._staff_key = subkey(account_key, context("authority look-up of staff"))
        self._decoy_key = subkey(account_key, context("authority decoys"))

    def seal(self, value: msgspec.Struct, table: str, *path: bytes) -> bytes:
        """Seal a row's value to its place."""
        return self._wrapper.wrap(msgspec.msgpack.encode(value), context("authority row", table, *path))

    def open(self, sealed: bytes, kind: type[T], table: str, *path: bytes) -> T:
        """Open a row's value; raise IntegrityError if it was not sealed for this place."""
        plain = self._wrapper.unwrap(sealed, context("authority row", table, *path))
        try:
            return msgspec.msgpack.decode(plain, type=kind)
        except msgspec.MsgspecError as exc:
            raise IntegrityError(f"a row of {table} holds something else") from exc

    def lookup(self, address: Address) -> bytes:
        """Return the keyed hash under which an address is found."""
        return hmac.digest(self._lookup_key, address.key.encode(), "sha256")

    def network(self, network: str) -> bytes:
        """Return the keyed hash of a network."""
        return hmac.digest(self._network_key, network.encode(), "sha256")[:NETWORK_BYTES]

    def staff(self, name: str) -> bytes:
        """Return the keyed hash under which a staff member's name is found."""
        return hmac.digest(self._staff_key, name.encode(), "sha256")

    def decoy(self, name: str, length: int) -> bytes:
        """Return octets that look random and are always the same for a name: what an account that does not
        exist answers."""
        return hmac.digest(self._decoy_key, name.encode(), "sha256")[:length]
