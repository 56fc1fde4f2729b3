"""The file of credentials for the backup target: read by the supervisor, whose user alone may read it."""

from pathlib import Path
from typing import Final

from postkeep.base.errors import InvalidInputError
from postkeep.node.config import Config

FILE_BYTES_MAX: Final = 16 * 1024
"""Three short strings; anything longer is something else."""


def read_credentials(config: Config) -> bytes:
    """Return the file's octets; empty where none is configured.

    InvalidInputError (`backup_credentials`) if it can't be read, or others can read it too.
    """
    if not config.backup.credentials:
        return b""
    path = Path(config.backup.credentials)
    try:
        if path.stat().st_mode & 0o077:
            raise _unfit(f"{path} may be read by others than its owner; make its mode 0600.")
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX)
    except OSError as exc:
        raise _unfit(f"{path} can't be read: {exc.strerror}.") from exc


def _unfit(text: str) -> InvalidInputError:
    return InvalidInputError(code="backup_credentials", public_text=text)
