"""The life of one module's process, after the fork: confined, enrolled, then the module's own code."""

import asyncio
import contextlib
import ctypes
import gc
import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
import uvloop

from postkeep.base.errors import PostkeepError
from postkeep.base.secret import Secret
from postkeep.node import logs, metrics
from postkeep.node.config import Config
from postkeep.node.context import Expectation, ModuleContext
from postkeep.node.heap import keep_lean
from postkeep.node.sandbox.libc import PR_SET_NAME, prctl
from postkeep.node.sandbox.process import Confinement, confine
from postkeep.node.supervisor import frames
from postkeep.node.supervisor.enrolment import Enrolling
from postkeep.node.supervisor.plan import Slot
from postkeep.tickets.identity import Anchors, ModuleIdentity

_DATABASE_COPY_SECONDS_MAX: Final = 10.0
"""The supervisor forks and hands over at once."""
_DRAIN_SECONDS_MAX: Final = 8.0
"""After `stop` a module has this long; the supervisor's own deadlines are shorter."""


_SEARCH_SECONDS_MAX: Final = 6 * 3600.0
"""A raw search of some terabytes; what takes longer is begun anew by whoever asked."""
_GC_THRESHOLDS: Final = (20_000, 20, 20)
"""Container objects made between collections, then collections of each generation before the next."""


@dataclass(frozen=True, slots=True)
class Birth:
    """All that a process is born with."""

    slot: Slot
    instance: str
    config: Config
    data_dir: Path
    state_dir: Path
    run_dir: Path
    link: socket.socket
    sockets: dict[str, socket.socket]
    confinement: Confinement


def become(birth: Birth, parent: int) -> int:
    """Turn this fork into the module; return the exit code."""
    os.setsid()
    prctl(PR_SET_NAME, ctypes.c_char_p(birth.slot.name.encode()), 0, 0, 0)  # what `ps -C` and `top` show
    os.dup2(2, 1)  # standard output belongs to the supervisor's ready line
    logs.configure(birth.config.log, birth.slot.module.name, birth.instance)
    confined = confine(birth.confinement, parent)
    # What a message makes is dropped with it, hardly ever in a cycle: look for cycles rarely (default: 700).
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.enable()
    log = structlog.get_logger()
    log.debug("process_started", landlock=confined.landlock, seccomp=confined.seccomp)
    return uvloop.run(_Life(birth).run())


class _Life:
    """One module instance between its birth and its end."""

    def __init__(self, birth: Birth) -> None:
        self._birth = birth
        self._identity = ModuleIdentity(birth.slot.module.name, birth.instance)
        self._anchors = Anchors()
        self._stop = asyncio.Event()
        self._start = asyncio.Event()
        self._dsn = Secret("")
        self._root_secrets: tuple[Secret[bytes], ...] = (Secret(b""),)
        self._expected: list[Expectation] = []
        self._on_database_refusal: Callable[[str], None] = lambda _name: None
        self._database_copy: asyncio.Future[socket.socket] | None = None
        self._descriptors: list[int] = []
        self._searches: list[asyncio.Future[bytes]] = []
        self._credentials = Secret(b"")
        self._on_expectation: Callable[[Expectation], None] | None = None
        self._on_departure: Callable[[str], None] = lambda _instance: None
        self._enrolling = Enrolling(self._identity, self._anchors, birth.run_dir)
        self._log = structlog.get_logger()

    async def run(self) -> int:
        """Run the module until it ends; 0 after an orderly stop."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._birth.link.fileno(), self._read)
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        renewal: asyncio.Task[None] | None = None
        lean = loop.create_task(keep_lean())
        try:
            if not await self._unless_stopped(self._start.wait()):
                return 0
            if self._birth.slot.module.name != "authority":
                if not await self._unless_stopped(self._enrolling.enrol()):
                    return 0
                renewal = loop.create_task(self._enrolling.keep())
            wiring = importlib.import_module(f"postkeep.node.wiring.{self._birth.slot.module.name}")
            module = loop.create_task(wiring.run(self._context()))
            stopping = loop.create_task(self._stop.wait())
            await asyncio.wait({module, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            await asyncio.wait_for(module, _DRAIN_SECONDS_MAX)
        except PostkeepError as error:
            self._log.error("module_failed", code=error.code, detail=error.detail)
            self._send(frames.Failed(error.code, error.public_text, error.temporary))
            return 1
        except Exception as error:  # noqa: BLE001 - the last line of defence: say it and end
            self._log.exception("module_failed")
            self._send(frames.Failed("internal", type(error).__name__))
            return 1
        finally:
            lean.cancel()
            if renewal is not None:
                renewal.cancel()
            loop.remove_reader(self._birth.link.fileno())
        if not self._stop.is_set():
            self._log.error("module_ended_by_itself")
            return 1
        return 0

    async def _unless_stopped(self, work: Coroutine[Any, Any, Any]) -> bool:
        """Await `work`; False when the supervisor wants an end before it is done."""
        task = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stop.wait())
        done, _ = await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for other in {task, stopping} - done:
            other.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await other
        if task in done:
            await task
        return not self._stop.is_set()

    def _context(self) -> ModuleContext:
        birth = self._birth
        return ModuleContext(
            module=birth.slot.module.name,
            instance=birth.instance,
            index=birth.slot.index,
            config=birth.config,
            data_dir=birth.data_dir,
            state_dir=birth.state_dir,
            run_dir=birth.run_dir,
            identity=self._identity,
            anchors=self._anchors,
            stop=self._stop,
            ready=lambda: self._send(frames.Ready()),
            publish=self._publish,
            retire=lambda public_key, seconds: self._send(frames.Retire(public_key, seconds)),
            sockets=birth.sockets,
            dsn=self._dsn,
            on_expectation=self._hear_expectations,
            on_departure=self._hear_departures,
            on_database_refusal=self._hear_refusals,
            ask_database=self._ask_database,
            search=self._search,
            credentials=self._credentials,
            root_secrets=self._root_secrets,
            withhold=lambda reason: self._send(frames.Withheld(reason)),
            hold_root_secret=lambda step, value: self._send(frames.HoldRootSecret(step, value)),
        )

    def _publish(self, name: str, public_key: bytes) -> None:
        if name not in {"ca", "certificate"}:
            self._anchors.trust(name, public_key)
        self._send(frames.Anchor(name, public_key))

    def _hear_expectations(self, receiver: Callable[[Expectation], None]) -> None:
        self._on_expectation = receiver
        for expectation in self._expected:
            receiver(expectation)
        self._expected.clear()

    def _hear_departures(self, receiver: Callable[[str], None]) -> None:
        self._on_departure = receiver

    def _hear_refusals(self, receiver: Callable[[str], None]) -> None:
        self._on_database_refusal = receiver

    def _send(self, frame: frames.FromChild) -> None:
        try:
            self._birth.link.send(frames.encode(frame))
        except BlockingIOError:
            self._log.warning("supervisor_link_full")

    async def _ask_database(self, point: str) -> socket.socket:
        """Have the supervisor copy the database to a socket; one copy at a time is asked for."""
        self._database_copy = asyncio.get_running_loop().create_future()
        self._send(frames.CopyDatabase(point))
        return await asyncio.wait_for(self._database_copy, _DATABASE_COPY_SECONDS_MAX)

    async def _search(self, request: bytes) -> bytes:
        """Have the supervisor search every file of the node."""
        number = len(self._searches)
        answer = asyncio.get_running_loop().create_future()
        self._searches.append(answer)
        self._send(frames.AskScan(number, request))
        return await asyncio.wait_for(answer, _SEARCH_SECONDS_MAX)

    def _read(self) -> None:
        while True:
            try:
                packet, descriptors, _, _ = socket.recv_fds(self._birth.link, frames.FRAME_BYTES_MAX, 1)
                self._descriptors += descriptors
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                sys.stderr.flush()
                os._exit(1)  # the supervisor is gone, and nobody would restart what we need
            self._take(frames.decode_to_child(packet))

    def _take(self, frame: frames.ToChild) -> None:  # noqa: C901, PLR0912 - one case per kind of frame
        match frame:
            case frames.Anchor(name, public_key):
                self._anchors.trust(name, public_key)
            case frames.Distrust(public_key):
                self._anchors.distrust(public_key)
            case frames.Enrolment(secret):
                self._enrolling.give(secret)
            case frames.Login(dsn):
                self._dsn = Secret(dsn)
            case frames.RootSecrets(values):
                self._root_secrets = tuple(map(Secret, values))
            case frames.Start():
                self._start.set()
            case frames.Expect(module, instance, digest, uid, pid):
                expectation = Expectation(module, instance, digest, uid, pid)
                if self._on_expectation is None:
                    self._expected.append(expectation)
                else:
                    self._on_expectation(expectation)
            case frames.Departed(instance):
                self._expected = [known for known in self._expected if known.instance != instance]
                self._on_departure(instance)
            case frames.DatabaseRefusal(name):
                self._on_database_refusal(name)
            case frames.DatabaseCopy():
                link = socket.socket(fileno=self._descriptors.pop())
                if self._database_copy is None or self._database_copy.done():
                    link.close()
                else:
                    self._database_copy.set_result(link)
            case frames.Scanned(number, report):
                if not self._searches[number].done():
                    self._searches[number].set_result(report)
            case frames.Credentials(value):
                self._credentials = Secret(value)
            case frames.Stop():
                self._stop.set()
            case frames.AskMetrics(number):
                self._send(frames.Metrics(number, metrics.own_page()))
