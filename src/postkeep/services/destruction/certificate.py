"""The certificate of a destruction: what was destroyed and how that was checked, signed, and in the ledger.

A certificate is canonical JSON with three parts. `body` states the facts. `signatures` are over the body, by
two keys of kms (Ed25519 and ML-DSA-44): either algorithm may fall without the certificate falling with it.
`ledger` proves that the body's hash stood in the ledger when a signed checkpoint was made, so that a
certificate can't be written later. Whoever has the public keys can check all of it without us.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Final, NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from postkeep.base.errors import IntegrityError
from postkeep.crypto import ed25519
from postkeep.crypto.context import context
from postkeep.crypto.cosignature import MLDSA44_KEY_BYTES, open_both
from postkeep.crypto.merkle import leaf_hash, verify_inclusion
from postkeep.crypto.note import line_signers, note_lines, peek_note
from postkeep.services.destruction.order import Order, Step

FORMAT: Final = "postkeep/certificate-of-destruction/1"
ED25519_KEY_BYTES: Final = 32
OWN_SIGNATURES: Final = 2
"""Lines under the checkpoint of a certificate: the log's own, of either key."""
CERTIFICATE_BYTES_MAX: Final = 1024 * 1024  # octets: some hundred times what one has
LIMITS: Final = ("copy_on_write", "foreign_copies")
"""What a certificate can't say, stated in it. Overwriting reaches blocks that are written in place, not what
a file system that copies on write, or the spare cells of a flash drive, still hold; and copies of the files
that others made are not known here. `paper` has the words."""


class Search(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the destroyed keys were looked for."""

    directories: list[str]
    files: int
    octets: int
    unreadable: int
    began_ms: int
    ended_ms: int
    secrets_sought: int
    control_found: bool
    found: list[str]


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The facts. Identifiers are hexadecimal, times are milliseconds since the epoch."""

    format: str
    certificate: str
    installation: str
    """The ledger's name."""
    order_digest: str
    """SHA-256 of what was ordered: what the approvals were for."""
    unit: str
    tenant: str
    principal: str
    mailbox: str
    uids: list[tuple[int, int]]
    category: str
    backup: str
    reason: str
    requested_by: str
    request: str
    """The governance request that approved it."""
    steps: dict[str, int]
    messages: int
    keys: int
    room: str
    """`given_back`: packs and tables were rewritten; `by_upkeep`: that follows in its own time."""
    secrets: int
    """Secrets that were fingerprinted before the destruction; `secrets_sought` of them were looked for."""
    search: Search | None
    limits: list[str]


class Signatures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base64 over `context("certificate", canonical body)`."""

    ed25519: str
    mldsa44: str


class LedgerProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That the body's hash is in the ledger."""

    index: int
    entry: str
    """Base64 of the entry: an event whose `digest` is the body's SHA-256."""
    proof: list[str]
    checkpoint: str


class Certificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole."""

    body: Body
    signatures: Signatures
    ledger: LedgerProof


class Keys(NamedTuple):
    """What a certificate is checked with: all public."""

    certificate: bytes
    """Ed25519 (32 bytes), then ML-DSA-44 (1,312)."""
    ledger: bytes
    ledger_mldsa44: bytes


def body_of(order: Order, installation: str) -> Body:
    """State the facts of an order that was verified."""
    scan = order.scan
    search = None
    if scan is not None:
        search = Search(
            scan.roots,
            scan.files,
            scan.octets,
            scan.unreadable,
            scan.began_ms,
            scan.ended_ms,
            scan.sought,
            scan.control_found,
            scan.found,
        )
    return Body(
        format=FORMAT,
        certificate=order.id.hex(),
        installation=installation,
        order_digest=order.digest().hex(),
        unit=order.unit.value,
        tenant=order.tenant.hex(),
        principal=order.principal.hex(),
        mailbox=order.mailbox.hex(),
        uids=order.uids,
        category=order.category,
        backup=order.backup,
        reason=order.reason,
        requested_by=order.requester,
        request=order.request,
        steps={Step.REQUESTED.value: order.made_ms}
        | {step: at for step, at in order.times.items() if step != Step.CERTIFIED},
        messages=order.messages,
        keys=order.keys,
        room="given_back" if order.thorough else "by_upkeep",
        secrets=order.marks.total if order.marks else 0,
        search=search,
        limits=list(LIMITS),
    )


def canonical(value: msgspec.Struct) -> bytes:
    """Return the one JSON form of a value: keys in order, no spaces, UTF-8."""
    return msgspec.json.encode(value, order="sorted")


def digest_of(body: Body) -> bytes:
    """Return what the ledger's entry says of a body."""
    return hashlib.sha256(canonical(body)).digest()


def assemble(body: Body, signatures: tuple[bytes, bytes], ledger: LedgerProof) -> bytes:
    """Put a certificate together."""
    encoded = [base64.b64encode(signature).decode("ascii") for signature in signatures]
    return canonical(Certificate(body, Signatures(*encoded), ledger))


def own_lines(checkpoint: bytes, origin: str) -> bytes:
    """Return a checkpoint with the log's own signatures only: what a certificate can vouch for in full."""
    text = peek_note(checkpoint)
    own = f"\u2014 {origin} ".encode()
    lines = [line + b"\n" for line in note_lines(checkpoint) if line.startswith(own)]
    return text + b"\n" + b"".join(lines)


def verify(data: bytes, keys: Keys) -> Body:
    """Return the body of a certificate after checking every part of it; IntegrityError otherwise."""
    if len(data) > CERTIFICATE_BYTES_MAX:
        raise IntegrityError("it is too long for a certificate")
    try:
        certificate = msgspec.json.decode(data, type=Certificate)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise IntegrityError(f"it is no certificate: {exc}") from exc
    if not hmac.compare_digest(canonical(certificate), data.strip()):
        raise IntegrityError("the certificate is not in its one form")
    body = certificate.body
    if body.format != FORMAT:
        raise IntegrityError("a certificate of another format")
    _check_signatures(certificate, keys.certificate)
    _check_ledger(certificate, keys)
    _check_claims(body)
    return body


def _check_signatures(certificate: Certificate, public: bytes) -> None:
    if len(public) != ED25519_KEY_BYTES + MLDSA44_KEY_BYTES:
        raise IntegrityError("the public key for certificates has the wrong length")
    message = context("certificate", canonical(certificate.body))
    try:
        ed25519.public_key(public[:ED25519_KEY_BYTES]).verify(
            _decode(certificate.signatures.ed25519), message
        )
        MLDSA44PublicKey.from_public_bytes(public[ED25519_KEY_BYTES:]).verify(
            _decode(certificate.signatures.mldsa44), message
        )
    except (InvalidSignature, ValueError):
        raise IntegrityError("the certificate's signature is not valid") from None


def _check_ledger(certificate: Certificate, keys: Keys) -> None:
    proof, body = certificate.ledger, certificate.body
    note = proof.checkpoint.encode()
    checkpoint = open_both(note, body.installation, keys.ledger, keys.ledger_mldsa44)
    lines = note_lines(note)
    if len(lines) != OWN_SIGNATURES or line_signers(lines) != {body.installation}:
        raise IntegrityError("the checkpoint has signatures that nobody can check here")
    entry = _decode(proof.entry)
    hashes = [_decode(text) for text in proof.proof]
    verify_inclusion(proof.index, leaf_hash(entry), checkpoint.size, checkpoint.root, hashes)
    try:
        event = msgspec.json.decode(entry, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise IntegrityError("the ledger's entry is no event") from exc
    digest = str(event.get("digest", ""))
    if event.get("event") != "order" or not hmac.compare_digest(digest, digest_of(body).hex()):
        raise IntegrityError("the ledger's entry is about something else")


def _check_claims(body: Body) -> None:
    """Refuse a certificate that contradicts itself: no order makes one."""
    search = body.search
    if body.unit != "backup" and (search is None or search.found or not search.control_found):
        raise IntegrityError("the certificate says that something was found, or that nothing was looked for")


def _decode(text: str) -> bytes:
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise IntegrityError("a part of the certificate is not base64") from None
    if base64.b64encode(decoded).decode("ascii") != text:
        raise IntegrityError("a part of the certificate is not in the one form of base64")
    return decoded
