"""Where a node lies on the disk, and who owns what of it."""

import contextlib
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postkeep.base.errors import PostkeepError
from postkeep.node.config import Config
from postkeep.node.sandbox.namespace import open_the_way
from postkeep.node.sandbox.process import interpreter_directories
from postkeep.node.supervisor.plan import (
    KEEPERS_GID_OFFSET,
    MODULES,
    POSTGRES_UID_OFFSET,
    UID_BASE_DEFAULT,
    Module,
)

SOCKET_PATH_BYTES_MAX: Final = 107  # sun_path of unix(7), without the final zero
LEDGER_KEY_FILE: Final = "ledger.pub"
LEDGER_MLDSA44_FILE: Final = "ledger-mldsa44.pub"
LEDGER_KEY_FILES: Final = {"ledger": LEDGER_KEY_FILE, "ledger-mldsa44": LEDGER_MLDSA44_FILE}
"""The public key of the ledger's checkpoints, hexadecimal: what `postkeep ledger verify` believes."""
CERTIFICATE_KEY_FILE: Final = "certificate.pub"
"""The public keys of certificates of destruction, hexadecimal: Ed25519, then ML-DSA-44."""
_LONGEST_SOCKET_NAME: Final = "pg/.s.PGSQL.5432"
_RUNTIME_ROOT: Final = Path("/run/postkeep")


class LayoutError(PostkeepError):
    """The data directory can't be used as it is."""

    code = "data_directory"


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one node, resolved."""

    data: Path
    run: Path
    uid_base: int | None
    """None: not root, everything belongs to the one user."""

    @property
    def config_file(self) -> Path:
        """The configuration."""
        return self.data / "postkeep.toml"

    @property
    def postgres(self) -> Path:
        """The node's own database cluster."""
        return self.data / "postgres"

    @property
    def wal_spool(self) -> Path:
        """Where the database leaves its log for the backup worker."""
        return self.data / "postgres-log"

    @property
    def postgres_run(self) -> Path:
        """The directory of the database's socket."""
        return self.run / "pg"

    @property
    def ca_file(self) -> Path:
        """The installation's own certificate authority, for clients to trust."""
        return self.data / "ca.pem"

    def uid(self, module: Module) -> int | None:
        """Return the user id of a module's processes."""
        return None if self.uid_base is None else self.uid_base + module.uid_offset

    @property
    def postgres_uid(self) -> int | None:
        """The user id of the database."""
        return None if self.uid_base is None else self.uid_base + POSTGRES_UID_OFFSET

    @property
    def keepers_gid(self) -> int | None:
        """The group that may make sockets."""
        return None if self.uid_base is None else self.uid_base + KEEPERS_GID_OFFSET

    def state(self, module: Module) -> Path:
        """Return a module's own directory."""
        return self.data / "state" / module.name


def resolve_run(data: Path) -> Path:
    """Return the directory of the sockets as a path short enough for one (it may be a link)."""
    run = data / "run"
    return run.resolve() if run.is_symlink() else run


def open_layout(directory: Path, config: Config, *, serving: bool) -> Layout:
    """Work out the paths; with `serving`, also make them reachable for the modules' users."""
    data = directory.resolve()
    uid_base = (config.node.uid_base or UID_BASE_DEFAULT) if os.geteuid() == 0 else None
    if serving and uid_base is not None:
        configured = [Path(entry.directory) for entry in config.categories.values() if entry.directory]
        if config.backup.target and not config.backup.remote:
            configured.append(Path(config.backup.target))
        open_the_way((data, *interpreter_directories(), *configured))
    _shorten_run(data)
    return Layout(data, resolve_run(data), uid_base)


def prepare(layout: Layout, config: Config) -> None:
    """Make every directory with its owner and mode; harmless to repeat."""
    _directory(layout.data, None, 0o711 if layout.uid_base is not None else 0o700)
    _directory(layout.data / "state", None, 0o711)
    keepers = layout.keepers_gid
    _directory(layout.run, None if keepers is None else (0, keepers), 0o711 if keepers is None else 0o1771)
    _directory(layout.postgres_run, _pair(layout.postgres_uid), 0o711)
    _prepare_backups(layout, config)
    for module in MODULES:
        _directory(layout.state(module), _pair(layout.uid(module)), 0o700)
        for category in module.categories:
            configured = config.categories.get(category)
            if configured is not None and configured.directory:
                _directory(Path(configured.directory), _pair(layout.uid(module)), 0o700)


def _prepare_backups(layout: Layout, config: Config) -> None:
    """Make what the database and the backup worker share, and the target where it is a directory."""
    if not config.backup.target:
        return
    worker = layout.uid(next(module for module in MODULES if module.name == "backup"))
    server = layout.postgres_uid
    owner = None if worker is None or server is None else (server, worker)
    _directory(layout.wal_spool, owner, 0o2770)
    if not config.backup.remote:
        _directory(Path(config.backup.target), _pair(worker), 0o700)


def category_directories(module: Module, config: Config) -> tuple[Path, ...]:
    """Return the directories outside its own that a module writes."""
    if module.name == "backup" and config.backup.target and not config.backup.remote:
        return (Path(config.backup.target),)
    chosen = (config.categories.get(category) for category in module.categories)
    return tuple(Path(entry.directory) for entry in chosen if entry is not None and entry.directory)


def _pair(uid: int | None) -> tuple[int, int] | None:
    return None if uid is None else (uid, uid)


def _directory(path: Path, owner: tuple[int, int] | None, mode: int) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.is_symlink():
            raise LayoutError(public_text=f"{path} is a link; it must be a directory.")
        if owner is not None:
            os.chown(path, *owner)
        path.chmod(mode)
    except OSError as exc:
        raise LayoutError(public_text=f"{path} can't be prepared: {exc.strerror}.") from exc


def _shorten_run(data: Path) -> None:
    """Where the data directory's path is too long for a socket, put the sockets elsewhere behind a link."""
    run = data / "run"
    if len(os.fsencode(run / _LONGEST_SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX or not data.exists():
        return
    root = _RUNTIME_ROOT if os.geteuid() == 0 else Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp")  # noqa: S108 - the last resort; what is made there is checked
    place = root / f"postkeep-{os.geteuid()}-{_short_name(data)}"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = place.lstat()
    if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
        raise LayoutError(public_text=f"{place} belongs to somebody else.")
    with contextlib.suppress(OSError):
        root.chmod(0o711) if root == _RUNTIME_ROOT else None
    if run.is_symlink():
        run.unlink()
    elif run.exists():
        raise LayoutError(public_text=f"{run} is in the way: its path is too long for sockets. Remove it.")
    run.symlink_to(place)


def _short_name(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
