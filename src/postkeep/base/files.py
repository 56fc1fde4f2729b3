"""Files that are durable when the call returns: a crash at any moment leaves the old one or the new one."""

import os
from pathlib import Path


def write_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a whole file in one step, its name durable too."""
    write_content(path, data, mode)
    sync_directory(path.parent)


def write_content(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a whole file in one step; who writes many syncs their directory once, after the last."""
    temporary = path.with_name(path.name + ".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(temporary, flags, mode)
    try:
        os.fchmod(descriptor, mode)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)


def remove_file(path: Path) -> None:
    """Remove a file, and its name durably; one that is not there is no error."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
