"""How two modules come to believe each other: an X25519 exchange signed by both, bound to the transport.

caller -> Hello; keeper -> Welcome (its ticket, its signature); caller -> Proof (its ticket, its signature);
keeper -> the first authenticated answer, or a Fault and the
end. Each signature covers everything said so far and the transport's binding, so that
neither a recorded handshake nor a man in the middle is of use. The shared secret gives one MAC key per
direction (HKDF-SHA256, RFC 5869).
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from postkeep.base.errors import RefusedError
from postkeep.crypto import ed25519
from postkeep.crypto.paseto import pae
from postkeep.tickets.channel.frames import MAC_BYTES, Lane, encoder

VERSION: Final = 1
NONCE_BYTES: Final = 32

T = TypeVar("T")


class Hello(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The caller's first word."""

    version: int
    keeper: str
    key: bytes
    nonce: bytes


class Welcome(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The keeper's answer."""

    key: bytes
    nonce: bytes
    ticket: bytes
    public_key: bytes
    signature: bytes


class Proof(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The caller's proof; `ticket` is empty where it has none yet and wants to enrol."""

    ticket: bytes
    public_key: bytes
    signature: bytes


class Lanes(NamedTuple):
    """The two directions of a connection that both sides believe in."""

    from_caller: Lane
    from_keeper: Lane


class Exchange:
    """One side's part of one handshake."""

    def __init__(self, binding: bytes) -> None:
        self._private = X25519PrivateKey.generate()
        self.key = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.nonce = secrets.token_bytes(NONCE_BYTES)
        self._said: list[bytes] = [binding]

    def say(self, *values: object) -> None:
        """Add to the transcript what one side has said."""
        self._said.append(encoder.encode(values))

    def sign(self, role: bytes, signer: Callable[[bytes], bytes]) -> bytes:
        """Sign the transcript as `role` (`caller` or `keeper`)."""
        return signer(self._transcript(role))

    def check(self, role: bytes, public_key: bytes, signature: bytes) -> None:
        """Raise RefusedError unless the key has signed this transcript in this role."""
        try:
            ed25519.public_key(public_key).verify(signature, self._transcript(role))
        except (InvalidSignature, ValueError) as exc:
            raise RefusedError("the handshake's signature is wrong", code="refused.handshake") from exc

    def lanes(self, peer_key: bytes) -> Lanes:
        """Derive the MAC keys; raise RefusedError for a peer key that gives no secret (RFC 7748, 6.1)."""
        try:
            secret = self._private.exchange(X25519PublicKey.from_public_bytes(peer_key))
        except ValueError as exc:
            raise RefusedError("the exchange key is unusable", code="refused.handshake") from exc
        base = hmac.digest(hashlib.sha256(self._transcript(b"keys")).digest(), secret, "sha256")
        return Lanes(
            Lane(hmac.digest(base, b"from caller\x01", "sha256")),
            Lane(hmac.digest(base, b"from keeper\x01", "sha256")),
        )

    def _transcript(self, role: bytes) -> bytes:
        return pae(b"postkeep channel", bytes([VERSION]), role, *self._said)


def read_plain(frame: memoryview, kind: type[T]) -> T:
    """Read a frame of the handshake; raise RefusedError for anything that is not one."""
    try:
        return msgspec.msgpack.decode(frame[MAC_BYTES:], type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise RefusedError("not the handshake's next word", code="refused.handshake") from exc


def unix_binding(socket_name: str) -> bytes:
    """Bind to a Unix socket by its file name: mounts and roots may differ between two modules."""
    return pae(b"unix", socket_name.encode())


def tls_binding(caller_certificate: bytes, keeper_certificate: bytes) -> bytes:
    """Bind to both certificates of a TLS connection (DER)."""
    return pae(
        b"tls", hashlib.sha256(caller_certificate).digest(), hashlib.sha256(keeper_certificate).digest()
    )
