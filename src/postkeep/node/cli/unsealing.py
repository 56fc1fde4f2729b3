"""What a node needs from people to open its root key at its start."""

import getpass
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from postkeep.node.cli import asking
from postkeep.node.cli.output import CommandError, Exit
from postkeep.node.cli.texts import text
from postkeep.node.config import Config
from postkeep.node.supervisor.root_secret import ROOT_SECRET_BYTES_MAX
from postkeep.services.kms.root_kinds import RootKind, Sealed, find_sealed, kind_of, read_shares


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Where it is read from; None: it is asked for on the terminal."""

    passphrase: int | None = None
    shares: int | None = None
    pin: int | None = None


def state_directory(data: Path) -> Path:
    """Return where the sealed root key of a node lies."""
    return data / "state" / "kms"


def sealed_now(data: Path) -> Sealed | None:
    """Return how the root key is sealed; CommandError if only the owner of the node may look."""
    try:
        return find_sealed(state_directory(data))
    except PermissionError as exc:
        raise CommandError(text("error.not_owner", data=data)) from exc


def root_secret(data: Path, config: Config, descriptors: Descriptors) -> tuple[RootKind, bytearray | None]:
    """Return how the root key is sealed (or will be), and what opens it."""
    sealed = sealed_now(data)
    kind = kind_of(config.keys.root, state_directory(data))
    match kind:
        case RootKind.FILE:
            return kind, None
        case RootKind.PASSPHRASE:
            return kind, asking.passphrase(descriptors.passphrase)
        case RootKind.PKCS11:
            return kind, pin(config, descriptors.pin)
        case RootKind.SHARES:
            return kind, _shares(sealed, descriptors.shares)


def pin(config: Config, descriptor: int | None) -> bytearray:
    """Return the token's PIN: from a descriptor, from the file that the configuration names, or asked for."""
    path = config.keys.pkcs11.pin_file
    if descriptor is None and path:
        return _pin_from_file(Path(path))
    if descriptor is None and not sys.stdin.isatty():
        raise CommandError(text("error.no_pin"), Exit.USAGE, "no_terminal")
    if descriptor is None:
        return bytearray(getpass.getpass(text("ask.pin", token=config.keys.pkcs11.token)).encode())
    return asking.passphrase(descriptor)


def _pin_from_file(path: Path) -> bytearray:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise CommandError(text("error.pin_file_mode", path=path), code="pin_file")
            return bytearray(file.read(ROOT_SECRET_BYTES_MAX + 1).rstrip(b"\r\n"))
    except OSError as exc:
        raise CommandError(text("error.pin_file", path=path, why=exc.strerror), code="pin_file") from exc


def _shares(sealed: Sealed | None, descriptor: int | None) -> bytearray | None:
    if sealed is None:
        return None  # kms says that a first key can't be sealed so
    from postkeep.node.cli import ceremony
    from postkeep.node.cli.terminal import Terminal

    roster = read_shares(sealed.path).roster()
    if descriptor is not None:
        return bytearray(ceremony.read_shares(descriptor, roster))
    if not sys.stdin.isatty():
        raise CommandError(text("error.no_shares"), Exit.USAGE, "no_terminal")
    return bytearray(ceremony.gather(Terminal(), roster))
