"""What a witness keeps on disk: its keys' seeds, the logs that it knows, the last head signed of each.

`witness.json` (0600): name and seeds, sealed or not. `logs/<id>/log.json`: a log's origin and keys;
`logs/<id>/checkpoint`: the signed note of the last head cosigned; `logs/<id>/forks/`: heads that contradict
it, as evidence. A head is replaced in one step and durable before its cosignature is given: whatever happens,
none is rolled back.
"""

import fcntl
import hashlib
import os
import re
from pathlib import Path
from typing import Final

import msgspec

from postkeep.base.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from postkeep.base.files import sync_directory, write_file
from postkeep.stores.ledger_tiles import DIRECTORY_MODE, FILE_MODE

FORKS_MAX: Final = (
    64  # heads kept as evidence for one log: one is enough, and a sender must not fill the disk
)
LOGS_MAX: Final = 10_000  # logs of one witness; each is a directory

_NAME: Final = re.compile(r"[!-*,-~]{1,255}\Z")


class KeptWitness(msgspec.Struct, frozen=True):
    """The witness itself, as it lies in `witness.json`: seeds in hexadecimal, or sealed."""

    name: str
    ed25519_seed: str = ""
    mldsa44_seed: str = ""
    sealed: bytes = b""
    """Both seeds, one after the other, sealed with a passphrase."""
    keys: tuple[str, ...] = ()
    """With sealed seeds the verifier keys, which can be shown without the passphrase."""


class KnownLog(msgspec.Struct, frozen=True):
    """A log whose heads are signed."""

    origin: str
    keys: tuple[str, ...]
    """Verifier keys, `name+id+base64`; a head must be signed by all of them."""


class WitnessDirectory:
    """The files of one witness. Callers see to it that one thread at a time works on one log."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self, witness: KeptWitness) -> None:
        """Make the directory; ConflictError if a witness lives there already."""
        if not _NAME.match(witness.name):
            raise InvalidInputError(
                public_text="A witness's name is like witness.example/w1: no spaces, no plus, ASCII."
            )
        self._path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        path = self._path / "witness.json"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        except FileExistsError:
            raise ConflictError(public_text=f"There is a witness in {self._path} already.") from None
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(witness))
            file.flush()
            os.fsync(descriptor)
        (self._path / "logs").mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        sync_directory(self._path)

    def hold(self) -> int:
        """Keep others from serving it too, until this process ends; ConflictError where one does already."""
        descriptor = os.open(self._path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise ConflictError(public_text="Another process serves this witness already.") from None
        return descriptor

    def witness(self) -> KeptWitness:
        """Read who this is; NotFoundError where nobody is."""
        try:
            return msgspec.json.decode((self._path / "witness.json").read_bytes(), type=KeptWitness)
        except FileNotFoundError:
            raise NotFoundError(
                public_text=f"There is no witness in {self._path}. Make one: postkeep witness init"
            ) from None

    def add_log(self, log: KnownLog) -> None:
        """Know a log from now on, or know it by other keys; its last head stays."""
        if len(self.logs()) >= LOGS_MAX:
            raise ConflictError(public_text=f"A witness knows at most {LOGS_MAX} logs.")
        place = self._place(log.origin)
        place.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        write_file(place / "log.json", msgspec.json.encode(log))
        sync_directory(place.parent)

    def logs(self) -> list[KnownLog]:
        """List the logs."""
        found = sorted((self._path / "logs").glob("*/log.json"))
        return sorted((self._decode(path) for path in found), key=lambda log: log.origin)

    def log(self, origin: str) -> KnownLog | None:
        """Find a log by its origin."""
        path = self._place(origin) / "log.json"
        return self._decode(path) if path.is_file() else None

    def head(self, origin: str) -> bytes:
        """Return the note last cosigned; empty where none was."""
        path = self._place(origin) / "checkpoint"
        return path.read_bytes() if path.is_file() else b""

    def set_head(self, origin: str, note: bytes) -> None:
        """Replace the note last cosigned; durable when this returns. UnavailableError where it can't be."""
        place = self._place(origin)
        try:
            write_file(place / "checkpoint", note)
        except OSError as error:
            raise UnavailableError(f"the head can not be stored: errno {error.errno}") from error

    def keep_fork(self, origin: str, note: bytes) -> None:
        """Keep a signed head that contradicts the last one."""
        place = self._place(origin) / "forks"
        place.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        name = hashlib.sha256(note.partition(b"\n\n")[0]).hexdigest()
        if len(os.listdir(place)) < FORKS_MAX or (place / name).exists():  # noqa: PTH208 - only their number
            write_file(place / name, note)

    def forks(self, origin: str) -> int:
        """Count the heads that contradict what was signed."""
        place = self._place(origin) / "forks"
        return len(list(place.iterdir())) if place.is_dir() else 0

    def _place(self, origin: str) -> Path:
        return self._path / "logs" / hashlib.sha256(origin.encode()).hexdigest()[:32]

    @staticmethod
    def _decode(path: Path) -> KnownLog:
        return msgspec.json.decode(path.read_bytes(), type=KnownLog)
