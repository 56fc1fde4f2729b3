"""Signed notes and the checkpoints of a transparency log, as others' tools read them.

Sources: C2SP signed-note, C2SP tlog-checkpoint. Here are Ed25519 signatures (type 0x01); other types stand
in `postkeep.crypto.cosignature`.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature

from postkeep.base.errors import IntegrityError
from postkeep.crypto import ed25519
from postkeep.crypto.merkle import HASH_BYTES

NOTE_BYTES_MAX: Final = 131_072  # octets: 16 signatures of 5 kB (post-quantum) must fit, and then some
NOTE_SIGNATURES_MAX: Final = 64  # lines; the format demands at least 16
ORIGIN_CHARS_MAX: Final = 255  # characters: a host name and a path
SIZE_DIGITS_MAX: Final = 19  # digits: trees stay below 2**63 leaves

ED25519: Final = 0x01
"""Signature type; the others are in `postkeep.crypto.cosignature`."""

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


def key_id(name: str, public_key: bytes, kind: int = ED25519) -> bytes:
    """Return the four bytes that say which key made a signature; a hint, not an identity."""
    return sha256(name.encode() + b"\n" + bytes([kind]) + public_key).digest()[:_KEY_ID_BYTES]


def verifier_key(name: str, public_key: bytes, kind: int = ED25519) -> str:
    """Return a key as verifiers are given it: `name+id+base64(type || key)`."""
    encoded = base64.b64encode(bytes([kind]) + public_key).decode("ascii")
    return f"{name}+{key_id(name, public_key, kind).hex()}+{encoded}"


def signature_line(name: str, identity: bytes, signature: bytes) -> bytes:
    """Return a signature as a line of a note, its end included. ValueError for a name that is none."""
    if not _NAME.match(name):
        raise ValueError("a key's name has no space and no plus")
    encoded = base64.b64encode(identity + signature).decode("ascii")
    return f"{_DASH}{name} {encoded}\n".encode()


def sign_note(text: bytes, name: str, public_key: bytes, sign: Callable[[bytes], bytes]) -> bytes:
    """Return a note: the text and one Ed25519 signature over it, made by `sign`."""
    if not text.endswith(b"\n"):
        raise ValueError("a note's text ends in a newline")
    return text + b"\n" + signature_line(name, key_id(name, public_key), sign(text))


def open_note(note: bytes, name: str, public_key: bytes) -> bytes:
    """Return the text of a note that the named key has signed; raise IntegrityError otherwise."""
    text = peek_note(note)
    signatures = note_signatures(note, name, key_id(name, public_key))
    for signature in signatures:
        _check_signature(public_key, signature, text)
    if not signatures:
        raise IntegrityError("the note is not signed by the key expected")
    return text


def note_signatures(note: bytes, name: str, identity: bytes) -> list[bytes]:
    """Return the signatures in a note that name this key: octets to be checked, the key's id cut off."""
    parsed = [_parse_signature(line) for line in _split_note(note)[1]]
    return [
        signature[_KEY_ID_BYTES:]
        for signer, signature in parsed
        if signer == name and signature[:_KEY_ID_BYTES] == identity
    ]


def note_lines(note: bytes) -> list[bytes]:
    """Return the signature lines of a note as they stand, without their ends."""
    return [line.encode() for line in _split_note(note)[1]]


def line_signers(lines: Iterable[bytes]) -> set[str]:
    """Return the names of those who claim to have made these lines; IntegrityError for what is no line."""
    try:
        return {_parse_signature(line.decode("utf-8").removesuffix("\n"))[0] for line in lines}
    except UnicodeDecodeError:
        raise IntegrityError("a signature line is not UTF-8") from None


def add_lines(note: bytes, lines: Iterable[bytes]) -> bytes:
    """Return a note with further signature lines; those it has already are not doubled.

    Raises IntegrityError where a line, or the note with all of them, is malformed.
    """
    text, known = _split_note(note)
    whole = known.copy()
    for line in lines:
        try:
            decoded = line.decode("utf-8").removesuffix("\n")
        except UnicodeDecodeError:
            raise IntegrityError("a signature line is not UTF-8") from None
        if "\n" in decoded or _CONTROL.search(decoded):
            raise IntegrityError("a signature line of the note is malformed")
        _parse_signature(decoded)
        if decoded not in whole:
            whole.append(decoded)
    made = text + b"\n" + "".join(f"{line}\n" for line in whole).encode()
    _split_note(made)
    return made


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
        ed25519.public_key(public_key).verify(signature, text)
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
