"""TLS of the faces: the server's context, and a layer between socket and core on memory buffers.

The layer reads nothing that came before it was made: what a client sends in the clear behind STARTTLS never
gets into it (RFC 3207 section 4.2, RFC 3501 section 6.2.1). On memory buffers a quiet connection holds some
15 KB of TLS; uvloop's own TLS transport 26 KB, asyncio's 280.
"""

import contextlib
import os
import ssl
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from postkeep.base.errors import PostkeepError

SESSION_TICKETS: Final = 1
"""For each TLS 1.3 handshake: a client resumes one session, and OpenSSL's two cost twice."""

READ_OCTETS: Final = 256 * 1024
"""Plaintext taken out of the layer at once; a TLS record holds 16 KB."""

_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""TLS 1.2: forward secrecy and AEAD only. TLS 1.3 has nothing else."""


class TlsError(PostkeepError):
    """The other side does not speak TLS, or none that we take."""

    code = "tls"
    public_text = "The other side broke the TLS protocol."


class ServerContext(ssl.SSLContext):
    """A server's context that knows its certificate."""

    end_point: bytes = b""
    """`tls-server-end-point` (RFC 5929 section 4): the certificate's hash, by the hash of its signature but
    no weaker one than SHA-256. Empty where the signature names no hash (Ed25519): undefined there."""


def server_context(pem: bytes) -> ServerContext:
    """Make the context from a PEM key and chain. They pass through anonymous memory, never through a disk."""
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.end_point = _end_point(pem)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.num_tickets = SESSION_TICKETS
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.ftruncate(descriptor, 0)
        os.close(descriptor)
    return context


def _end_point(pem: bytes) -> bytes:
    certificate = x509.load_pem_x509_certificates(pem)[0]
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None:
        return b""
    weak = isinstance(algorithm, hashes.MD5 | hashes.SHA1)
    return certificate.fingerprint(hashes.SHA256() if weak else algorithm)


class TlsLayer:
    """One connection's TLS, as server."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.established = False
        self.ended = False
        """Whether the other side has said that it sends no more."""

    def feed(self, data: bytes) -> bytes:
        """Take in ciphertext, return plaintext; raise TlsError when TLS fails.

        The handshake's answers are in `take_output` afterwards, alerts too.
        """
        self._incoming.write(data)
        try:
            if not self.established:
                self._object.do_handshake()
                self.established = True
            return self._read()
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLError as exc:
            raise TlsError(f"TLS: {exc.reason}") from exc

    def _read(self) -> bytes:
        incoming = self._incoming
        pieces: list[bytes] = []
        while incoming.pending or self._object.pending():
            try:
                piece = self._object.read(READ_OCTETS)
            except ssl.SSLWantReadError:
                break
            if not piece:
                self.ended = True
                break
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def write(self, data: bytes) -> None:
        """Encrypt; the result is in `take_output`."""
        self._object.write(data)

    def close(self) -> None:
        """Say goodbye at the TLS level."""
        with contextlib.suppress(ssl.SSLError):
            self._object.unwrap()

    def take_output(self) -> bytes:
        """Return what is to be sent."""
        return self._outgoing.read()

    @property
    def description(self) -> str:
        """Protocol and cipher, as `TLSv1.3 TLS_AES_256_GCM_SHA384`."""
        cipher = self._object.cipher()
        return f"{self._object.version()} {cipher[0]}" if cipher else ""
