"""Certificates made for one test run: one for `localhost` with clients that trust it, and those of hosts that
speak with each other."""

import ssl
from datetime import UTC, datetime, timedelta

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def make_pem() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM)


PEM = make_pem()


def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=PEM[PEM.index(b"-----BEGIN CERT") :].decode())
    return context


def mutual_context(
    ca: trustme.CA, signer: trustme.CA, purpose: ssl.Purpose, name: str
) -> tuple[ssl.SSLContext, bytes]:
    """Make one side's context for TLS 1.3 with certificates on both sides, and return its own in DER."""
    made = ssl.create_default_context(purpose)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.verify_mode = ssl.CERT_REQUIRED
    certificate = signer.issue_cert(name)
    certificate.configure_cert(made)
    ca.configure_trust(made)
    return made, ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
