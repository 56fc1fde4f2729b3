"""The raw search: every byte of every file below some directories, for secrets that must be gone.

It reads files as they are, not through any of our formats: slot files, packs, the database's tables and
write-ahead log, the ledger, logs, backups. What it looks for are fingerprints (`crypto.fingerprint`). One
more secret, the *control*, is put into a file for the time of the search: a search that does not find it has
not searched.
"""

import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from postkeep.crypto.fingerprint import Fingerprint, Search

PIECE_BYTES: Final = 8 * 1024 * 1024  # octets read at once: the search needs a few times as much memory
PLACES_MAX: Final = 20  # places named in a report: one is too many already
PRINTS_MAX: Final = 64  # fingerprints in one search, the control included: each costs a pass over every byte
ROOTS_MAX: Final = 16  # directories: the data directory and one per category

CONTROL: Final = 0
"""The number of the control among the fingerprints."""


class ScanRequest(msgspec.Struct, frozen=True):
    """What to look for. The first fingerprint is the control's, which must be found."""

    salt: bytes
    prints: list[Fingerprint]


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at, and what was found."""

    roots: list[str]
    files: int
    octets: int
    unreadable: int
    """Files that could not be read, or went while they were: none of those below is among them."""
    began_ms: int
    ended_ms: int
    sought: int
    """Secrets looked for, without the control."""
    control_found: bool
    found: list[str]
    """Where secrets were found: paths."""

    @property
    def clean(self) -> bool:
        """Whether nothing was found by a search that would have."""
        return self.control_found and not self.found and self.sought > 0 and self.unreadable == 0


def scan(roots: Iterable[Path], request: ScanRequest) -> Scan:
    """Search all files below `roots`, once each, without following links. ValueError for an odd request."""
    if not 1 <= len(request.prints) <= PRINTS_MAX:
        raise ValueError("a search has a control and at least nothing else")
    search = Search(request.prints, request.salt)
    below = _outermost(roots)
    files = octets = unreadable = 0
    control, found = False, list[str]()
    began = time.time_ns() // 1_000_000
    broken: list[OSError] = []
    for path in _files(below, broken):
        try:
            size, hits = _search_file(path, search)
        except FileNotFoundError:
            continue  # it went meanwhile, as temporary files do: what is gone holds nothing
        except OSError:
            unreadable += 1
            continue
        files += 1
        octets += size
        control = control or CONTROL in hits
        if hits - {CONTROL} and len(found) < PLACES_MAX:
            found.append(str(path))
    return Scan(
        roots=[str(path) for path in below],
        files=files,
        octets=octets,
        unreadable=unreadable + len(broken),
        began_ms=began,
        ended_ms=time.time_ns() // 1_000_000,
        sought=len(request.prints) - 1,
        control_found=control,
        found=found,
    )


def _outermost(roots: Iterable[Path]) -> list[Path]:
    """Drop directories that lie in others, so that no file is read twice."""
    resolved = sorted({path.resolve() for path in roots if path.exists()})
    return [path for path in resolved if not any(other in path.parents for other in resolved)][:ROOTS_MAX]


def _files(roots: list[Path], broken: list[OSError]) -> Iterator[Path]:
    seen: set[tuple[int, int]] = set()
    for root in roots:
        for directory, _, names in os.walk(root, onerror=broken.append):
            for name in names:
                path = Path(directory) / name
                try:
                    status = path.lstat()
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(status.st_mode) and (status.st_dev, status.st_ino) not in seen:
                    if status.st_nlink > 1:
                        seen.add((status.st_dev, status.st_ino))
                    yield path


def _search_file(path: Path, search: Search) -> tuple[int, set[int]]:
    """Search one file in overlapping pieces; return its length and the numbers of what was found."""
    found: set[int] = set()
    size, overlap, rest = 0, search.window_bytes, b""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_NOREUSE)  # leave the cache to those who work
        while piece := os.read(descriptor, PIECE_BYTES):
            size += len(piece)
            found.update(search.hits(rest + piece))
            rest = piece[-overlap:] if len(piece) >= overlap else (rest + piece)[-overlap:]
    finally:
        os.close(descriptor)
    return size, found
