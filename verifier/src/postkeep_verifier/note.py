"""Signed notes and checkpoints: who has signed which head of which log.

Sources: C2SP signed-note, tlog-checkpoint, tlog-cosignature. Three kinds of signature are known: 0x01
(Ed25519 over the text), 0x04 (a witness's Ed25519 with a time) and 0x06 (ML-DSA-44 with a time).
"""

import base64
import binascii
import re
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

KEY_ID_BYTES = 4
NOTE_BYTES_MAX = 262_144  # octets: 64 signatures of some 3.3 kB
HASH_BYTES = 32
NAME_BYTES_MAX = 255  # octets: a length of one octet stands before a name
SIGNATURES_MAX = 64  # lines
ED25519, COSIGNATURE, MLDSA44 = 0x01, 0x04, 0x06
KEY_BYTES = {ED25519: 32, COSIGNATURE: 32, MLDSA44: 1312}
SIGNATURE_BYTES = {ED25519: 64, COSIGNATURE: 8 + 64, MLDSA44: 8 + 2420}
KINDS = {ED25519: "Ed25519", COSIGNATURE: "Ed25519", MLDSA44: "ML-DSA-44"}

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIZE = re.compile(r"(0|[1-9][0-9]{0,18})\Z", re.ASCII)
_DASH = "\u2014 "
_SMALL_ORDER = {  # y coordinates of points under which one signature is good for many messages
    *(value.to_bytes(32, "little").hex() for value in (0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18)),
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
}


class NoteError(Exception):
    """A note, a key or a signature that can't be believed; the text says why."""


class Key(NamedTuple):
    """A public key that signs notes under a name."""

    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        """The four octets that stand before a signature: a hint, not an identity."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:KEY_ID_BYTES]


class Checkpoint(NamedTuple):
    """What a log commits itself to."""

    origin: str
    size: int
    root: bytes


class Note(NamedTuple):
    """A note taken apart; nothing in it is believed yet."""

    text: bytes
    checkpoint: Checkpoint
    signatures: list[tuple[str, bytes, bytes]]
    """Name, key id, signature."""


def parse_key(vkey: str) -> Key:
    """Read a key as `name+id+base64(kind, key)`; raise NoteError where it is none."""
    name, plus, rest = vkey.strip().partition("+")
    given_id, plus_again, encoded = rest.partition("+")
    material = _decode(encoded)
    if not (name and plus and plus_again and material) or any(c.isspace() for c in name):
        raise NoteError(f"not a key: {vkey[:60]!r}")
    key = Key(name, material[0], material[1:])
    if len(key.public) != KEY_BYTES.get(key.kind, -1) or key.id.hex() != given_id:
        raise NoteError(f"not a key of a known kind, or its id is wrong: {vkey[:60]!r}")
    if (key.public[:-1] + bytes([key.public[-1] & 0x7F])).hex() in _SMALL_ORDER:
        raise NoteError("a key of small order: anybody can sign with it")
    return key


def parse_note(data: bytes) -> Note:
    """Take a signed checkpoint apart; raise NoteError where it is malformed."""
    if len(data) > NOTE_BYTES_MAX:
        raise NoteError("the note is too long")
    try:
        decoded = data.decode()
    except UnicodeDecodeError:
        raise NoteError("the note is not UTF-8") from None
    text, blank, tail = decoded.rpartition("\n\n")
    if not blank or not tail.endswith("\n") or _CONTROL.search(decoded):
        raise NoteError("the note is malformed")
    lines = tail[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise NoteError("the note has too many signatures")
    return Note((text + "\n").encode(), _parse_checkpoint(text), [_parse_signature(line) for line in lines])


def verified_by(note: Note, key: Key) -> int | None:
    """Return when a key has signed a note (POSIX seconds; 0: its kind tells no time); None if it has not.

    Raises NoteError for a signature that claims to be this key's and is not.
    """
    signed = None
    for name, key_id, signature in note.signatures:
        if name == key.name and key_id == key.id:
            signed = _verify(note, key, signature)
    return signed


def _verify(note: Note, key: Key, signature: bytes) -> int:
    if len(signature) != SIGNATURE_BYTES[key.kind]:
        raise NoteError(f"the signature of {key.name} has the wrong length")
    stamp = b"" if key.kind == ED25519 else signature[:8]
    time = int.from_bytes(stamp, "big")
    try:
        if key.kind == MLDSA44:
            message = _subtree_message(key.name, stamp, note.checkpoint)
            MLDSA44PublicKey.from_public_bytes(key.public).verify(signature[8:], message)
        else:
            head = b"" if key.kind == ED25519 else b"cosignature/v1\ntime %d\n" % time
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature[len(stamp) :], head + note.text)
    except (InvalidSignature, ValueError):
        raise NoteError(f"the {KINDS[key.kind]} signature of {key.name} is not valid") from None
    return time


def _subtree_message(cosigner: str, stamp: bytes, head: Checkpoint) -> bytes:
    """Write what ML-DSA-44 signs (tlog-cosignature, `cosigned_message`): the tree from leaf 0 on."""
    names = [bytes([len(name.encode())]) + name.encode() for name in (cosigner, head.origin)]
    tree = bytes(8) + head.size.to_bytes(8, "big") + head.root
    return b"subtree/v1\n\0" + names[0] + stamp + names[1] + tree


def _parse_checkpoint(text: str) -> Checkpoint:
    origin, size, root = [*text.split("\n"), "", "", ""][:3]
    decoded = _decode(root)
    if not 0 < len(origin.encode()) <= NAME_BYTES_MAX or not _SIZE.match(size) or len(decoded) != HASH_BYTES:
        raise NoteError("the note is not a checkpoint")
    return Checkpoint(origin, int(size), decoded)


def _parse_signature(line: str) -> tuple[str, bytes, bytes]:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    signature = _decode(encoded)
    if not line.startswith(_DASH) or not name or "+" in name or len(signature) <= KEY_ID_BYTES:
        raise NoteError("a signature line is malformed")
    return name, signature[:KEY_ID_BYTES], signature[KEY_ID_BYTES:]


def _decode(encoded: str) -> bytes:
    """Decode the one form of base64; empty where it is something else."""
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return decoded if base64.b64encode(decoded).decode() == encoded else b""
