"""Starts and stops the peer: its own Postfix instance and its own Dovecot, all on 127.0.0.1."""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import ports
from cgroup import CpuMeter
from peer import config


class Peer:
    """A running Postfix + Dovecot. Needs root, as both programs do."""

    name = "Postfix 3.7 + Dovecot 2.3"

    def __init__(self, root: Path, users: int, *, mailbox_format: str, encrypted: bool) -> None:
        self.password = "correct horse battery staple"
        self.smtp_port, self.imap_port = ports.free(2)
        self.users = tuple(f"user{n:03d}" for n in range(users))
        self.addresses = tuple(f"{user}@{config.DOMAIN}" for user in self.users)
        self.meter = CpuMeter("peer")
        self._layout = config.PeerLayout(
            root,
            self.smtp_port,
            self.imap_port,
            self.users,
            self.password,
            mailbox_format,
            encrypted,
        )

    def start(self) -> None:
        """Write the configuration, make the users' keys, start both programs, wait for their ports."""
        shutil.rmtree(self._layout.root, ignore_errors=True)
        config.write(self._layout)
        self._run("dovecot", "-c", self._dovecot_conf)
        if self._layout.encrypted:
            for address in self.addresses:
                self._run(
                    "doveadm",
                    *("-c", self._dovecot_conf),
                    *("-o", f"plugin/mail_crypt_private_password={self.password}"),
                    *("mailbox", "cryptokey", "generate", "-u", address, "-U"),
                )
        self._run("postfix", "-c", str(self._layout.postfix / "etc"), "start")
        ports.wait(self.smtp_port)
        ports.wait(self.imap_port)

    def stop(self) -> None:
        """Stop both programs and wait until all their processes are gone."""
        subprocess.run(
            ["postfix", "-c", str(self._layout.postfix / "etc"), "stop"], check=False, capture_output=True
        )
        subprocess.run(["doveadm", "-c", self._dovecot_conf, "stop"], check=False, capture_output=True)
        for _ in range(100):
            if not self.meter.pids():
                break
            time.sleep(0.1)
        self.meter.close()

    def versions(self) -> str:
        """Say exactly which programs these are."""
        postfix = subprocess.run(
            ["postconf", "-d", "-h", "mail_version"], check=True, capture_output=True, text=True
        ).stdout.strip()
        dovecot = subprocess.run(["dovecot", "--version"], check=True, capture_output=True, text=True).stdout
        return f"Postfix {postfix}, Dovecot {dovecot.split()[0]}, {self._layout.mailbox_format}" + (
            ", mail_crypt on P-256 with folder keys" if self._layout.encrypted else ", mail in the clear"
        )

    @property
    def _dovecot_conf(self) -> str:
        return str(self._layout.dovecot / "etc" / "dovecot.conf")

    def _run(self, *argv: str) -> None:
        # A file and no pipe: daemons keep what they are given, and a pipe would never end.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                argv, check=False, stdout=output, stderr=output, preexec_fn=self.meter.preexec(), timeout=60
            )
            if done.returncode:
                output.seek(0)
                raise RuntimeError(f"{argv[0]} failed: {output.read()}")
