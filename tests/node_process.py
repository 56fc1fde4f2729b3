"""A whole node as its own processes, driven from outside: what the end-to-end tests and the bench start."""

import atexit
import contextlib
import functools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.warm_commands import warm_commands

_USUAL_PROGRAM: Final = (sys.executable, "-c", "from postkeep.node.cli import main; main()")
PROGRAM = [*_USUAL_PROGRAM]
COMMAND_SECONDS_MAX = 60.0
PORTS_NEEDED = 21
READY_SECONDS = 30.0


@dataclass
class Node:
    """A node in a directory of its own."""

    directory: Path
    base_port: int
    config: str = ""
    ports: dict[str, int] = field(default_factory=dict)
    ca: str = ""
    process: "subprocess.Popen[bytes] | None" = None
    withheld: str = ""
    """Why no keys are given, as the ready line has it."""
    ready_seconds: float = 0.0
    passphrase: str = ""
    """What opens the root key, read at each start."""
    opens: str = "--passphrase-fd"
    """The option by which it is read: also `--shares-fd`, `--pin-fd`."""
    below: str = ""

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / self.below / "var"

    @property
    def log(self) -> Path:
        """What the node writes to standard error."""
        return self.directory / "log"

    def init(self) -> None:
        """Run `postkeep init`, with this node's configuration."""
        if self.config and not (self.data / "postkeep.toml").exists():
            self.data.mkdir(exist_ok=True)
            (self.data / "postkeep.toml").write_text(self.config)
        self.data.parent.mkdir(parents=True, exist_ok=True)
        if self.below:
            (self.directory / self.below.split("/")[0]).chmod(0o700)
        self.cli("init", *self._passphrase_option(), stdin=self.passphrase)

    def copy(self, made: Path) -> None:
        """Have what `init` has made elsewhere, under this node's configuration."""
        subprocess.run(["cp", "--archive", made, self.data], check=True)
        if self.config:
            (self.data / "postkeep.toml").write_text(self.config)

    def _passphrase_option(self) -> list[str]:
        return [self.opens, "0"] if self.passphrase else []

    def start(self) -> None:
        """Run `postkeep serve` and wait for the ready line."""
        begun = time.monotonic()
        with self.log.open("ab") as log:
            ports = ["--base-port", str(self.base_port)]
            self.process = subprocess.Popen(
                [*PROGRAM, "serve", "--data", str(self.data), *ports, *self._passphrase_option()],
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.PIPE,
                cwd=self.directory,
            )
        assert self.process.stdin is not None
        self.process.stdin.write(self.passphrase.encode())
        self.process.stdin.close()
        stdout = self.process.stdout
        assert stdout is not None
        os.set_blocking(stdout.fileno(), False)
        line = b""
        while not line.endswith(b"\n"):
            assert time.monotonic() - begun < READY_SECONDS, f"not ready:\n{self.tail()}"
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.tail()}"
            line += stdout.read() or b""
            time.sleep(0.01)
        self.ready_seconds = time.monotonic() - begun
        ready = json.loads(line)
        assert ready["event"] == "ready"
        self.ports = ready["ports"]
        self.ca = ready["ca"]
        self.withheld = ready.get("withheld", "")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal, wait for the end, and return how long it took."""
        assert self.process is not None
        begun = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return time.monotonic() - begun

    def cli(
        self, *arguments: str, stdin: str = "", check: bool = True, env: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command on this node."""
        words = [*arguments, "--data", str(self.data)]
        environment = {**os.environ, "LANG": "C.UTF-8", **(env or {})}
        if _is_usual() and "serve" not in arguments:
            result = warm_commands().run(words, stdin=stdin, env=environment, timeout=COMMAND_SECONDS_MAX)
        else:
            result = subprocess.run(
                [*PROGRAM, *words],
                input=stdin,
                capture_output=True,
                text=True,
                check=False,
                timeout=COMMAND_SECONDS_MAX,
                env=environment,
            )
        if check:
            assert result.returncode == 0, (
                f"{arguments}: {result.stdout[-500:]}{result.stderr}\n{self.tail()}"
            )
        return result

    def json(self, *arguments: str, stdin: str = "") -> Any:
        """Run a command and read its answer as JSON."""
        return json.loads(self.cli(*arguments, "--json", stdin=stdin).stdout)

    def tenant(self, domain: str) -> Any:
        """Create a company."""
        return self.json("tenant", "create", domain)

    def user(self, address: str, password: str) -> Any:
        """Create a person."""
        return self.json("user", "create", address, "--password-stdin", stdin=password + "\n")

    def processes(self) -> dict[str, int]:
        """Return the live instances by slot (`imap-0`), as the node's log tells them."""
        found: dict[str, int] = {}
        for event in (*self.events("process_ready"), *self.events("process_forked")):
            if Path(f"/proc/{event['pid']}").exists():
                found[event["instance_started"].split(".")[0]] = event["pid"]
        return found

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log lines of one event."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return [
            event for line in lines if f'"{name}"' in line and (event := json.loads(line))["event"] == name
        ]

    def tail(self) -> str:
        """Return the end of the log, for a failing test to show."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:]) if self.log.exists() else ""


def _is_usual() -> bool:
    """Whether no test has put a program of its own in the place of the usual one."""
    return [*_USUAL_PROGRAM] == PROGRAM


@functools.cache
def _made_once() -> Path:
    """Return a data directory as `postkeep init` leaves it, made once in each test process to be copied."""
    directory = Path(tempfile.mkdtemp(prefix="pk-made-", dir="/tmp"))
    directory.chmod(0o755)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    node = Node(directory, 0)
    node.init()
    return node.data


def free_base_port() -> int:
    """Find a base port with everything a node needs free, below the kernel's ephemeral range."""
    for _ in range(200):
        base = random.randrange(12_000, 32_000)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(base, base + PORTS_NEEDED):
                    sock = stack.enter_context(socket.socket())
                    sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise AssertionError("no free ports")


@contextlib.contextmanager
def new_node(
    *, config: str = "", start: bool = True, passphrase: str = "", below: str = ""
) -> Iterator[Node]:
    """Make a node, and remove it with everything at the end.

    Nodes of a test process come from one `init`, so they have the same keys; not where the configuration says
    how the root key is sealed or where a category lies, or another program makes them.
    """
    # Not below pytest's own directories: root's are closed to others, and their paths are long.
    directory = Path(tempfile.mkdtemp(prefix="pk-", dir="/tmp"))
    directory.chmod(0o755)
    node = Node(directory, free_base_port(), config, passphrase=passphrase, below=below)
    try:
        if passphrase or below or "[keys" in config or "[categories" in config or not _is_usual():
            node.init()
        else:
            node.copy(_made_once())
        if start:
            node.start()
        yield node
    finally:
        if node.process is not None and node.process.poll() is None:
            node.stop()
        shutil.rmtree(directory, ignore_errors=True)


def run_program(arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run the command line without a node."""
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False, timeout=60)
