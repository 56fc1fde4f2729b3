"""Identifiers: sixteen bytes, unguessable, roughly in order of time.

The first 48 bits are milliseconds since the epoch, so that rows made together lie together in an index;
the other 80 bits are random. On the wire and in the database an identifier is its sixteen bytes; in text
(logs, the ledger, the command line) it is 32 hexadecimal digits.
"""

import secrets
import time
from typing import Final, NewType

TenantId = NewType("TenantId", bytes)
PrincipalId = NewType("PrincipalId", bytes)
SessionId = NewType("SessionId", bytes)
MailboxId = NewType("MailboxId", bytes)
BodyId = NewType("BodyId", bytes)
EpochId = NewType("EpochId", bytes)

ID_BYTES: Final = 16
NOBODY: Final = bytes(ID_BYTES)
"""The tenant of things that belong to the installation, and the principal of things done by no user."""


def new_id() -> bytes:
    """Make a new identifier: 48 bits of milliseconds, 80 bits of randomness."""
    return int(time.time() * 1000).to_bytes(6, "big") + secrets.token_bytes(10)


def parse_id(text: str) -> bytes:
    """Read an identifier from its 32 hexadecimal digits; raise ValueError for anything else."""
    value = bytes.fromhex(text)
    if len(value) != ID_BYTES or len(text) != 2 * ID_BYTES:
        raise ValueError("an identifier is 32 hexadecimal digits")
    return value
