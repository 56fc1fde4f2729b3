"""A key that never leaves its PKCS#11 token, and what it wraps.

The key is AES-256, sensitive and not extractable, made in the token. What it wraps is
`version (1) || nonce (12) || AES-GCM ciphertext`, bound to a path, as in `crypto.wrap`.

The module is native code of somebody else: it is loaded after the fork, in the process that uses it, and
every call runs in one thread of its own with a deadline, so that a token which hangs takes nothing with it.
"""

import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import pkcs11
from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, ObjectClass, TokenFlag

from postkeep.base.errors import IntegrityError, PostkeepError, UnavailableError
from postkeep.base.secret import Secret

VERSION: Final = 0x01
NONCE_BYTES: Final = 12
TAG_BITS: Final = 128
KEY_BITS: Final = 256
OVERHEAD_BYTES: Final = 1 + NONCE_BYTES + TAG_BITS // 8
CALL_SECONDS_MAX: Final = 15.0
"""A network token answers in some hundred milliseconds, a login on a card in a few seconds."""

T = TypeVar("T")


class TokenError(UnavailableError):
    """The token can't be used; the text says why and what to do. Trying again by itself will not help."""

    code = "token"
    temporary = False


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """Where a key is."""

    module: str
    """The path of the PKCS#11 module."""
    token: str
    """The token's label."""
    key_label: str


class Token:
    """One key in one token. Methods block (milliseconds, at most CALL_SECONDS_MAX); any thread may call.

    They raise TokenError with the code `token_module`, `token_absent`, `token_pin`, `token_locked`,
    `token_key`, `token_hung` or `token_failed`.
    """

    def __init__(
        self, place: TokenPlace, pin: Secret[bytes], *, seconds_max: float = CALL_SECONDS_MAX
    ) -> None:
        self.place = place
        self._pin = pin
        self._seconds_max = seconds_max
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], _Answer] | None] = queue.SimpleQueue()
        self._worker: threading.Thread | None = None
        self._hung = False
        self._session: Any = None
        self._key: Any = None
        self._lock = threading.Lock()

    def ensure_key(self) -> None:
        """Make the key in the token unless it is there."""
        self._call(self._ensure_key)

    def serial(self) -> str:
        """Return the token's serial number, hexadecimal or as it is printed."""
        return self._call(lambda: _text(self._find_token().serial))

    def look_again(self) -> None:
        """Have the module look at its tokens anew: one that was taken away is noticed."""
        self._call(self._look_again)

    def wrap(self, secret: bytes, path: bytes) -> bytes:
        """Wrap a secret under the token's key, bound to its path."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._call(lambda: self._with_key("encrypt", secret, nonce, path))
        return bytes([VERSION]) + nonce + sealed

    def unwrap(self, wrapped: bytes, path: bytes) -> bytes:
        """Return the secret; IntegrityError unless this key wrapped it for this path."""
        if len(wrapped) < OVERHEAD_BYTES or wrapped[0] != VERSION:
            raise IntegrityError("not a token's wrapped key of this version")
        nonce, sealed = wrapped[1 : 1 + NONCE_BYTES], wrapped[1 + NONCE_BYTES :]
        return self._call(lambda: self._with_key("decrypt", sealed, nonce, path))

    def close(self) -> None:
        """Log out and end the thread; a thread that hangs is left to itself."""
        if self._worker is not None and not self._hung:
            self._jobs.put((self._forget_session, _Answer()))
            self._jobs.put(None)
            self._worker.join(self._seconds_max)
            self._worker = None

    # --- in the worker's thread ---

    def _with_key(self, operation: str, data: bytes, nonce: bytes, path: bytes) -> bytes:
        """Encrypt or decrypt; a session that the token has dropped meanwhile is opened once more."""
        for again in (False, True):
            try:
                key = self._open_key()
                act = getattr(key, operation)
                return bytes(
                    act(data, mechanism=Mechanism.AES_GCM, mechanism_param=GCMParams(nonce, path, TAG_BITS))
                )
            except _STALE as exc:
                self._forget_session()
                if again:
                    raise _failed(exc) from exc
            except _REFUSES_DATA as exc:
                if operation == "decrypt":
                    raise IntegrityError("a token's wrapped key fails its authentication") from exc
                raise _failed(exc) from exc
        raise AssertionError("unreachable")

    def _ensure_key(self) -> None:
        try:
            self._open_key()
        except TokenError as error:
            if error.code != "token_key":
                raise
            self._open_session(writing=True).generate_key(
                KeyType.AES,
                KEY_BITS,
                label=self.place.key_label,
                store=True,
                capabilities=pkcs11.MechanismFlag.ENCRYPT | pkcs11.MechanismFlag.DECRYPT,
                template={
                    Attribute.SENSITIVE: True,
                    Attribute.EXTRACTABLE: False,
                    Attribute.PRIVATE: True,
                    Attribute.MODIFIABLE: False,
                },
            )
            self._forget_session()
            self._open_key()

    def _open_key(self) -> Any:
        if self._key is None:
            session = self._open_session(writing=False)
            label = self.place.key_label
            try:
                key = session.get_key(object_class=ObjectClass.SECRET_KEY, key_type=KeyType.AES, label=label)
            except pkcs11.NoSuchKey as exc:
                raise _error(
                    "token_key", f"The token {self.place.token!r} has no AES key {label!r}."
                ) from exc
            except pkcs11.MultipleObjectsReturned as exc:
                raise _error(
                    "token_key", f"The token {self.place.token!r} has several keys named {label!r}."
                ) from exc
            if key[Attribute.EXTRACTABLE] or not key[Attribute.SENSITIVE]:
                raise _error(
                    "token_key", f"The key {label!r} may leave its token: make one that is not extractable."
                )
            self._key = key
        return self._key

    def _open_session(self, *, writing: bool) -> Any:
        if self._session is not None and not writing:
            return self._session
        self._forget_session()
        token = self._find_token()
        try:
            self._session = token.open(rw=writing, user_pin=self._pin.reveal().decode("utf-8", "replace"))
        except (pkcs11.PinIncorrect, pkcs11.PinLenRange, pkcs11.PinInvalid) as exc:
            raise _error("token_pin", self._wrong_pin()) from exc
        except pkcs11.PinLocked as exc:
            raise _error("token_locked", self._locked()) from exc
        return self._session

    def _look_again(self) -> None:
        self._forget_session()
        pkcs11.unload(self.place.module)

    def _find_token(self) -> Any:
        place = self.place
        try:
            library = pkcs11.lib(place.module)
        except (pkcs11.PKCS11Error, RuntimeError, OSError) as exc:
            raise _error(
                "token_module", f"The PKCS#11 module {place.module} can't be loaded: {exc}."
            ) from exc
        try:
            return library.get_token(token_label=place.token)
        except pkcs11.NoSuchToken as exc:
            labels = [token.label for token in library.get_tokens()]
            seen = ", ".join(repr(label) for label in labels) or "none"
            raise _error(
                "token_absent",
                f"No token is labelled {place.token!r} ({place.module} sees: {seen}). "
                "Insert it, or correct the label.",
            ) from exc

    def _wrong_pin(self) -> str:
        try:
            flags = pkcs11.lib(self.place.module).get_token(token_label=self.place.token).flags
        except pkcs11.PKCS11Error:
            flags = TokenFlag(0)
        if flags & TokenFlag.USER_PIN_LOCKED:
            return self._locked()
        if flags & TokenFlag.USER_PIN_FINAL_TRY:
            left = "The next wrong one locks it."
        elif flags & TokenFlag.USER_PIN_COUNT_LOW:
            left = "Wrong PINs were given before: few tries are left until it locks."
        else:
            left = "A token locks itself after some wrong ones."
        return f"The PIN of the token {self.place.token!r} is wrong. {left}"

    def _locked(self) -> str:
        return (
            f"The token {self.place.token!r} is locked after too many wrong PINs; "
            "its security officer can unlock it."
        )

    def _forget_session(self) -> None:
        session, self._session, self._key = self._session, None, None
        if session is not None:
            try:
                session.close()
            except pkcs11.PKCS11Error:
                return  # it is gone already

    # --- around it ---

    def _call(self, work: Callable[[], T]) -> T:
        with self._lock:
            if self._hung:
                raise self._hangs()
            if self._worker is None:
                self._worker = threading.Thread(target=self._run, name="pkcs11", daemon=True)
                self._worker.start()
            answer = _Answer()
            self._jobs.put((work, answer))
            if not answer.done.wait(self._seconds_max):
                self._hung = True
                raise self._hangs()
        if answer.error is not None:
            raise answer.error
        result: T = answer.value
        return result

    def _hangs(self) -> TokenError:
        return _error(
            "token_hung",
            f"The token {self.place.token!r} did not answer within {self._seconds_max:.0f} seconds.",
        )

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, answer = job
            try:
                answer.value = work()
            except PostkeepError as error:
                answer.error = error
            except Exception as error:  # noqa: BLE001 - somebody else's code: whatever it raises is its failure
                answer.error = _failed(error)
            answer.done.set()


class _Answer:
    """What a call has come to."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.value: Any = None
        self.error: PostkeepError | None = None


_STALE: Final = (
    pkcs11.SessionHandleInvalid,
    pkcs11.SessionClosed,
    pkcs11.UserNotLoggedIn,
    pkcs11.ObjectHandleInvalid,
    pkcs11.KeyHandleInvalid,
    pkcs11.DeviceRemoved,
)
_REFUSES_DATA: Final = (
    pkcs11.EncryptedDataInvalid,
    pkcs11.EncryptedDataLenRange,
    pkcs11.GeneralError,
    pkcs11.DataInvalid,
)


def _error(code: str, text: str) -> TokenError:
    return TokenError(text, code=code, public_text=text)


def _failed(error: Exception) -> TokenError:
    name = type(error).__name__
    return _error("token_failed", f"The token has failed: {name}.")


def _text(serial: bytes | str) -> str:
    return serial if isinstance(serial, str) else serial.decode("ascii", "replace").strip()
