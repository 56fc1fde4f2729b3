"""A private Postfix: another company's MTA, sending to us and receiving from us. It needs root."""

import mailbox
import os
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
from pathlib import Path

_START_SECONDS_MAX = 30.0

_MAIN = """\
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {root}/log/maillog
maillog_file_prefixes = {root}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.{domain}
mydestination =
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {root}/mail
virtual_mailbox_maps = static:inbox/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
default_transport = smtp:[127.0.0.1]:{onward}
relay_transport = smtp:[127.0.0.1]:{onward}
smtp_tls_security_level = {tls}
smtp_tls_CAfile = {ca}
smtpd_tls_security_level = none
smtp_host_lookup = native
smtputf8_enable = yes
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions =
  check_recipient_access inline:{{ {{ refused@{domain} = 550 5.1.1 no such person }} }}
alias_maps =
alias_database =
biff = no
"""

_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def available() -> bool:
    """Whether Postfix is installed and may be started here."""
    return os.geteuid() == 0 and shutil.which("postfix") is not None


class Postfix:
    """One instance: `port` takes mail for `domain` into a Maildir and relays the rest to `onward_port`."""

    def __init__(self, domain: str, port: int, onward_port: int, *, ca: str = "", tls: str = "may") -> None:
        self.domain = domain
        self.port = port
        self.root = Path(tempfile.mkdtemp(prefix="pk-postfix-", dir="/tmp"))
        self.root.chmod(0o755)
        mail_uid = 65534  # the mail store belongs to `nobody`
        for name in ("config", "queue", "data", "log", "mail"):
            (self.root / name).mkdir()
        shutil.chown(self.root / "data", "postfix")
        os.chown(self.root / "mail", mail_uid, mail_uid)
        values = {
            "root": self.root, "domain": domain, "onward": onward_port, "port": port,
            "uid": mail_uid, "gid": mail_uid, "ca": ca, "tls": tls,
        }  # fmt: skip
        config = self.root / "config"
        (config / "main.cf").write_text(_MAIN.format(**values))
        (config / "master.cf").write_text(_MASTER.format(**values))
        for name in ("postfix-script", "post-install", "postfix-files", "dynamicmaps.cf"):
            source = Path("/etc/postfix") / name
            if source.exists():
                shutil.copy(source, config / name)

    def start(self) -> None:
        """Start it and wait for its greeting."""
        self._run("start")
        deadline = time.monotonic() + _START_SECONDS_MAX
        while True:
            try:
                with smtplib.SMTP("127.0.0.1", self.port, timeout=5):
                    return
            except OSError:
                if time.monotonic() > deadline:
                    raise RuntimeError("Postfix did not start: " + self.log()[-2000:]) from None
                time.sleep(0.1)

    def stop(self) -> None:
        """Stop it and remove its directory."""
        self._run("stop", check=False)
        shutil.rmtree(self.root, ignore_errors=True)

    def log(self) -> str:
        """What it has logged so far."""
        path = self.root / "log" / "maillog"
        return path.read_text(errors="replace") if path.exists() else ""

    def inject(self, sender: str, recipients: list[str], message: bytes) -> None:
        """Hand it a message to deliver, as one of its users would."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30) as client:
            client.sendmail(sender, recipients, message)

    def received(self) -> list[bytes]:
        """All messages that have arrived for its domain."""
        inbox = self.root / "mail" / "inbox"
        if not (inbox / "new").exists():
            return []
        return [message.as_bytes() for message in mailbox.Maildir(inbox, create=False)]

    def wait_received(self, count: int, seconds: float = 30.0) -> list[bytes]:
        """Wait until that many messages have arrived, and return them."""
        deadline = time.monotonic() + seconds
        while len(found := self.received()) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} of {count} messages arrived:\n{self.log()[-3000:]}")
            time.sleep(0.1)
        return found

    def _run(self, verb: str, *, check: bool = True) -> None:
        subprocess.run(
            ["/usr/sbin/postfix", "-c", str(self.root / "config"), verb],
            check=check, capture_output=True, timeout=60,
        )  # fmt: skip


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
