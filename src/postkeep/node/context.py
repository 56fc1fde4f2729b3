"""What a module is given when it starts: everything it may know, and nothing it must look for."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from postkeep.base.secret import Secret
from postkeep.node.config import Config
from postkeep.tickets.identity import Anchors, ModuleIdentity


@dataclass(frozen=True, slots=True)
class Expectation:
    """An instance that the supervisor has started and that may enrol, once, with one secret."""

    module: str
    instance: str
    secret_digest: bytes
    """SHA-256 of the one-time secret: who only expects it can't enrol with it."""
    uid: int
    """The user id that the instance's process runs as: what the authority's socket must see."""
    pid: int
    """The process that the supervisor forked for it, the same way."""


@dataclass(frozen=True, slots=True)
class ModuleContext:
    """The start of one module instance. `node.wiring.<module>.run(context)` builds the module from it.

    Keepers listen on `run_dir/<module>.sock`. A module calls `ready()` once it answers, and returns soon
    after `stop` is set. The supervisor's link is already served: `anchors` follows the authority's keys.
    """

    module: str
    instance: str
    """Unique per process start, as `imap-1.3f9a`."""
    index: int
    config: Config
    data_dir: Path
    state_dir: Path
    """The module's own directory, 0700: nobody else can enter it."""
    run_dir: Path
    identity: ModuleIdentity
    """The key of this instance and, after enrolment, its module ticket; renews itself."""
    anchors: Anchors
    stop: asyncio.Event
    ready: Callable[[], None]
    publish: Callable[[str, bytes], None]
    """Hand an anchor to every module: `authority` and `start` from the authority, `directory`, `ledger` from
    kms. With `ca` kms hands the installation's CA certificate, PEM, to the operator: it becomes `ca.pem`."""
    retire: Callable[[bytes, float], None] = lambda _public_key, _seconds: None
    """authority: have one of its keys, published before, believed for so many seconds more."""
    sockets: Mapping[str, socket.socket] = field(default_factory=dict)
    """Faces: bound and listening sockets by port name (`smtp`, `imaps` ...)."""
    dsn: Secret[str] = field(default_factory=lambda: Secret(""))
    """Keepers: the database login of this start, with this keeper's rights only."""
    on_expectation: Callable[[Callable[[Expectation], None]], None] = lambda _receiver: None
    """authority: register the one that hears which instances may enrol; those known already come at once."""
    on_departure: Callable[[Callable[[str], None]], None] = lambda _receiver: None
    """authority: register the one that hears of instances that have ended: nobody may enrol as them now."""
    ask_database: Callable[[str], Awaitable[socket.socket]] | None = None
    """backup: have the supervisor copy the database to the socket that is returned (stores.backup_stream)."""
    search: Callable[[bytes], Awaitable[bytes]] | None = None
    """steward: have every file of the node searched; request and report as `services.destruction.scan` has
    them, an empty report where that failed."""
    credentials: Secret[bytes] = field(default_factory=lambda: Secret(b""))
    """backup: the file of credentials for the target."""
    on_database_refusal: Callable[[Callable[[str], None]], None] = lambda _receiver: None
    """steward: register the one that hears of logins which the database refused."""
    root_secrets: tuple[Secret[bytes], ...] = field(default_factory=lambda: (Secret(b""),))
    """kms: what opens the root key; two after a change of its seal was cut short, the newest first."""
    withhold: Callable[[Literal["restored", "ledger"]], None] = lambda _reason: None
    """kms: say before it is ready that no keys are given: of a restored store, or under a broken ledger."""
    hold_root_secret: Callable[[Literal["add", "settle", "drop"], bytes], None] = lambda _step, _value: None
    """kms: tell the supervisor what will open the root key at the next start of kms."""
