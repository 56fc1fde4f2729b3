"""Signatures over checkpoints beyond plain Ed25519: ML-DSA-44 by the log itself, cosignatures by witnesses.

Source: C2SP tlog-cosignature (types 0x04 and 0x06), C2SP signed-note. Every such signature carries the time
at which it was made. The ML-DSA-44 form signs a structure of its own, not the note's text, so a checkpoint
signed with it has no extension lines.
"""

from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from postkeep.base.errors import IntegrityError
from postkeep.crypto import ed25519
from postkeep.crypto.note import (
    Checkpoint,
    format_checkpoint,
    key_id,
    note_signatures,
    open_checkpoint,
    peek_note,
    signature_line,
)

COSIGNATURE_ED25519: Final = 0x04
MLDSA44: Final = 0x06
MLDSA44_KEY_BYTES: Final = 1312
MLDSA44_SIGNATURE_BYTES: Final = 2420
TIMESTAMP_MAX: Final = 2**63 - 1
"""Seconds since the epoch; the format allows no later time."""

_TIME_BYTES: Final = 8
_LABEL: Final = b"subtree/v1\n\x00"
_NAME_BYTES_MAX: Final = 255


def mldsa_message(signer: str, timestamp: int, checkpoint: Checkpoint) -> bytes:
    """Return what an ML-DSA-44 signature over a checkpoint signs: the `cosigned_message` of the format.

    Raises ValueError for names that do not fit it.
    """
    names = [signer.encode(), checkpoint.origin.encode()]
    if not all(0 < len(name) <= _NAME_BYTES_MAX for name in names) or not 0 <= timestamp <= TIMESTAMP_MAX:
        raise ValueError("a signer's or log's name has 1 to 255 octets, and times are not negative")
    return b"".join(
        (
            _LABEL,
            bytes([len(names[0])]),
            names[0],
            timestamp.to_bytes(_TIME_BYTES, "big"),
            bytes([len(names[1])]),
            names[1],
            bytes(_TIME_BYTES),  # the tree's first leaf
            checkpoint.size.to_bytes(_TIME_BYTES, "big"),
            checkpoint.root,
        )
    )


def mldsa_line(
    checkpoint: Checkpoint, signer: str, public_key: bytes, sign: Callable[[bytes], bytes], timestamp: int
) -> bytes:
    """Return the signature line that `signer` puts under a checkpoint."""
    signature = sign(mldsa_message(signer, timestamp, checkpoint))
    identity = key_id(signer, public_key, MLDSA44)
    return signature_line(signer, identity, timestamp.to_bytes(_TIME_BYTES, "big") + signature)


def check_cosignature(note: bytes, checkpoint: Checkpoint, signer: str, kind: int, public_key: bytes) -> int:
    """Check a signer's timestamped signature in a note; return its time, seconds since the epoch.

    `kind`: COSIGNATURE_ED25519 or MLDSA44. Raises IntegrityError if there is none, or one is not good.
    """
    times = []
    for signature in note_signatures(note, signer, key_id(signer, public_key, kind)):
        timestamp = int.from_bytes(signature[:_TIME_BYTES], "big")
        try:
            if kind == MLDSA44:
                message = mldsa_message(signer, timestamp, checkpoint)
                MLDSA44PublicKey.from_public_bytes(public_key).verify(signature[_TIME_BYTES:], message)
            else:
                message = f"cosignature/v1\ntime {timestamp}\n".encode() + peek_note(note)
                ed25519.public_key(public_key).verify(signature[_TIME_BYTES:], message)
        except (InvalidSignature, ValueError):
            raise IntegrityError(f"the checkpoint's signature by {signer} is not valid") from None
        times.append(timestamp)
    if not times or max(times) > TIMESTAMP_MAX:
        raise IntegrityError(f"the checkpoint has no signature of this kind by {signer}")
    return max(times)


def sign_checkpoint(
    checkpoint: Checkpoint,
    ed25519_key: tuple[bytes, Callable[[bytes], bytes]],
    mldsa_key: tuple[bytes, Callable[[bytes], bytes]],
    timestamp: int,
) -> bytes:
    """Return a log's own checkpoint: a note with one Ed25519 and one ML-DSA-44 signature, in this order.

    Each key is its public half and the function that signs with the other.
    """
    text = format_checkpoint(checkpoint)
    public_key, sign = ed25519_key
    first = signature_line(checkpoint.origin, key_id(checkpoint.origin, public_key), sign(text))
    return b"".join((text, b"\n", first, mldsa_line(checkpoint, checkpoint.origin, *mldsa_key, timestamp)))


def open_both(
    note: bytes, origin: str, public_key: bytes, mldsa_key: bytes, *, required: bool = True
) -> Checkpoint:
    """Return the checkpoint in a note that both of the log's own keys have signed; IntegrityError otherwise.

    Not `required`: a note from before the second key may lack its signature; one that is there must be good.
    """
    checkpoint = open_checkpoint(note, origin, public_key)
    if required or note_signatures(note, origin, key_id(origin, mldsa_key, MLDSA44)):
        check_cosignature(note, checkpoint, origin, MLDSA44, mldsa_key)
    return checkpoint
