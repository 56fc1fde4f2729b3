"""The TLS identity of the installation: its own certificate authority, or a certificate of the operator's.

The authority (ECDSA P-256) is made at the first start and signs one server certificate, renewed before
it ends. Private keys are wrapped under the root key and leave only as the `tls` secret of the faces.
"""

import asyncio
import datetime as dt
import ipaddress
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from postkeep.base.clock import Clock
from postkeep.base.errors import IntegrityError, InvalidInputError
from postkeep.services.kms.signing import NamedKeys

CA_DAYS: Final = 3650
"""Clients pin it by hand, so it outlives many server certificates."""
SERVER_DAYS: Final = 365
"""A year: what careful scanners accept. It renews itself."""
RENEW_DAYS: Final = 30
BACKDATE_SECONDS: Final = 3600
"""How far clients' clocks may be behind ours."""
PEM_BYTES_MAX: Final = 256 * 1024
"""A key and a chain of a dozen certificates are below 50 KiB."""

_CA: Final = "tls/ca"
_SERVER: Final = "tls/server"
_LOCAL: Final = ("localhost", "127.0.0.1", "::1")


class Credential(NamedTuple):
    """A private key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


class TlsIdentity:
    """What the faces show to clients. Made by `open_tls`."""

    def __init__(
        self, named: NamedKeys, ca: Credential, hostname: str, own: tuple[str, str], clock: Clock
    ) -> None:
        self._named = named
        self._ca = ca
        self._hostname = hostname
        self._own = own
        self._clock = clock
        self._renewing = asyncio.Lock()

    @property
    def ca_pem(self) -> bytes:
        """The installation's certificate authority, for clients to trust. Public."""
        return self._ca.certificate.public_bytes(serialization.Encoding.PEM)

    async def release(self) -> bytes:
        """Return the private key and the certificate chain, PEM, renewing the certificate if it is time.

        InvalidInputError if the operator's own files can't be used.
        """
        if any(self._own):
            return read_own(*self._own)
        async with self._renewing:
            server = await self._current()
        return (
            _key_pem(server.key) + server.certificate.public_bytes(serialization.Encoding.PEM) + self.ca_pem
        )

    async def _current(self) -> Credential:
        now = _moment(self._clock.now_seconds())
        found = await _load(self._named, _SERVER)
        if found is not None and _still_good(found.certificate, self._ca.certificate, self._hostname, now):
            return found
        made = make_server(self._ca, self._hostname, now)
        store = self._named.add if found is None else self._named.replace
        await store(_SERVER, _key_der(made.key), made.certificate.public_bytes(serialization.Encoding.DER))
        return made


async def open_tls(named: NamedKeys, hostname: str, own: tuple[str, str], clock: Clock) -> TlsIdentity:
    """Load the certificate authority, making it at the first start.

    `own` are the operator's certificate and key files; where they are named they are read and checked now,
    so that a mistake shows at the start.
    """
    ca = await _load(named, _CA)
    if ca is None:
        ca = make_ca(_moment(clock.now_seconds()))
        await named.add(_CA, _key_der(ca.key), ca.certificate.public_bytes(serialization.Encoding.DER))
    identity = TlsIdentity(named, ca, hostname, own, clock)
    await identity.release()
    return identity


def make_ca(now: dt.datetime) -> Credential:
    """Make a certificate authority that may sign server certificates and no other authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    mark = x509.SubjectKeyIdentifier.from_public_key(public)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Postkeep"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Postkeep installation CA {mark.digest.hex()[:8]}"),
        ]
    )
    certificate = (
        _builder(name, name, public, now, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(mark, critical=False)
        .sign(key, hashes.SHA256())
    )
    return Credential(key, certificate)


def make_server(ca: Credential, hostname: str, now: dt.datetime) -> Credential:
    """Make a server key and certificate for the host's name and for the local ones."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    issuer_mark = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
    certificate = (
        _builder(_common_name(hostname), ca.certificate.subject, public, now, SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(hostname)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(issuer_mark, critical=False)
        .sign(ca.key, hashes.SHA256())
    )
    return Credential(key, certificate)


def read_own(certificate_file: str, key_file: str) -> bytes:
    """Return the operator's key and chain; InvalidInputError unless both are there and belong together."""
    try:
        chain = _read(certificate_file)
        key_pem = _read(key_file)
        certificates = x509.load_pem_x509_certificates(chain)
        key = serialization.load_pem_private_key(key_pem, None)
    except (OSError, ValueError, TypeError) as exc:
        reason = getattr(exc, "strerror", None) or "not PEM, or protected by a password"
        raise _bad_files(f"The TLS certificate or key can't be read: {reason}.") from exc
    if key.public_key() != certificates[0].public_key():
        raise _bad_files("The TLS key does not belong to the first certificate in the file.")
    return key_pem.rstrip() + b"\n" + chain


def _read(path: str) -> bytes:
    with Path(path).open("rb") as file:
        data = file.read(PEM_BYTES_MAX + 1)
    if len(data) > PEM_BYTES_MAX:
        raise ValueError("too long")
    return data


def _bad_files(text: str) -> InvalidInputError:
    return InvalidInputError(code="bad_configuration", public_text=text)


async def _load(named: NamedKeys, name: str) -> Credential | None:
    found = await named.get(name)
    if found is None:
        return None
    key = serialization.load_der_private_key(found[0], None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IntegrityError(f"{name} is not a key on an elliptic curve")
    return Credential(key, x509.load_der_x509_certificate(found[1]))


def _still_good(certificate: x509.Certificate, ca: x509.Certificate, hostname: str, now: dt.datetime) -> bool:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        certificate.not_valid_after_utc - now > dt.timedelta(days=RENEW_DAYS)
        and certificate.not_valid_before_utc <= now
        and certificate.issuer == ca.subject
        and list(names) == _names(hostname)
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: dt.datetime,
    days: int,
) -> x509.CertificateBuilder:
    start = now - dt.timedelta(seconds=BACKDATE_SECONDS)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=days))
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _names(hostname: str) -> list[x509.GeneralName]:
    return [_general_name(name) for name in dict.fromkeys((hostname, *_LOCAL)) if name]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _common_name(hostname: str) -> x509.Name:
    common_name_chars_max = 64  # RFC 5280 appendix A.1, ub-common-name
    name = hostname if 0 < len(hostname) <= common_name_chars_max else "Postkeep"
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _moment(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def _key_der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return _export(key, serialization.Encoding.DER)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return _export(key, serialization.Encoding.PEM)


def _export(key: ec.EllipticCurvePrivateKey, encoding: serialization.Encoding) -> bytes:
    return key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
