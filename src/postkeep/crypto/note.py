"""Signed notes and the checkpoints of a transparency log, as others' tools read them.

Sources: C2SP signed-note, C2SP tlog-checkpoint. Only Ed25519 signatures (type 0x01) are made and believed.
"""

import base64
import binascii
import re
from collections.abc import Callable
from hashlib import sha256
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from postkeep.base.errors import IntegrityError
from postkeep.crypto.merkle import HASH_BYTES

NOTE_BYTES_MAX: Final = 131_072  # octets: 16 signatures of 5 kB (post-quantum) must fit, and then some
NOTE_SIGNATURES_MAX: Final = 64  # lines; the format demands at least 16
ORIGIN_CHARS_MAX: Final = 255  # characters: a host name and a path
SIZE_DIGITS_MAX: Final = 19  # digits: trees stay below 2**63 leaves

_ED25519: Final = b"\x01"
_KEY_ID_BYTES: Final = 4
_DASH: Final = "\u2014 "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_NAME = re.compile(r"[^\s+]+\Z")
_SIZE = re.compile(r"(0|[1-9][0-9]*)\Z", re.ASCII)


class Checkpoint(NamedTuple):
    """What a log commits itself to: its name, its number of entries and the root over them."""

    origin: str
    size: int
    root: bytes


def key_id(name: str, public_key: bytes) -> bytes:
    """Return the four bytes that say which key made a signature; a hint, not an identity."""
    return sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:_KEY_ID_BYTES]


def sign_note(text: bytes, name: str, public_key: bytes, sign: Callable[[bytes], bytes]) -> bytes:
    """Return a note: the text and one Ed25519 signature over it, made by `sign`."""
    if not _NAME.match(name) or not text.endswith(b"\n"):
        raise ValueError("a note's text ends in a newline and its key's name has no space or plus")
    signature = base64.b64encode(key_id(name, public_key) + sign(text)).decode("ascii")
    return text + f"\n{_DASH}{name} {signature}\n".encode()


def open_note(note: bytes, name: str, public_key: bytes) -> bytes:
    """Return the text of a note that the named key has signed; raise IntegrityError otherwise."""
    text, lines = _split_note(note)
    wanted = key_id(name, public_key)
    believed = False
    for line in lines:
        signer, signature = _parse_signature(line)
        if signer == name and signature[:_KEY_ID_BYTES] == wanted:
            _check_signature(public_key, signature[_KEY_ID_BYTES:], text)
            believed = True
    if not believed:
        raise IntegrityError("the note is not signed by the key expected")
    return text


def peek_note(note: bytes) -> bytes:
    """Return the text of a note without believing it: for comparing one's own files with each other."""
    return _split_note(note)[0]


def _split_note(note: bytes) -> tuple[bytes, list[str]]:
    if len(note) > NOTE_BYTES_MAX:
        raise IntegrityError("the note is too long")
    try:
        decoded = note.decode("utf-8")
    except UnicodeDecodeError:
        raise IntegrityError("the note is not UTF-8") from None
    if _CONTROL.search(decoded):
        raise IntegrityError("the note contains control characters")
    text, blank, signatures = decoded.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise IntegrityError("the note has no signatures")
    lines = signatures[:-1].split("\n")
    if len(lines) > NOTE_SIGNATURES_MAX:
        raise IntegrityError("the note has too many signatures")
    return (text + "\n").encode(), lines


def _parse_signature(line: str) -> tuple[str, bytes]:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space or not _NAME.match(name):
        raise IntegrityError("a signature line of the note is malformed")
    signature = _decode(encoded, "a signature of the note")
    if len(signature) <= _KEY_ID_BYTES:
        raise IntegrityError("a signature of the note is too short")
    return name, signature


def _check_signature(public_key: bytes, signature: bytes, text: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, text)
    except (InvalidSignature, ValueError):
        raise IntegrityError("the note's signature is not valid") from None


def _decode(encoded: str, what: str) -> bytes:
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise IntegrityError(f"{what} is not base64") from None
    if base64.b64encode(decoded).decode("ascii") != encoded:
        raise IntegrityError(f"{what} is not in the one form of base64")
    return decoded


def format_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Return the text of a checkpoint, ready to be signed as a note."""
    if (
        not checkpoint.origin
        or len(checkpoint.origin) > ORIGIN_CHARS_MAX
        or "\n" in checkpoint.origin
        or _CONTROL.search(checkpoint.origin)
        or len(checkpoint.root) != HASH_BYTES
        or checkpoint.size < 0
    ):
        raise ValueError("this is no checkpoint")
    root = base64.b64encode(checkpoint.root).decode("ascii")
    return f"{checkpoint.origin}\n{checkpoint.size}\n{root}\n".encode()


def parse_checkpoint(text: bytes) -> Checkpoint:
    """Read the text of a checkpoint; extension lines are passed over. Raises IntegrityError."""
    try:
        lines = text.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise IntegrityError("the checkpoint is not UTF-8") from None
    body = lines[:-1]
    if len(body) < 3 or lines[-1] or not all(body):  # noqa: PLR2004 - origin, size and root
        raise IntegrityError("the checkpoint does not have its lines")
    origin, size, root_text = body[:3]
    if len(origin) > ORIGIN_CHARS_MAX:
        raise IntegrityError("the checkpoint's origin is too long")
    if len(size) > SIZE_DIGITS_MAX or not _SIZE.match(size):
        raise IntegrityError("the checkpoint's size is not a number")
    root = _decode(root_text, "the checkpoint's root")
    if len(root) != HASH_BYTES:
        raise IntegrityError("the checkpoint's root is not a SHA-256 hash")
    return Checkpoint(origin, int(size), root)


def open_checkpoint(note: bytes, origin: str, public_key: bytes) -> Checkpoint:
    """Return the checkpoint in a note signed by the log's own key; raise IntegrityError otherwise."""
    checkpoint = parse_checkpoint(open_note(note, origin, public_key))
    if checkpoint.origin != origin:
        raise IntegrityError("the checkpoint is of another log")
    return checkpoint
