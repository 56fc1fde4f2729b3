"""Public keys of those who sign notes, as they are passed around. Source: C2SP signed-note, verifier keys."""

import base64
import binascii
from typing import Final, NamedTuple

from postkeep.base.errors import IntegrityError, InvalidInputError
from postkeep.crypto import ed25519
from postkeep.crypto.cosignature import COSIGNATURE_ED25519, MLDSA44, MLDSA44_KEY_BYTES, check_cosignature
from postkeep.crypto.note import ED25519, Checkpoint, key_id, open_note

VKEY_CHARS_MAX: Final = 4_096  # characters: an ML-DSA-44 key has 1,800

_KINDS: Final = (ED25519, COSIGNATURE_ED25519, MLDSA44)


class VerifierKey(NamedTuple):
    """A key that signs notes under a name."""

    name: str
    kind: int
    """ED25519 (a log), COSIGNATURE_ED25519 (a witness) or MLDSA44 (either)."""
    public: bytes

    def check(self, note: bytes, checkpoint: Checkpoint) -> None:
        """Raise IntegrityError unless this key has signed the note of this checkpoint."""
        if self.kind == ED25519:
            open_note(note, self.name, self.public)
        else:
            check_cosignature(note, checkpoint, self.name, self.kind, self.public)


def parse_verifier_key(text: str) -> VerifierKey:
    """Read `name+id+base64(kind, key)`; InvalidInputError for anything else, or a key of small order."""
    name, _, rest = text.strip().partition("+")
    identity, _, encoded = rest.partition("+")
    try:
        material = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        material = b""
    key = VerifierKey(name, material[0] if material else 0, material[1:])
    if (
        len(text) > VKEY_CHARS_MAX
        or not name
        or any(character.isspace() for character in name)
        or base64.b64encode(material).decode("ascii") != encoded
        or key.kind not in _KINDS
        or key_id(name, key.public, key.kind).hex() != identity
    ):
        raise InvalidInputError(public_text="A verifier key is name+id+base64, as `ledger key` prints it.")
    try:
        _check_public(key)
    except (ValueError, IntegrityError) as error:
        raise InvalidInputError(public_text=f"The key of {name} can't be used: {error}.") from error
    return key


def _check_public(key: VerifierKey) -> None:
    if key.kind == MLDSA44:
        if len(key.public) != MLDSA44_KEY_BYTES:
            raise ValueError("it has the wrong length")
    else:
        ed25519.public_key(key.public)
