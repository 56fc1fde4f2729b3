"""Witness programs as processes of their own, as other people run them."""

import contextlib
import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.node_process import PROGRAM, run_program


@dataclass
class WitnessProcess:
    """A witness in a directory of its own."""

    directory: Path
    name: str
    passphrase: str = ""
    """What its keys are sealed with; it lies in a file beside them."""
    keys: list[str] = field(default_factory=list)
    url: str = ""
    process: "subprocess.Popen[bytes] | None" = None

    def command(self, *arguments: str) -> str:
        """Run one of its commands and return what it prints."""
        done = run_program(["--data", str(self.directory), "witness", *arguments])
        assert done.returncode == 0, done.stderr
        return done.stdout

    def init(self) -> None:
        """Make its keys."""
        if self.passphrase:
            credential = self.directory / "credential"
            credential.touch(mode=0o600)
            credential.write_text(self.passphrase)
        self.keys = json.loads(self.command("init", self.name, *self._opens(), "--json"))["keys"]

    def _opens(self) -> list[str]:
        return ["--passphrase-file", str(self.directory / "credential")] if self.passphrase else []

    def start(self, port: int = 0) -> None:
        """Serve, and wait until it answers."""
        listen = ["--listen", f"127.0.0.1:{port}"]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*PROGRAM, "--data", str(self.directory), "witness", "serve", *listen, *self._opens()],
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.directory / "log").read_text()
        self.url = json.loads(line)["url"]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rstrip("/").rpartition(":")[2])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return how it ended."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(timeout=20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return self.process.returncode

    def config(self) -> str:
        """What a node's configuration says of it."""
        return f"[[ledger.witnesses]]\nurl = {json.dumps(self.url)}\nkeys = {json.dumps(self.keys)}\n"


@contextlib.contextmanager
def new_witness(name: str, *, start: bool = True, passphrase: str = "") -> Iterator[WitnessProcess]:
    """Make a witness, and remove it with everything at the end."""
    witness = WitnessProcess(Path(tempfile.mkdtemp(prefix="pkw-", dir="/tmp")), name, passphrase)
    try:
        witness.init()
        if start:
            witness.start()
        yield witness
    finally:
        if witness.process is not None and witness.process.poll() is None:
            witness.stop()
        shutil.rmtree(witness.directory, ignore_errors=True)
