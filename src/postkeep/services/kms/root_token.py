"""The root key under a key in a PKCS#11 token (`root.pkcs11`)."""

from pathlib import Path

import msgspec

from postkeep.base.clock import Clock, SystemClock
from postkeep.base.errors import IntegrityError, InvalidInputError
from postkeep.base.files import write_file
from postkeep.base.secret import Secret
from postkeep.crypto.context import context
from postkeep.services.kms.pkcs11 import Token, TokenPlace
from postkeep.services.kms.root_kinds import FILE_NAMES, RootKind, TokenFile, read_token


class TokenSeal:
    """The token's key wraps the root key; the PIN opens the token at each start."""

    def __init__(
        self,
        state_dir: Path,
        place: TokenPlace,
        pin: Secret[bytes],
        name: str = FILE_NAMES[RootKind.PKCS11],
        clock: Clock | None = None,
    ) -> None:
        self._path = state_dir / name
        self._place = place
        self._pin = pin
        self._clock = clock or SystemClock()

    def exists(self) -> bool:
        """Whether the sealed file is there."""
        return self._path.exists()

    def seal(self, root: Secret[bytes]) -> None:
        """Write the key sealed, making the token's key unless it has one of this name."""
        token = self._token()
        try:
            token.ensure_key()
            serial = token.serial()
            made_ms = self._clock.now_ms()
            path = _path(made_ms, serial, self._place.key_label)
            made = TokenFile(
                version=1,
                made_ms=made_ms,
                token=self._place.token,
                serial=serial,
                key_label=self._place.key_label,
                wrapped=token.wrap(root.reveal(), path),
            )
        finally:
            token.close()
        write_file(self._path, msgspec.json.encode(made), 0o600)

    def open(self) -> Secret[bytes]:
        """Have the token open the sealed file; TokenError says what is wrong with the token."""
        file = read_token(self._path)
        token = self._token()
        try:
            return Secret(token.unwrap(file.wrapped, _path(file.made_ms, file.serial, file.key_label)))
        except IntegrityError as exc:
            text = (
                f"The key {self._place.key_label!r} in the token {self._place.token!r} does not open the "
                f"root key: it is another key, or {self._path.name} was changed. The token that sealed it "
                f"has the serial number {file.serial}."
            )
            raise IntegrityError(text, code="root_key", public_text=text) from exc
        finally:
            token.close()

    def _token(self) -> Token:
        if not self._place.module or not self._place.token:
            raise InvalidInputError(
                code="bad_configuration",
                public_text="A root key in a token needs `module` and `token` under [keys.pkcs11].",
            )
        if not self._pin.reveal():
            raise InvalidInputError(
                code="no_pin", public_text="The root key is sealed by a token, and no PIN was given."
            )
        return Token(self._place, self._pin)


def _path(made_ms: int, serial: str, key_label: str) -> bytes:
    return context("root key in token", made_ms, serial, key_label)
