"""The raw search: every byte of every file below some directories, for secrets that must be gone.

It reads files as they are, not through any of our formats: slot files, packs, the database's tables and
write-ahead log, the ledger, logs, backups. What it looks for are fingerprints (`crypto.fingerprint`). One
more secret, the *control*, is put into a file for the time of the search: a search that does not find it has
not searched.
"""

import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from postkeep.crypto.fingerprint import Fingerprint, Search

PIECE_BYTES: Final = 8 * 1024 * 1024  # octets read at once: the search needs a few times as much memory
PLACES_MAX: Final = 20  # places named for one subject: one is too many already
SUBJECTS_MAX: Final = 64  # subjects in one search: what they cost is time, by the fingerprint
PRINTS_MAX: Final = 256  # fingerprints in one search: each costs a pass over every byte
ROOTS_MAX: Final = 16  # directories: the data directory and one per category


class Subject(msgspec.Struct, frozen=True):
    """Fingerprints that belong together."""

    salt: bytes
    prints: list[Fingerprint]


class ScanRequest(msgspec.Struct, frozen=True):
    """What to look for: the control, which must be found, and subjects, which must not."""

    control: Subject
    subjects: list[Subject]


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at for one subject, and what was found."""

    roots: list[str]
    files: int
    octets: int
    unreadable: int
    """Files or directories that could not be read."""
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


def scan(roots: Iterable[Path], request: ScanRequest) -> list[Scan]:
    """Search all files below `roots`, once each, without following links; one report for each subject.

    ValueError for a request that is too large.
    """
    groups = [request.control, *request.subjects]
    if len(groups) > SUBJECTS_MAX + 1 or sum(len(group.prints) for group in groups) > PRINTS_MAX:
        raise ValueError("too much to look for in one search")
    searches = [Search(group.prints, group.salt) for group in groups]
    below = _outermost(roots)
    broken: list[OSError] = []
    found: list[list[str]] = [[] for _ in groups]
    files = octets = 0
    began = time.time_ns() // 1_000_000
    for path in _files(below, broken):
        try:
            size, hits = _search_file(path, searches)
        except FileNotFoundError:
            continue  # it went meanwhile, as temporary files do: what is gone holds nothing
        except OSError as error:
            broken.append(error)
            continue
        files += 1
        octets += size
        for group in hits:
            found[group].append(str(path))
    ended = time.time_ns() // 1_000_000
    return [
        Scan(
            roots=[str(path) for path in below],
            files=files,
            octets=octets,
            unreadable=len(broken),
            began_ms=began,
            ended_ms=ended,
            sought=len(subject.prints),
            control_found=bool(found[0]),
            found=places[:PLACES_MAX],
        )
        for subject, places in zip(request.subjects, found[1:], strict=True)
    ]


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


def _search_file(path: Path, searches: Sequence[Search]) -> tuple[int, set[int]]:
    """Search one file in overlapping pieces; return its length and the numbers of searches that found."""
    found: set[int] = set()
    size, rest = 0, b""
    overlap = max(search.window_bytes for search in searches)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_NOREUSE)  # leave the cache to those who work
        while piece := os.read(descriptor, PIECE_BYTES):
            size += len(piece)
            data = rest + piece
            for number, search in enumerate(searches):
                if number not in found and next(search.hits(data), None) is not None:
                    found.add(number)
            rest = data[-overlap:]
    finally:
        os.close(descriptor)
    return size, found
