"""A secret sealed with a passphrase: Argon2id (RFC 9106) makes the wrapping key.

`version (1) || passes (4) || memory in KiB (4) || lanes (1) || salt (16) || wrapped secret`. The cost
parameters stand beside the ciphertext, so that they can be raised later, and are bound to it.
"""

import os
import struct
from typing import Final, NamedTuple

from argon2.low_level import Type, hash_secret_raw

from postkeep.base.errors import IntegrityError, RefusedError
from postkeep.crypto.wrap import KEY_BYTES, Wrapper

VERSION: Final = 0x01
SALT_BYTES: Final = 16  # RFC 9106 section 3.1
MEMORY_KIB_MAX: Final = 4 * 1024 * 1024
"""4 GiB: the most that an altered header can make us allocate."""
PASSES_MAX: Final = 64
LANES_MAX: Final = 16

_HEADER: Final = struct.Struct(">BIIB16s")


class Cost(NamedTuple):
    """What one guess costs: passes over memory, memory in KiB, lanes.

    The defaults are the second recommended option of RFC 9106 section 4.
    """

    passes: int = 3
    memory_kib: int = 64 * 1024
    lanes: int = 4


def seal(passphrase: bytes, secret: bytes, path: bytes, cost: Cost | None = None) -> bytes:
    """Seal a secret with a passphrase, bound to its path. Takes as long as `cost` says."""
    cost = cost or Cost()
    header = _HEADER.pack(VERSION, cost.passes, cost.memory_kib, cost.lanes, os.urandom(SALT_BYTES))
    return header + _wrapper(passphrase, header).wrap(secret, header + path)


def unseal(passphrase: bytes, sealed: bytes, path: bytes) -> bytes:
    """Return the secret.

    RefusedError for a wrong passphrase (which an altered file can't be told from), IntegrityError for
    what is not a sealed secret at all.
    """
    header = sealed[: _HEADER.size]
    wrapper = _wrapper(passphrase, header)
    try:
        return wrapper.unwrap(sealed[_HEADER.size :], header + path)
    except IntegrityError as exc:
        raise RefusedError(
            "the passphrase does not open the secret",
            code="wrong_passphrase",
            public_text="The passphrase is wrong, or the sealed file was changed.",
        ) from exc


def _wrapper(passphrase: bytes, header: bytes) -> Wrapper:
    if len(header) != _HEADER.size:
        raise IntegrityError("a sealed secret is cut short")
    version, passes, memory_kib, lanes, salt = _HEADER.unpack(header)
    limits = 0 < passes <= PASSES_MAX and 0 < lanes <= LANES_MAX and 8 * lanes <= memory_kib <= MEMORY_KIB_MAX
    if version != VERSION or not limits:
        raise IntegrityError("a sealed secret has an unknown version or impossible costs")
    return Wrapper(hash_secret_raw(passphrase, salt, passes, memory_kib, lanes, KEY_BYTES, Type.ID))
