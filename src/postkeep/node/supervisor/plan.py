"""What runs: one row per module."""

import os
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from postkeep.node.config import Config

UID_BASE_DEFAULT: Final = 64_600
"""Above what distributions hand out (Debian policy 9.2.2: 60000-64999 is reserved for such uses)."""


class Tier(IntEnum):
    """Who stops when: faces take no more, workers finish, keepers stay; the ledger hears the last word."""

    FACE = 0
    WORKER = 1
    DATA_KEEPER = 2
    AUTHORITY = 3
    LEDGER = 4


@dataclass(frozen=True, slots=True)
class Module:
    """A kind of process."""

    name: str
    tier: Tier
    uid_offset: int
    ports: tuple[tuple[str, int], ...] = ()
    """Port names and their distance from the base port."""
    per_core: bool = False
    database: str = ""
    """The category whose DSN may replace the node's own cluster; empty: no database."""
    categories: tuple[str, ...] = ()
    """The categories whose configured directories it writes."""
    may_connect: bool = False
    """Whether it opens TCP connections to wherever others say."""

    @property
    def keeper(self) -> bool:
        """Whether it listens for other modules."""
        return self.tier >= Tier.DATA_KEEPER or self.name in {"steward", "backup"}


POSTGRES_UID_OFFSET: Final = 0
KEEPERS_GID_OFFSET: Final = 20
"""The group that may make sockets in the run directory."""

MODULES: Final = (
    Module("ledger", Tier.LEDGER, 1, categories=("audit",)),
    Module("authority", Tier.AUTHORITY, 2, database="account"),
    Module("kms", Tier.DATA_KEEPER, 3, database="secret", categories=("secret",)),
    Module("vault", Tier.DATA_KEEPER, 4, database="metadata", categories=("content", "metadata")),
    Module("mx", Tier.FACE, 5, ports=(("smtp", 0),), per_core=True),
    Module("submission", Tier.FACE, 6, ports=(("submission", 1), ("submissions", 2))),
    Module("imap", Tier.FACE, 7, ports=(("imap", 3), ("imaps", 4)), per_core=True),
    Module("relay", Tier.WORKER, 8, may_connect=True),
    Module("steward", Tier.WORKER, 9, database="operations"),
    Module("backup", Tier.WORKER, 10),
    Module("custody", Tier.DATA_KEEPER, 11),
)
KEEPER_NAMES: Final = ("ledger", "authority", "kms", "vault")
PORT_NAMES: Final = ("smtp", "submission", "submissions", "imap", "imaps", "https", "ops", "ssh")
"""As the ready line lists them; those that no module serves yet are null."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one process: module and number."""

    module: Module
    index: int

    @property
    def name(self) -> str:
        """As in `imap-1`; a module with one process counts from 0 too."""
        return f"{self.module.name}-{self.index}"


def plan(config: Config, only: tuple[str, ...] = ()) -> tuple[Slot, ...]:
    """Return every process of the node, in the order in which they are started."""
    workers = config.node.workers or os.cpu_count() or 1
    return tuple(
        Slot(module, index)
        for module in MODULES
        if (not only or module.name in only) and (module.name != "custody" or needs_custody(config))
        for index in range(workers if module.per_core else 1)
    )


def needs_custody(config: Config) -> bool:
    """Whether companies may hold keys of their own here: only then does a process reach out for them."""
    return bool(config.custody.transit or config.custody.modules)


def ports(config: Config) -> dict[str, int]:
    """Return the port numbers that modules serve, by name."""
    base = config.listen.base_port
    return {name: base + distance for module in MODULES for name, distance in module.ports}


def metrics_port(config: Config) -> int:
    """Return the port of the metrics page."""
    return config.listen.metrics_port or config.listen.base_port + 20
