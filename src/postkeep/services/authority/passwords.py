"""Passwords: Argon2id hashes in a bounded pool of threads, SCRAM keys beside them, app passwords.

A login flood must not starve anybody: at most `THREADS` hashes run, and networks take turns.
"""

import hmac
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import argon2
import msgspec
from argon2.exceptions import Argon2Error, InvalidHashError

from postkeep.base.errors import InvalidInputError, RefusedError
from postkeep.crypto.paseto import pae
from postkeep.protocols.sasl import PASSWORD_BYTES_MAX, SaslError
from postkeep.protocols.sasl.saslprep import saslprep
from postkeep.protocols.sasl.scram import ScramKeys, derive_keys
from postkeep.services.authority.fair_pool import FairPool

MEMORY_KIB: Final = 19 * 1024  # OWASP's profile of Argon2id: 19 MiB, two passes, one lane; 25 ms
PASSES: Final = 2
LANES: Final = 1

THREADS: Final = max(1, min(4, (os.cpu_count() or 1) - 1))
"""Hashes at once: one core is left for everything else."""

PASSWORD_CHARACTERS_MIN: Final = 8  # NIST SP 800-63B section 5.1.1.2

VERIFIED_SECONDS: Final = 120
"""How long a password that was right is known without hashing it again: clients open several connections.
Only a keyed digest is kept, in memory, under a key of this process."""

VERIFIED_MAX: Final = 16_384
"""Digests that are kept, 200 bytes each: ten thousand people whose clients lose their line twice."""

_LETTERS: Final = "abcdefghijkmnpqrstuvwxyz"  # none that are mistaken for digits
APP_PASSWORD_GROUPS: Final = 4
APP_PASSWORD_GROUP: Final = 5  # 20 of 24 letters: 91 bits, so that a fast keyed hash is enough


class Credential(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed of a password."""

    verifier: bytes
    """`password`: the Argon2id hash; `app` and `token`: a keyed hash."""
    stored_key: bytes
    server_key: bytes
    """SCRAM-SHA-256 keys; tokens have none."""
    iterations: int
    name: str = ""
    """App passwords and tokens: what the owner calls it."""
    protocols: tuple[str, ...] = ()
    """App passwords and tokens: where it is good; empty: everywhere."""
    expires_ms: int = 0
    """Tokens: from when on it is good no more."""

    @property
    def scram(self) -> ScramKeys:
        """The keys for SCRAM."""
        return ScramKeys(self.stored_key, self.server_key)


class Passwords:
    """Makes and checks credentials off the event loop."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._hasher = argon2.PasswordHasher(PASSES, MEMORY_KIB, LANES)
        self._pool = FairPool(THREADS)
        self._monotonic = monotonic
        self._cache_key = secrets.token_bytes(32)
        self._verified: OrderedDict[bytes, float] = OrderedDict()
        self._decoy_key = secrets.token_bytes(32)
        self._decoy = self._hasher.hash(secrets.token_hex(16))

    def close(self) -> None:
        """Stop the threads."""
        self._pool.close()

    async def make(self, password: str, salt: bytes, iterations: int) -> Credential:
        """Make what is kept of a new password; raise InvalidInputError for one that is too weak or odd."""
        prepared = check_new_password(password)

        def work() -> Credential:
            keys = derive_keys(prepared, salt, iterations)
            return Credential(self._hasher.hash(prepared).encode(), *keys, iterations)

        return await self._pool.run("", work)

    async def make_hash(self, password: str) -> bytes:
        """Return the Argon2id hash of a new password that no SCRAM exchange will use."""
        prepared = check_new_password(password)
        return await self._pool.run("", lambda: self._hasher.hash(prepared).encode())

    async def make_app(
        self, salt: bytes, iterations: int, name: str, protocols: Sequence[str], secret_key: bytes
    ) -> tuple[str, Credential]:
        """Make an app password; return it and what is kept of it."""
        groups = (
            "".join(secrets.choice(_LETTERS) for _ in range(APP_PASSWORD_GROUP))
            for _ in range(APP_PASSWORD_GROUPS)
        )
        password = "-".join(groups)

        def work() -> Credential:
            keys = derive_keys(password, salt, iterations)
            return Credential(app_verifier(secret_key, password), *keys, iterations, name, tuple(protocols))

        return password, await self._pool.run("", work)

    def remembers(self, credential: Credential | None, password: str) -> bool:
        """Whether this password was right for this credential a moment ago."""
        return (
            credential is not None
            and self._verified.get(self._digest(credential.verifier, password), 0.0) > self._monotonic()
        )

    async def check(
        self,
        credential: Credential | None,
        password: str,
        network: str,
        admit: Callable[[], None] = lambda: None,
    ) -> None:
        """Raise RefusedError unless the password is right; None takes as long and is never right.

        `admit` is asked right before the hash is computed, and may raise.
        """
        prepared = prepare_password(password)
        verifier = credential.verifier if credential else self._decoy.encode()
        await self._pool.run(network, lambda: self._verify(verifier, prepared), admit)
        if credential is None:
            raise RefusedError("no such credential", code="refused.credentials")
        self._remember(verifier, password)

    async def check_salted(  # noqa: PLR0917 - a credential is nothing without its salt
        self,
        credential: Credential | None,
        password: str,
        salt: bytes,
        iterations: int,
        network: str,
        admit: Callable[[], None] = lambda: None,
    ) -> None:
        """As `check`, by the SCRAM keys that lie beside the hash: an eighth of the work.

        Whoever has one has the other, and guesses at the cheaper; the costly one slows nobody but us when
        thousands come back at once (docs/adr/0021).
        """
        prepared = prepare_password(password)
        given = await self._pool.run(network, lambda: derive_keys(prepared, salt, iterations), admit)
        wanted = credential.stored_key if credential else self._decoy_key
        if not hmac.compare_digest(given.stored_key, wanted) or credential is None:
            raise RefusedError("the password is wrong", code="refused.credentials")
        self._remember(credential.verifier, password)

    def _remember(self, verifier: bytes, password: str) -> None:
        digest = self._digest(verifier, password)
        self._verified[digest] = self._monotonic() + VERIFIED_SECONDS
        self._verified.move_to_end(digest)
        if len(self._verified) > VERIFIED_MAX:
            self._verified.popitem(last=False)

    def _digest(self, verifier: bytes, password: str) -> bytes:
        return hmac.digest(self._cache_key, pae(verifier, password.encode()), "sha256")

    def _verify(self, verifier: bytes, prepared: str) -> None:
        try:
            self._hasher.verify(verifier.decode(), prepared)
        except (Argon2Error, InvalidHashError) as exc:
            raise RefusedError("the password is wrong", code="refused.credentials") from exc


def app_verifier(secret_key: bytes, password: str) -> bytes:
    """Return the keyed hash of an app password."""
    return hmac.digest(secret_key, password.encode(), "sha256")


def prepare_password(password: str) -> str:
    """Bring a password into its one form (SASLprep); raise RefusedError for what can't be one."""
    try:
        prepared = saslprep(password)
    except SaslError as exc:
        raise RefusedError("not a password", code="refused.credentials") from exc
    if not prepared or len(prepared.encode()) > PASSWORD_BYTES_MAX:
        raise RefusedError("not a password", code="refused.credentials")
    return prepared


def check_new_password(password: str) -> str:
    """Return a new password in its one form; raise InvalidInputError if it can't be used."""
    try:
        prepared = prepare_password(password)
    except RefusedError as exc:
        raise InvalidInputError(public_text="The password has characters that can't be used.") from exc
    if len(prepared) < PASSWORD_CHARACTERS_MIN:
        raise InvalidInputError(
            public_text=f"A password has at least {PASSWORD_CHARACTERS_MIN} characters.",
            code="invalid.password",
        )
    return prepared
