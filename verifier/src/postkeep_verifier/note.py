"""Signed notes and checkpoints: who has signed which head of which log.

Sources: C2SP signed-note, tlog-checkpoint, tlog-cosignature. Three kinds of signature are known: 0x01
(Ed25519 over the text), 0x04 (a witness's Ed25519 with a time) and 0x06 (ML-DSA-44 with a time)."""

import base64
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

NOTE_BYTES_MAX = 262_144  # octets: 64 signatures of some 3.3 kB
SIGNATURES_MAX = 64  # lines
ORIGIN_BYTES_MAX = 255  # octets: a length of one octet stands before a name
KEY_ID_BYTES, HASH_BYTES = 4, 32
ED25519, COSIGNATURE, MLDSA44 = 0x01, 0x04, 0x06
# Of each kind: the lengths of a key, of the time before a signature, and of both together.
OCTETS = {ED25519: (32, 0, 64), COSIGNATURE: (32, 8, 72), MLDSA44: (1312, 8, 2428)}
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIZE = re.compile(r"(0|[1-9][0-9]{0,18})\Z", re.ASCII)
_KEY = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+(\S+)\Z")
_SIGNATURE = re.compile("\u2014 ([^ +]+) ([^ ]+)\\Z")
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
    """What a log commits itself to, and the note that says so; nothing in it is believed yet."""

    origin: str
    size: int
    root: bytes
    text: bytes = b""
    signatures: Sequence[tuple[str, bytes, bytes]] = ()  # name, key id, signature


def parse_key(vkey: str) -> Key:
    """Read a key as `name+id+base64(kind, key)`; raise NoteError where it is none."""
    match = _KEY.match(vkey.strip())
    material = _decode(match[3]) if match else b""
    if not match or not material:
        raise NoteError(f"not a key: {vkey[:60]!r}")
    key = Key(match[1], material[0], material[1:])
    if len(key.public) != OCTETS.get(key.kind, (-1,))[0] or key.id.hex() != match[2]:
        raise NoteError(f"not a key of a known kind, or its id is wrong: {vkey[:60]!r}")
    if (key.public[:-1] + bytes([key.public[-1] & 0x7F])).hex() in _SMALL_ORDER:
        raise NoteError("a key of small order: anybody can sign with it")
    return key


def parse_note(data: bytes) -> Checkpoint:
    """Take a signed checkpoint apart; raise NoteError where it is malformed."""
    try:
        decoded = data[: NOTE_BYTES_MAX + 1].decode()
    except UnicodeDecodeError:
        raise NoteError("the note is not UTF-8") from None
    text, blank, tail = decoded.rpartition("\n\n")
    lines = tail.split("\n")
    if not blank or lines.pop() or _CONTROL.search(decoded):
        raise NoteError("the note is malformed")
    if len(data) > NOTE_BYTES_MAX or len(lines) > SIGNATURES_MAX:
        raise NoteError("the note is too long")
    origin, size, root = [*text.split("\n"), "", "", ""][:3]
    named = 0 < len(origin.encode()) <= ORIGIN_BYTES_MAX
    if not named or not _SIZE.match(size) or len(_decode(root)) != HASH_BYTES:
        raise NoteError("the note is not a checkpoint")
    signatures = []
    for match in map(_SIGNATURE.match, lines):
        signature = _decode(match[2]) if match else b""
        if not match or len(signature) <= KEY_ID_BYTES:
            raise NoteError("a signature line is malformed")
        signatures.append((match[1], signature[:KEY_ID_BYTES], signature[KEY_ID_BYTES:]))
    return Checkpoint(origin, int(size), _decode(root), (text + "\n").encode(), signatures)


def verified_by(head: Checkpoint, key: Key) -> int | None:
    """Return when a key has signed a note (POSIX seconds; 0: its kind tells no time); None if it has not.
    Raise NoteError for a signature that claims to be this key's and is not."""
    time, (_, start, end) = None, OCTETS[key.kind]
    for signature in [value for *by, value in head.signatures if by == [key.name, key.id]]:
        stamp, value = signature[:start], signature[start:]
        time = int.from_bytes(stamp, "big")
        try:
            if len(signature) != end:
                raise NoteError(f"the signature of {key.name} has the wrong length")
            if key.kind == MLDSA44:  # tlog-cosignature, `cosigned_message`: the tree from leaf 0 on
                names = [bytes([len(name)]) + name for name in (key.name.encode(), head.origin.encode())]
                tree = bytes(8) + head.size.to_bytes(8, "big") + head.root
                message = b"subtree/v1\n\0" + names[0] + stamp + names[1] + tree
                MLDSA44PublicKey.from_public_bytes(key.public).verify(value, message)
            else:
                timed = b"" if key.kind == ED25519 else b"cosignature/v1\ntime %d\n" % time
                Ed25519PublicKey.from_public_bytes(key.public).verify(value, timed + head.text)
        except (InvalidSignature, ValueError):
            kind = "ML-DSA-44" if key.kind == MLDSA44 else "Ed25519"
            raise NoteError(f"the {kind} signature of {key.name} is not valid") from None
    return time


def _decode(encoded: str) -> bytes:
    """Decode the one form of base64; empty where it is something else."""
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except ValueError:
        return b""
    return decoded if base64.b64encode(decoded).decode() == encoded else b""
