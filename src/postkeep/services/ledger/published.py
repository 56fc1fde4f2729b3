"""The signed checkpoints of one log as readers see them: published by kms, cosigned by witnesses.

Works in the log's thread. A cosignature that comes when the log has a newer checkpoint already is kept with
the one that it belongs to, in a file of its own: the newest head that witnesses vouch for.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from postkeep.base.errors import ConflictError, InvalidInputError, UnavailableError
from postkeep.crypto.cosignature import open_both
from postkeep.crypto.note import Checkpoint, add_lines, line_signers, note_lines, open_checkpoint
from postkeep.stores.ledger_log import LedgerLog

RECENT_CHECKPOINTS_MAX: Final = 256  # notes in memory, 1 MB: a witness answers within some minutes
COSIGNATURES_MAX: Final = 32  # lines in one call


def open_own(note: bytes, origin: str, key: bytes, mldsa_key: bytes) -> Checkpoint:
    """Return the checkpoint in a note that kms has signed; where `mldsa_key` is empty by Ed25519 alone."""
    if mldsa_key:
        return open_both(note, origin, key, mldsa_key)
    return open_checkpoint(note, origin, key)


class Published:
    """Publishes checkpoints of a log, and adds witnesses' lines to them."""

    def __init__(self, log: LedgerLog, origin: str) -> None:
        self._log = log
        self._origin = origin
        self._recent: OrderedDict[int, bytes] = OrderedDict()

    def publish(self, checkpoint: Checkpoint, note: bytes) -> None:
        """Store a signed checkpoint; ConflictError unless it fits the log and what was published before."""
        self._check_fits(checkpoint)
        present = self._log.checkpoint_note()
        if present and self._log.checkpoint == checkpoint:
            note = add_lines(note, self._others(present))
        self._store(lambda: self._log.publish(checkpoint, note))
        self._remember(checkpoint.size, note)

    def add(self, size: int, lines: list[str]) -> None:
        """Put witnesses' lines under the checkpoint of this size.

        InvalidInputError for what are no lines of others; ConflictError where no checkpoint of this size
        was published, or not lately.
        """
        if len(lines) > COSIGNATURES_MAX:
            raise InvalidInputError(f"at most {COSIGNATURES_MAX} cosignatures in one call")
        encoded = [line.encode() for line in lines]
        if self._origin in line_signers(encoded):
            raise InvalidInputError("a witness does not sign in the log's own name")
        present = self._log.checkpoint_note()
        current = self._log.checkpoint
        note = present if current is not None and current.size == size else self._recent.get(size)
        if not note:
            raise ConflictError("no checkpoint of this size was published, or not lately")
        witnessed = self._log.witnessed_note()
        if witnessed.startswith(note.partition(b"\n\n")[0] + b"\n\n"):
            note = add_lines(note, self._others(witnessed))
        note = add_lines(note, encoded)
        self._store(lambda: self._log.keep_witnessed(note))
        if current is not None and current.size == size:
            self._store(lambda: self._log.publish(current, note))
        self._remember(size, note)

    def note(self) -> bytes:
        """Return the newest checkpoint with all its lines; empty before the first."""
        return self._log.checkpoint_note()

    def _others(self, note: bytes) -> list[bytes]:
        own = f"\u2014 {self._origin} ".encode()
        return [line for line in note_lines(note) if not line.startswith(own)]

    def _check_fits(self, checkpoint: Checkpoint) -> None:
        known = self._log.checkpoint
        if checkpoint.size > self._log.size:
            raise InvalidInputError("the log is not that long")
        if known is not None and checkpoint.size < known.size:
            raise ConflictError("the checkpoint is older than the one published")
        if checkpoint.root != self._log.root(checkpoint.size):
            raise ConflictError("the checkpoint is not of this log")

    def _remember(self, size: int, note: bytes) -> None:
        self._recent[size] = note
        while len(self._recent) > RECENT_CHECKPOINTS_MAX:
            self._recent.popitem(last=False)

    @staticmethod
    def _store(write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            raise UnavailableError(f"the checkpoint can not be written: errno {error.errno}") from error
