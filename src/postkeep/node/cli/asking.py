"""Secrets come from a descriptor or from the terminal, never from the command line."""

import getpass
import os
import stat
import sys

from postkeep.base.secret import Secret
from postkeep.node.cli.output import CommandError, Exit
from postkeep.node.cli.texts import text
from postkeep.node.supervisor.root_secret import ROOT_SECRET_BYTES_MAX

PASSWORD_BYTES_MAX = 1024
"""More than anyone types; bounds what a wrong pipe can push in."""

FILE_PASSPHRASE_BYTES_MIN = 12
"""Whoever has the file can guess as long as he likes, so that what is short is refused."""

STAFF_PASSWORD_FILE = "POSTKEEP_STAFF_PASSWORD_FILE"  # noqa: S105 - the name of a variable
"""Names a file, mode 0600, whose first line is the password of the staff member at `--as`."""


def password(*, from_stdin: bool) -> str:
    """Read a new password: one line of standard input, or twice from the terminal."""
    if from_stdin:
        line = sys.stdin.buffer.readline(PASSWORD_BYTES_MAX + 2)
        value = line.rstrip(b"\r\n").decode("utf-8")
    elif not sys.stdin.isatty():
        raise CommandError(text("error.no_terminal"), Exit.USAGE, "no_terminal")
    else:
        value = getpass.getpass(text("ask.password"))
        if value != getpass.getpass(text("ask.again")):
            raise CommandError(text("error.passwords_differ"), Exit.USAGE, "passwords_differ")
    if not value:
        raise CommandError(text("error.password_empty"), Exit.USAGE, "password_empty")
    return value


def own_password(*, from_stdin: bool) -> str:
    """Read the password that one signs in with: one line of standard input, or once from the terminal."""
    if from_stdin:
        return sys.stdin.buffer.readline(PASSWORD_BYTES_MAX + 2).rstrip(b"\r\n").decode("utf-8", "replace")
    if not sys.stdin.isatty():
        raise CommandError(text("error.no_terminal"), Exit.USAGE, "no_terminal")
    return getpass.getpass(text("ask.own_password"))


def staff_password(name: str, *, from_stdin: bool) -> Secret[str]:
    """Read the password of the staff member who acts: from standard input, a file, or the terminal."""
    path = os.environ.get(STAFF_PASSWORD_FILE)
    if from_stdin:
        line = sys.stdin.buffer.readline(PASSWORD_BYTES_MAX + 2)
    elif path:
        line = private_line(path)
    elif sys.stdin.isatty():
        line = getpass.getpass(text("ask.staff_password", name=name)).encode()
    else:
        raise CommandError(text("error.no_staff_password"), Exit.USAGE, "no_terminal")
    return Secret(line.rstrip(b"\r\n").decode("utf-8", "replace"))


def private_line(path: str) -> bytes:
    """Read the first line of a file that nobody but its owner can read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if (
                stat.S_ISREG(status.st_mode)
                and status.st_uid == os.geteuid()
                and not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
            ):
                return file.readline(PASSWORD_BYTES_MAX + 2)
    except OSError:
        pass  # said below, as every other reason
    raise CommandError(text("error.staff_password_file", path=path), Exit.USAGE, "staff_password_file")


def file_passphrase(
    path: str, *, from_stdin: bool, new: bool, ask: str = "ask.export_passphrase"
) -> Secret[bytes]:
    """Read the passphrase of an export, a recipient's key or a witness: from a file, a pipe, a terminal.

    `ask`: the text to ask for it on a terminal.
    """
    if path:
        line = private_line(path)
    elif from_stdin:
        line = sys.stdin.buffer.readline(PASSWORD_BYTES_MAX + 2)
    elif not sys.stdin.isatty():
        raise CommandError(text("error.no_export_passphrase"), Exit.USAGE, "no_terminal")
    else:
        value = getpass.getpass(text(ask))
        if new and value != getpass.getpass(text("ask.again")):
            raise CommandError(text("error.passwords_differ"), Exit.USAGE, "passwords_differ")
        line = value.encode()
    secret = line.rstrip(b"\r\n")
    if new and len(secret) < FILE_PASSPHRASE_BYTES_MIN:
        least = FILE_PASSPHRASE_BYTES_MIN
        raise CommandError(text("error.export_passphrase_short", least=least), Exit.USAGE, "passphrase_short")
    return Secret(secret)


def passphrase(descriptor: int | None) -> bytearray:
    """Read the root key's passphrase: from a descriptor to its end, or from the terminal."""
    if descriptor is not None:
        buffer = bytearray()
        while len(buffer) <= ROOT_SECRET_BYTES_MAX and (
            part := os.read(descriptor, ROOT_SECRET_BYTES_MAX + 1)
        ):
            buffer += part
        if descriptor > sys.stderr.fileno():  # the standard ones stay: their numbers must not go to others
            os.close(descriptor)
        while buffer.endswith((b"\n", b"\r")):
            del buffer[-1]
        return buffer
    if not sys.stdin.isatty():
        raise CommandError(text("error.no_passphrase"), Exit.USAGE, "no_terminal")
    return bytearray(getpass.getpass(text("ask.passphrase")).encode())


def confirm(what: str, *, assumed: bool) -> None:
    """Have a destruction confirmed."""
    if assumed:
        return
    if not sys.stdin.isatty() or input(text("ask.delete", what=what)).strip().lower() != "yes":
        raise CommandError(text("error.not_confirmed"), Exit.USAGE, "not_confirmed")
