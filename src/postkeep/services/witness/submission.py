"""The body of `add-checkpoint` (C2SP tlog-witness): an old size, a consistency proof, a signed checkpoint."""

import base64
import binascii
import re
from typing import Final, NamedTuple

from postkeep.base.errors import IntegrityError, InvalidInputError, LimitError
from postkeep.crypto.merkle import HASH_BYTES
from postkeep.crypto.note import NOTE_BYTES_MAX, SIZE_DIGITS_MAX, Checkpoint, parse_checkpoint, peek_note

PROOF_LINES_MAX: Final = 63  # the protocol's own limit
BODY_BYTES_MAX: Final = NOTE_BYTES_MAX + 4_096  # octets: a note, and 63 lines of 45 octets with the size

_OLD: Final = re.compile(rb"old (0|[1-9][0-9]*)\Z")


class Submission(NamedTuple):
    """A checkpoint to be cosigned; nothing in it is believed yet."""

    old: int
    proof: list[bytes]
    note: bytes
    checkpoint: Checkpoint


def parse_submission(body: bytes) -> Submission:
    """Take a submission apart; raise InvalidInputError or LimitError."""
    if len(body) > BODY_BYTES_MAX:
        raise LimitError("the submission is too long")
    head, blank, note = body.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    match = _OLD.match(first)
    if not blank or match is None or len(match[1]) > SIZE_DIGITS_MAX:
        raise InvalidInputError("not a submission")
    if len(lines) > PROOF_LINES_MAX:
        raise LimitError("the proof is too long")
    try:
        return Submission(
            int(match[1]), [_hash(line) for line in lines], note, parse_checkpoint(peek_note(note))
        )
    except IntegrityError as error:
        raise InvalidInputError(error.detail) from error


def format_submission(old: int, proof: list[bytes], note: bytes) -> bytes:
    """Write a submission."""
    lines = [f"old {old}", *(base64.b64encode(step).decode("ascii") for step in proof)]
    return "\n".join(lines).encode() + b"\n\n" + note


def _hash(line: bytes) -> bytes:
    try:
        value = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != HASH_BYTES or base64.b64encode(value) != line:
        raise InvalidInputError("a line of the proof is not a hash")
    return value
