"""Postkeep as its operator runs it: by its command line alone, in a directory of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import ports
from cgroup import CpuMeter, tree

PROGRAM = Path(sys.executable).parent / "postkeep"
PORTS = 8  # in a row, from the base port on
METRICS_OFFSET = 20
DOMAIN = "bench.test"


class Postkeep:
    """A running node with one tenant and some users."""

    name = "Postkeep"

    def __init__(self, root: Path, users: int) -> None:
        self.password = "correct horse battery staple"
        self.addresses = tuple(f"user{n:03d}@{DOMAIN}" for n in range(users))
        self.meter = CpuMeter("postkeep")
        self.program: tuple[str, ...] = (str(PROGRAM),)
        self.ready: dict[str, Any] = {}
        self.ready_seconds = 0.0
        self._root = root
        self._base = ports.free_block(METRICS_OFFSET + 1)
        self._process: subprocess.Popen[str] | None = None

    @property
    def smtp_port(self) -> int:
        return int(self.ready["ports"]["smtp"])

    @property
    def imap_port(self) -> int:
        return int(self.ready["ports"]["imap"])

    def start(self) -> None:
        """Make a new installation, serve it, create the tenant and the users."""
        shutil.rmtree(self._root, ignore_errors=True)
        (self._root.parent / "postkeep.log").unlink(missing_ok=True)
        self._root.parent.mkdir(parents=True, exist_ok=True)
        self.command("init")
        self.serve()
        self.command("tenant", "create", DOMAIN)
        for address in self.addresses:
            self.command("user", "create", address, "--password-stdin", given=self.password + "\n")

    def serve(self) -> float:
        """Start the node; return the seconds until its ready line."""
        began = time.monotonic()
        log = (self._root.parent / "postkeep.log").open("a")
        self._process = subprocess.Popen(
            [*self.program, "serve", "--data", str(self._root), "--base-port", str(self._base)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            preexec_fn=self.meter.preexec(),  # noqa: PLW1509 - no threads here
        )
        log.close()
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{") and json.loads(line).get("event") == "ready":
                self.ready = json.loads(line)
                break
        else:
            raise RuntimeError(f"postkeep serve ended with {self._process.wait()}: see {log.name}")
        self.ready_seconds = time.monotonic() - began
        self.meter.watch(self._process.pid)
        return self.ready_seconds

    def halt(self) -> None:
        """Stop the node as an operator would."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            for pid in tree(self._process.pid):
                os.kill(pid, signal.SIGKILL)
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None

    def stop(self) -> None:
        """Stop the node for good."""
        self.halt()
        self.meter.close()

    def versions(self) -> str:
        """Say exactly which program this is."""
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"],
            check=False,
            capture_output=True,
            text=True,
        )
        return f"Postkeep at {done.stdout.strip() or 'an unknown revision'}, defaults, sealed"

    def command(self, *words: str, given: str = "") -> str:
        """Run one command of the command line; return what it prints."""
        done = subprocess.run(
            [*self.program, *words, "--data", str(self._root)],
            check=False,
            capture_output=True,
            text=True,
            input=given,
            timeout=120,
        )
        if done.returncode:
            raise RuntimeError(f"postkeep {' '.join(words)} failed: {done.stderr or done.stdout}")
        return done.stdout
