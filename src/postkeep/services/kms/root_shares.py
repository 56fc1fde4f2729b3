"""The root key under a secret that lies in shares with their holders (`root.shares`)."""

from pathlib import Path

import msgspec

from postkeep.base.clock import Clock, SystemClock
from postkeep.base.errors import IntegrityError, InvalidInputError, RefusedError
from postkeep.base.files import write_file
from postkeep.base.secret import Secret
from postkeep.crypto.context import context
from postkeep.crypto.shares import SECRET_BYTES, Roster
from postkeep.crypto.wrap import Wrapper, subkey
from postkeep.services.kms.root_kinds import FILE_NAMES, HolderLine, RootKind, SharesFile, read_shares


class SharesSeal:
    """Opens with the secret that enough of the shares gave; seals with a new one and its roster."""

    def __init__(
        self,
        state_dir: Path,
        secret: Secret[bytes],
        roster: Roster | None = None,
        name: str = FILE_NAMES[RootKind.SHARES],
        clock: Clock | None = None,
    ) -> None:
        self._path = state_dir / name
        self._secret = secret
        self._roster = roster
        self._clock = clock or SystemClock()

    def exists(self) -> bool:
        """Whether the sealed file is there."""
        return self._path.exists()

    def seal(self, root: Secret[bytes]) -> None:
        """Write the key sealed, with the roster of the ceremony."""
        roster = self._roster
        if roster is None:
            raise InvalidInputError(
                code="bad_configuration",
                public_text=(
                    'A first root key can\'t be sealed by shares: start with keys.root = "passphrase", '
                    "then run `postkeep key ceremony`."
                ),
            )
        made = SharesFile(
            version=1,
            made_ms=self._clock.now_ms(),
            ceremony=roster.ceremony,
            threshold=roster.threshold,
            salt=roster.salt,
            holders=tuple(HolderLine(line.number, line.name, line.digest) for line in roster.holders),
            wrapped=b"",
        )
        wrapped = self._wrapper().wrap(root.reveal(), _path(made))
        write_file(self._path, msgspec.json.encode(msgspec.structs.replace(made, wrapped=wrapped)), 0o600)

    def open(self) -> Secret[bytes]:
        """Open the sealed file; RefusedError (`wrong_shares`) if the secret or the roster is another."""
        file = read_shares(self._path)
        try:
            return Secret(self._wrapper().unwrap(file.wrapped, _path(file)))
        except IntegrityError as exc:
            raise RefusedError(
                "the shares do not open the root key",
                code="wrong_shares",
                public_text=f"The shares do not open the root key, or {self._path.name} was changed.",
            ) from exc

    def _wrapper(self) -> Wrapper:
        secret = self._secret.reveal()
        if len(secret) != SECRET_BYTES:
            raise InvalidInputError(
                code="no_shares", public_text="The root key is sealed by shares, and none were given."
            )
        return Wrapper(subkey(secret, context("root shares")))


def _path(file: SharesFile) -> bytes:
    return context("root key in shares", file.made_ms, file.roster().bound())
