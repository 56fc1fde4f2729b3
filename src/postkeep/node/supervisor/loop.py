"""The supervisor's life: start everything, notice every end, start again, and stop in the right order."""

import hashlib
import os
import secrets
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec
import structlog

from postkeep.node.config import Config
from postkeep.node.rootfiles import replace_file
from postkeep.node.supervisor import believed, frames
from postkeep.node.supervisor.credentials import read_credentials
from postkeep.node.supervisor.database import Database
from postkeep.node.supervisor.inbox import STOPPING, Inbox
from postkeep.node.supervisor.layout import CERTIFICATE_KEY_FILE, LEDGER_KEY_FILES, Layout
from postkeep.node.supervisor.metrics_page import MetricsPage
from postkeep.node.supervisor.plan import Slot, Tier
from postkeep.node.supervisor.root_secret import HeldRootSecret
from postkeep.node.supervisor.scanning import start_scan
from postkeep.node.supervisor.spawn import Process, spawn
from postkeep.node.supervisor.timers import Timers

RESTART_SECONDS_MIN: Final = 0.1
RESTART_SECONDS_MAX: Final = 30.0
HEALTHY_SECONDS: Final = 60.0
"""A process that has been ready this long starts with a clean record."""
START_SECONDS_MAX: Final = 90.0
"""Until a process is ready: a database that replays its log after a crash takes its time."""
EARLY_FAILURES_MAX: Final = 4
"""A node on which one module fails this often before it was ever ready gives up and says why."""
_FINAL: Final = frozenset({"token_pin", "token_locked", "wrong_passphrase", "wrong_shares", "no_pin"})
"""What a person gave is wrong: another try with the same is no use, and a token locks itself after a few.
A node that served before goes on without this process: mail is accepted, and the operator starts it again."""
ANCHOR_OVERLAP_SECONDS: Final = 900.0
"""How long the start key of a former authority is believed: longer than any module ticket it signed lives."""
_STOP_SECONDS: Final = {
    Tier.FACE: 3.0,
    Tier.WORKER: 1.0,
    Tier.DATA_KEEPER: 2.0,
    Tier.AUTHORITY: 1.0,
    Tier.LEDGER: 1.0,
}
"""How long each tier may drain."""
STOP_SECONDS_MAX: Final = 9.7
"""The whole of a stop; the database has what the tiers left of it to write its checkpoint."""


@dataclass(slots=True)
class _Record:
    """How a slot has fared."""

    failures: int = 0
    was_ready: bool = False


class Supervisor:
    """Runs the processes of `slots` until it is told to stop."""

    def __init__(
        self,
        layout: Layout,
        config: Config,
        slots: tuple[Slot, ...],
        sockets: dict[str, dict[str, socket.socket]],
        *,
        root_secret: HeldRootSecret,
        on_ready: Callable[["Supervisor"], None],
        stop_seconds_max: float = STOP_SECONDS_MAX,
    ) -> None:
        self.layout = layout
        self.config = config
        self.failure = ""
        """Why the node gave up; empty after an orderly stop."""
        self.withheld = ""
        """Why kms came up without giving keys; empty where it gives them."""
        self._slots = slots
        self._sockets = sockets
        self._root_secret = root_secret
        self._on_ready = on_ready
        self._announced = False
        self._selector = selectors.DefaultSelector()
        self._timers = Timers()
        self._inbox = Inbox(self._selector)
        self._database = Database(layout, config)
        self._database.on_refusal = self._tell_database_refusal
        self._processes: dict[int, Process] = {}
        self._records = {slot.name: _Record() for slot in slots}
        self._database_failures = 0
        self._errands: dict[int, list[Process]] = {}
        self._anchors: dict[str, list[bytes]] = {
            "authority": [],
            "start": [],
            "directory": [],
            "ledger": [],
            "ledger-mldsa44": [],
        }
        self._credentials = read_credentials(config)
        self._metrics: MetricsPage | None = None
        self._stopping = False
        self._stop_begun = 0.0
        self._stop_seconds_max = stop_seconds_max
        self._tiers = list(Tier)
        self._log = structlog.get_logger()

    # --- life ---

    def run(self, metrics_listener: socket.socket | None) -> None:
        """Start everything and stay until all of it has ended."""
        if metrics_listener is not None:
            self._metrics = MetricsPage(metrics_listener, self._selector, self._ask_metrics)
        self._start_database()
        self._start_processes(self._slots)
        while not self._stopping or self._processes or self._database.pid or self._errands:
            for key, _ in self._selector.select(self._patience()):
                key.data(time.monotonic())
            now = time.monotonic()
            self._timers.run(now)
            if self._metrics is not None:
                self._metrics.tick(now)
            for number in self._inbox.signals():
                self._on_signal(number)
            self._reap()
        self._selector.close()
        self._log.info("stopped", milliseconds=round((time.monotonic() - self._stop_begun) * 1000))

    def stop(self) -> None:
        """Begin to stop; a second call ends everything at once."""
        if self._stopping:
            self._kill_all()
            return
        self._stopping = True
        self._stop_begun = time.monotonic()
        self._timers.clear()
        self._log.info("stopping")
        for pid in self._errands:
            os.kill(pid, signal.SIGKILL)
        self._stop_next_tier()

    @property
    def processes(self) -> list[Process]:
        """Every process that lives, for those who look from outside."""
        return list(self._processes.values())

    def _patience(self) -> float | None:
        deadlines = [self._timers.next_at()]
        if self._metrics is not None:
            deadlines.append(self._metrics.next_deadline())
        nearest = min((at for at in deadlines if at is not None), default=None)
        return None if nearest is None else max(0.0, nearest - time.monotonic())

    def _on_signal(self, number: int) -> None:
        if number in STOPPING:
            self.stop()

    # --- starting ---

    def _start_database(self) -> None:
        self._database.start()
        descriptor = self._database.log_descriptor
        if descriptor is not None:
            self._selector.register(
                descriptor, selectors.EVENT_READ, lambda _now: self._read_database(descriptor)
            )

    def _tell_database_refusal(self, name: str) -> None:
        """Have the steward put it into the ledger; the supervisor itself has no place there."""
        for process in self._processes.values():
            if process.slot.module.name == "steward":
                process.send(frames.DatabaseRefusal(name))

    def _read_database(self, descriptor: int) -> None:
        if not self._database.read_log():
            self._selector.unregister(descriptor)

    def _start_processes(self, slots: Iterable[Slot]) -> None:
        """Fork the processes, then give them all they need: logins from one errand for all of them."""
        started = [self._fork(slot) for slot in slots]
        for process in started:
            self._introduce(process)
        with_login = [process for process in started if process.slot.module.database]
        if with_login:
            self._errands[self._database.give_logins(with_login)] = with_login
        for process in started:
            if process not in with_login:
                process.send(frames.Start())

    def _fork(self, slot: Slot) -> Process:
        process = spawn(slot, self.layout, self.config, self._sockets.get(slot.name, {}), time.monotonic())
        self._processes[process.pid] = process
        self._selector.register(process.link, selectors.EVENT_READ, lambda _now: self._read(process))
        self._timers.at(process.started + START_SECONDS_MAX, lambda: self._give_up_waiting(process))
        tell = self._log.info if self._announced else self._log.debug  # a start tells who is ready
        tell("process_forked", instance_started=process.instance, pid=process.pid)
        return process

    def _introduce(self, process: Process) -> None:
        for name, keys in self._anchors.items():
            for public_key in keys:
                process.send(frames.Anchor(name, public_key))
        if process.slot.module.name == "kms":
            self._root_secret.give(process)
        if process.slot.module.name == "backup" and self._credentials:
            process.send(frames.Credentials(self._credentials))
        if process.slot.module.name == "authority":
            for other in self._processes.values():
                self._let_enrol(other)
        else:
            self._let_enrol(process)

    def _let_enrol(self, process: Process) -> None:
        """Give a process a one-time secret, and tell the authority to expect it."""
        authority = next((p for p in self._processes.values() if p.slot.module.name == "authority"), None)
        if authority is None or process is authority:
            return
        secret = secrets.token_bytes(32)
        digest = hashlib.sha256(secret).digest()
        authority.send(
            frames.Expect(process.slot.module.name, process.instance, digest, process.uid, process.pid)
        )
        process.send(frames.Enrolment(secret))

    def _give_up_waiting(self, process: Process) -> None:
        if process.pid in self._processes and not process.ready:
            self._log.error("process_not_ready", instance_waited=process.instance)
            os.kill(process.pid, signal.SIGKILL)

    # --- what children say ---

    def _read(self, process: Process) -> None:
        try:
            packet = process.link.recv(frames.FRAME_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._selector.unregister(process.link)
            return
        try:
            frame = frames.decode_from_child(packet)
        except msgspec.DecodeError:
            self._log.error("nonsense_from_process", instance_said=process.instance)
            os.kill(process.pid, signal.SIGKILL)
            return
        self._hear(process, frame)

    def _hear(self, process: Process, frame: frames.FromChild) -> None:
        match frame:
            case frames.Ready():
                self._became_ready(process)
            case frames.Anchor(name, public_key):
                self._spread(process, name, public_key)
            case frames.Retire(public_key, seconds):
                self._retire(process, public_key, seconds)
            case frames.CopyDatabase(point):
                self._copy_database(process, point)
            case frames.AskScan():
                self._scan(process, frame)
            case frames.Failed(code, text, temporary):
                process.failure = f"{code}: {text}"
                process.failure_is_final = code in _FINAL
                process.failed_for_now = temporary
            case frames.HoldRootSecret() | frames.Withheld():
                self._hear_kms(process, frame)
            case frames.Metrics(number, page):
                if self._metrics is not None:
                    self._metrics.answer(number, process.slot.name, page)

    def _hear_kms(self, process: Process, frame: frames.HoldRootSecret | frames.Withheld) -> None:
        if process.slot.module.name != "kms":
            self._log.error("kms_frame_refused", instance_said=process.instance)
        elif isinstance(frame, frames.Withheld):
            self.withheld = frame.reason
        else:
            self._root_secret.take(frame.step, frame.value)

    def _became_ready(self, process: Process) -> None:
        process.ready = True
        record = self._records[process.slot.name]
        record.was_ready = True
        self._timers.at(time.monotonic() + HEALTHY_SECONDS, lambda: self._forgive(process))
        self._log.info(
            "process_ready",
            instance_started=process.instance,
            pid=process.pid,
            milliseconds=round((time.monotonic() - process.started) * 1000),
        )
        ready = {p.slot.name for p in self._processes.values() if p.ready}
        if not self._announced and ready >= self._records.keys():
            self._announced = True
            self._on_ready(self)

    def _forgive(self, process: Process) -> None:
        if process.pid in self._processes:
            self._records[process.slot.name].failures = 0

    _PUBLISHERS: Final = {
        "authority": "authority",
        "start": "authority",
        "directory": "kms",
        "ledger": "kms",
        "ledger-mldsa44": "kms",
        "ca": "kms",
        "certificate": "kms",
    }
    """Who may set which anchor: a face that has been taken over can't make others believe a key."""

    def _spread(self, process: Process, name: str, public_key: bytes) -> None:
        if self._PUBLISHERS.get(name) != process.slot.module.name:
            self._log.error("anchor_refused", anchor=name, instance_said=process.instance)
            return
        if name == "ca":
            replace_file(self.layout.ca_file, public_key, mode=0o644)
            return
        if name == "certificate":
            file = self.layout.data / CERTIFICATE_KEY_FILE
            replace_file(file, public_key.hex().encode() + b"\n", mode=0o644)
            return
        if name in LEDGER_KEY_FILES:
            file = self.layout.data / LEDGER_KEY_FILES[name]
            replace_file(file, public_key.hex().encode() + b"\n", mode=0o644)
        former = [key for key in self._anchors[name] if key != public_key]
        several = name in believed.NAMES
        self._anchors[name] = [*former, public_key] if several else [public_key]
        for other in self._processes.values():
            if other is not process:
                other.send(frames.Anchor(name, public_key))
        if several:
            believed.write(self.layout.data, self._anchors)
        if name == "start":
            for key in former:
                self._timers.at(time.monotonic() + ANCHOR_OVERLAP_SECONDS, partial(self._distrust, key))

    def _retire(self, process: Process, public_key: bytes, seconds: float) -> None:
        if process.slot.module.name != "authority":
            self._log.error("retirement_refused", instance_said=process.instance)
            return
        self._timers.at(time.monotonic() + max(0.0, seconds), partial(self._distrust, public_key))

    def _distrust(self, public_key: bytes) -> None:
        for name in believed.NAMES:
            if public_key in self._anchors[name]:
                self._anchors[name].remove(public_key)
                believed.write(self.layout.data, self._anchors)
                for process in self._processes.values():
                    process.send(frames.Distrust(public_key))

    def _scan(self, process: Process, asked: frames.AskScan) -> None:
        if process.slot.module.name != "steward":
            self._log.error("scan_refused", instance_said=process.instance)
            return
        self._errands[start_scan(self.layout, self.config, process, asked)] = []

    def _copy_database(self, process: Process, point: str) -> None:
        """Start a copy of the database for the backup worker: an errand writes it to a socket of theirs."""
        if process.slot.module.name != "backup":
            self._log.error("copy_refused", instance_said=process.instance)
            return
        ours, theirs = socket.socketpair()
        self._errands[self._database.send_copy(ours, point)] = []
        ours.close()
        try:
            socket.send_fds(process.link, [frames.encode(frames.DatabaseCopy())], [theirs.fileno()])
        except OSError:
            self._log.debug("link_closed", to=process.instance)
        theirs.close()

    def _ask_metrics(self, number: int) -> list[str]:
        asked = [process for process in self._processes.values() if process.ready]
        for process in asked:
            process.send(frames.AskMetrics(number))
        return [process.slot.name for process in asked]

    # --- ends ---

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._database.pid:
                self._database_ended(status)
            elif pid in self._errands:
                self._errand_ended(self._errands.pop(pid), status)
            elif pid in self._processes:
                self._process_ended(self._processes.pop(pid), status)

    def _database_ended(self, status: int) -> None:
        descriptor = self._database.log_descriptor
        if descriptor is not None and descriptor in self._selector.get_map():
            self._database.read_log()
            self._selector.unregister(descriptor)
        self._database.ended(status)
        if self._stopping:
            return
        self._database_failures += 1
        self._log.error("database_ended", status=os.waitstatus_to_exitcode(status))
        if not self._announced and self._database_failures >= EARLY_FAILURES_MAX:
            self.failure = "database: it ends right after its start"
            self.stop()
            return
        delay = min(RESTART_SECONDS_MAX, RESTART_SECONDS_MIN * 2**self._database_failures)
        self._timers.at(time.monotonic() + delay, self._start_database)

    def _errand_ended(self, waiting: list[Process], status: int) -> None:
        if self._stopping:
            return
        if status == 0:
            for process in waiting:
                process.send(frames.Start())
            return
        if not waiting:
            self._log.error("database_copy_failed", status=os.waitstatus_to_exitcode(status))
            return
        self._log.error("logins_failed", status=os.waitstatus_to_exitcode(status))
        for process in waiting:
            if process.pid in self._processes:
                os.kill(process.pid, signal.SIGKILL)

    def _process_ended(self, process: Process, status: int) -> None:
        while process.link in self._selector.get_map():
            self._read(process)  # its last words
        process.link.close()
        for other in self._processes.values():
            if other.slot.module.name == "authority":
                other.send(frames.Departed(process.instance))
        if self._stopping:
            self._continue_stopping()
            return
        record = self._records[process.slot.name]
        record.failures += 1
        delay = min(RESTART_SECONDS_MAX, RESTART_SECONDS_MIN * 2 ** (record.failures - 1))
        self._log.error(
            "process_ended",
            instance_ended=process.instance,
            status=os.waitstatus_to_exitcode(status),
            failure=process.failure,
            restart_seconds=delay,
        )
        if process.failure_is_final and record.was_ready:
            self._log.error("process_not_restarted", instance_ended=process.instance)
            return
        hopeless = not process.failed_for_now and not record.was_ready
        if hopeless and (process.failure_is_final or record.failures >= EARLY_FAILURES_MAX):
            self.failure = f"{process.slot.module.name}: {process.failure or 'it ends right after its start'}"
            self.stop()
            return
        self._timers.at(time.monotonic() + delay, lambda: self._start_processes([process.slot]))

    # --- stopping ---

    def _stop_next_tier(self) -> None:
        while self._tiers and not self._members(self._tiers[0]):
            self._tiers.pop(0)
        if not self._tiers:
            self._stop_database()
            return
        for process in self._members(self._tiers[0]):
            process.stopping = True
            process.send(frames.Stop())
        deadline = time.monotonic() + _STOP_SECONDS[self._tiers[0]]
        self._timers.at(deadline, partial(self._kill_tier, self._tiers[0]))

    def _members(self, tier: Tier) -> list[Process]:
        return [process for process in self._processes.values() if process.slot.module.tier == tier]

    def _continue_stopping(self) -> None:
        if self._tiers and not self._members(self._tiers[0]):
            self._stop_next_tier()

    def _kill_tier(self, tier: Tier) -> None:
        for process in self._members(tier):
            self._log.warning("process_killed", instance_killed=process.instance)
            os.kill(process.pid, signal.SIGKILL)

    def _stop_database(self) -> None:
        if self._database.pid is not None:
            self._database.signal(signal.SIGINT)
            deadline = self._stop_begun + self._stop_seconds_max
            self._timers.at(deadline, lambda: self._database.signal(signal.SIGQUIT))

    def _kill_all(self) -> None:
        for process in self._processes.values():
            os.kill(process.pid, signal.SIGKILL)
        for pid in self._errands:
            os.kill(pid, signal.SIGKILL)
        self._database.signal(signal.SIGQUIT)
