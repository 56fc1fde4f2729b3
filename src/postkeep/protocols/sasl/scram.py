"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), both roles, bound by `tls-server-end-point`.

The password crosses in no form. The server keeps a salt, an iteration count, StoredKey and ServerKey; who
steals them can't sign in with them without breaking SHA-256, and must guess the password at the cost of the
iterations.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from typing import Final, NamedTuple

from postkeep.protocols.sasl import MESSAGE_BYTES_MAX, NAME_BYTES_MAX, SaslError
from postkeep.protocols.sasl.saslprep import saslprep

ITERATIONS: Final = 10_000
"""Twice RFC 7677's least. The salted form lies sealed beside an Argon2id hash."""

ITERATIONS_MIN: Final = 4096  # RFC 7677 section 4: what a client should insist on
ITERATIONS_MAX: Final = 1_000_000
"""What a client does for a server at most: about half a second."""

SALT_BYTES: Final = 16
NONCE_BYTES: Final = 18  # 24 characters of base64
NONCE_CHARACTERS_MAX: Final = 256
KEY_BYTES: Final = 32  # SHA-256

_NONCE: Final = re.compile(r"[\x21-\x2b\x2d-\x7e]+\Z")  # printable but for the comma (RFC 5802 section 7)
END_POINT: Final = "tls-server-end-point"
"""The one channel binding there is (RFC 5929): the TLS library gives no exporter (RFC 9266)."""


class ScramKeys(NamedTuple):
    """What the server keeps of a password."""

    stored_key: bytes
    server_key: bytes


class ClientFirst(NamedTuple):
    """A parsed client-first-message."""

    name: str
    authorize: str
    nonce: str
    gs2_header: str
    bare: str


class ClientFinal(NamedTuple):
    """A parsed client-final-message."""

    nonce: str
    binding: bytes
    proof: bytes
    without_proof: str


def derive_keys(password: str, salt: bytes, iterations: int = ITERATIONS) -> ScramKeys:
    """Derive what the server keeps (RFC 5802 section 3). Costs milliseconds: not for an event loop."""
    salted = hashlib.pbkdf2_hmac("sha256", saslprep(password).encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return ScramKeys(hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256"))


def read_client_first(message: bytes, *, plus: bool = False, offered: bool = False) -> ClientFirst:
    """Parse a client-first-message; raise SaslError for what the server does not speak.

    `plus`: the mechanism is the one with channel binding; `offered`: it was offered. A client that could
    bind and believes that we can't (`y`) has then seen another list of mechanisms than ours: somebody is in
    between (RFC 5802 section 6). Mandatory extensions (`m=`) are refused, as section 5.1 demands.
    """
    text = _text(message)
    flag, comma, rest = text.partition(",")
    authorize, second, bare = rest.partition(",")
    if not comma or not second:
        raise SaslError("the GS2 header is malformed")
    if flag == "y" and offered:
        raise SaslError("the client was not shown that channel binding is offered", code="refused.downgrade")
    if flag != f"p={END_POINT}" if plus else flag not in {"n", "y"}:
        raise SaslError("the channel binding is not the mechanism's")
    if authorize and not authorize.startswith("a="):
        raise SaslError("the GS2 header is malformed")
    attributes = bare.split(",")
    if len(attributes) < 2 or attributes[0][:2] != "n=" or attributes[1][:2] != "r=":  # noqa: PLR2004
        raise SaslError("the client-first-message is malformed")
    nonce = attributes[1][2:]
    if len(nonce) > NONCE_CHARACTERS_MAX or not _NONCE.match(nonce):
        raise SaslError("the nonce is malformed")
    name = _unescape(attributes[0][2:])
    return ClientFirst(
        name, _unescape(authorize[2:]) if authorize else "", nonce, f"{flag},{authorize},", bare
    )


def read_client_final(message: bytes) -> ClientFinal:
    """Parse a client-final-message."""
    text = _text(message)
    without_proof, found, proof = text.rpartition(",p=")
    attributes = without_proof.split(",")
    if not found or len(attributes) < 2 or attributes[0][:2] != "c=" or attributes[1][:2] != "r=":  # noqa: PLR2004
        raise SaslError("the client-final-message is malformed")
    decoded = _base64(proof)
    if len(decoded) != KEY_BYTES:
        raise SaslError("the proof has the wrong length")
    return ClientFinal(attributes[1][2:], _base64(attributes[0][2:]), decoded, without_proof)


class ScramServer:
    """The server's half of one exchange. The caller finds salt and keys by `first.name`."""

    def __init__(
        self,
        first: ClientFirst,
        salt: bytes,
        iterations: int = ITERATIONS,
        nonce: str = "",
        *,
        binding: bytes = b"",
    ) -> None:
        self.first = first
        self._binding = first.gs2_header.encode() + (binding if first.gs2_header.startswith("p=") else b"")
        self._nonce = first.nonce + (nonce or base64.b64encode(secrets.token_bytes(NONCE_BYTES)).decode())
        self.server_first = f"r={self._nonce},s={base64.b64encode(salt).decode()},i={iterations}".encode()
        """The server-first-message."""

    def finish(self, message: bytes, candidates: Iterable[ScramKeys]) -> tuple[int, bytes]:
        """Check the proof against each of an account's keys.

        Returns the index of the keys that fit and the server-final-message; raises SaslError if the message
        is malformed, another exchange's, or proves none of them.
        """
        final = read_client_final(message)
        if not hmac.compare_digest(final.nonce.encode(), self._nonce.encode()):
            raise SaslError("the nonce is another exchange's")
        if not hmac.compare_digest(final.binding, self._binding):
            raise SaslError("another channel, or the GS2 header was changed", code="refused.binding")
        auth = b",".join((self.first.bare.encode(), self.server_first, final.without_proof.encode()))
        match: tuple[int, bytes] | None = None
        for index, keys in enumerate(candidates):
            signature = hmac.digest(keys.stored_key, auth, "sha256")
            client_key = bytes(a ^ b for a, b in zip(final.proof, signature, strict=True))
            if hmac.compare_digest(hashlib.sha256(client_key).digest(), keys.stored_key):
                server_signature = hmac.digest(keys.server_key, auth, "sha256")
                match = match or (index, b"v=" + base64.b64encode(server_signature))
        if match is None:
            raise SaslError("the proof is wrong", code="refused.proof")
        return match


class ScramClient:
    """The client's half of one exchange."""

    def __init__(
        self, name: str, password: str, authorize: str = "", nonce: str = "", *, binding: bytes = b""
    ) -> None:
        self._password = password
        flag = f"p={END_POINT}" if binding else "n"
        self._gs2 = f"{flag},{'a=' + _escape(authorize) if authorize else ''},"
        self._binding = binding
        self._nonce = nonce or base64.b64encode(secrets.token_bytes(NONCE_BYTES)).decode()
        self._bare = f"n={_escape(saslprep(name))},r={self._nonce}"
        self._server_signature = b""
        self.client_first = (self._gs2 + self._bare).encode()
        """The client-first-message."""

    def receive_first(self, message: bytes) -> bytes:
        """Take the server-first-message; return the client-final-message."""
        text = _text(message)
        attributes = text.split(",")
        if len(attributes) < 3 or [item[:2] for item in attributes[:3]] != ["r=", "s=", "i="]:  # noqa: PLR2004
            raise SaslError("the server-first-message is malformed")
        nonce, salt = attributes[0][2:], _base64(attributes[1][2:])
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise SaslError("the server's nonce does not go on from ours")
        count = attributes[2][2:]
        if not re.match(r"[1-9][0-9]{0,6}\Z", count) or not ITERATIONS_MIN <= int(count) <= ITERATIONS_MAX:
            raise SaslError("the iteration count is out of range")
        salted = hashlib.pbkdf2_hmac("sha256", saslprep(self._password).encode(), salt, int(count))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = f"c={base64.b64encode(self._gs2.encode() + self._binding).decode()},r={nonce}"
        auth = f"{self._bare},{text},{without_proof}".encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), auth, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        self._server_signature = hmac.digest(server_key, auth, "sha256")
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def receive_final(self, message: bytes) -> None:
        """Take the server-final-message; raise SaslError unless the server knew the password's keys."""
        text = _text(message)
        if not self._server_signature or not text.startswith("v="):
            raise SaslError("the server did not accept")
        if not hmac.compare_digest(_base64(text[2:].split(",")[0]), self._server_signature):
            raise SaslError("the server does not know the password's keys")


def _text(message: bytes) -> str:
    if len(message) > MESSAGE_BYTES_MAX or b"\0" in message:
        raise SaslError("the message is too long or holds NUL")
    try:
        return message.decode()
    except UnicodeDecodeError as exc:
        raise SaslError("the message is not UTF-8") from exc


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise SaslError("a value is not base64") from exc


def _escape(name: str) -> str:
    return name.replace("=", "=3D").replace(",", "=2C")


def _unescape(text: str) -> str:
    if not text or len(text) > NAME_BYTES_MAX or re.search(r"=(?!2C|3D)", text):
        raise SaslError("a name is empty, too long or wrongly escaped")
    return text.replace("=2C", ",").replace("=3D", "=")
