"""What a broken history of the ledger was found with, kept over a restart of kms.

Approvals are for exactly two heads. The ledger grows while they are collected, so the head that it has shown
first is written down. The file frees nothing and holds nothing back: that does the head in the database.
"""

from pathlib import Path
from typing import Final

import msgspec
import structlog

from postkeep.base.files import remove_file, write_file
from postkeep.services.kms.restored_api import BrokenHistory
from postkeep.services.ledger.api import TreeHead
from postkeep.stores.kept_checkpoint import set_aside_checkpoint

FILE_NAME: Final = "ledger.broken"
"""In the state directory of kms."""
FILE_BYTES_MAX: Final = 4096
"""Octets of that file: two heads with their origins."""

_log = structlog.get_logger(__name__)


class HistoryFile:
    """The file. Its methods wait for the disk: call them from threads."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME

    def read(self) -> BrokenHistory | None:
        """Return what was written; None where there is nothing of use: then the heads are named anew."""
        try:
            with self._path.open("rb") as file:
                return msgspec.json.decode(file.read(FILE_BYTES_MAX), type=BrokenHistory)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            _log.warning("broken_history_file_damaged", path=str(self._path))
            return None

    def write(self, history: BrokenHistory) -> None:
        """Write it down durably."""
        write_file(self._path, msgspec.json.encode(history), 0o600)

    def give_up(self, lost: TreeHead) -> None:
        """Put the note of the lost head aside, for auditors, so that the next one does not replace it."""
        set_aside_checkpoint(self._path.parent, lost.size)

    def remove(self) -> None:
        """Forget it; harmless to repeat."""
        remove_file(self._path)
