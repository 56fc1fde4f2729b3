"""Keys, tickets and passwords never reach a log, an argument, an environment, a page, a dump or a file (T10).

The node is run by a program that leaves every module's own secrets where the test finds them, so that the
search knows what to look for; the same search then finds them there, which proves that it can.
"""

import base64
import json
import os
import re
import signal
import smtplib
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import node_process
from tests.node_process import Node, new_node

pytestmark = pytest.mark.e2e

BETRAYED = Path(__file__).with_name("betrayed.py")
PASSWORD = "harpsichord-lantern-47"
PERSON = "carol@secrets.example"
ON_PURPOSE = re.compile(r"loot-\d+\.json\Z|root\.key\Z")
METRICS_OFFSET = 20
DUMP_WAIT_SECONDS = 5.0


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    before = node_process.PROGRAM
    node_process.PROGRAM = [sys.executable, str(BETRAYED)]
    try:
        with new_node(config='[log]\nlevel = "debug"\n') as running:
            running.tenant("secrets.example")
            running.user(PERSON, PASSWORD)
            work(running)
            yield running
    finally:
        node_process.PROGRAM = before


def work(node: Node) -> None:
    """Use every way in, with good and with bad passwords, so that there is something to leak."""
    with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=30) as client:
        client.sendmail("x@y.example", [PERSON], b"Subject: hello\r\n\r\nhello\r\n")
    import imaplib
    import ssl

    context = ssl.create_default_context(cafile=node.ca)
    for password in (PASSWORD + "-wrong", PASSWORD):
        with imaplib.IMAP4_SSL("localhost", node.ports["imaps"], ssl_context=context) as client_imap:
            try:
                client_imap.login(PERSON, password)
            except imaplib.IMAP4.error:
                continue
            client_imap.select("INBOX")
            client_imap.fetch("1", "(BODY[])")
    with smtplib.SMTP_SSL("localhost", node.ports["submissions"], context=context, timeout=30) as sender:
        sender.login(PERSON, PASSWORD)
        sender.sendmail(PERSON, [PERSON], f"From: {PERSON}\r\nSubject: again\r\n\r\nhello\r\n".encode())
    node.cli("user", "password", PERSON, "--password-stdin", stdin=PASSWORD + "\n")


def forms(secret: bytes) -> set[bytes]:
    """Return the ways in which octets are usually written."""
    encoded = base64.b64encode(secret).rstrip(b"=")
    return {secret, secret.hex().encode(), encoded, base64.urlsafe_b64encode(secret).rstrip(b"=")}


def secrets_of(node: Node) -> dict[bytes, str]:
    """Return everything that must stay in, in every form, with what it is."""
    found: dict[bytes, str] = {PASSWORD.encode(): "a password"}
    loot = list(node.data.rglob("loot-*.json"))
    assert len(loot) >= 9, "every module has left its secrets"
    for path in loot:
        told = json.loads(path.read_text())
        for form in forms(bytes.fromhex(told["key"])):
            found[form] = f"the key of {told['instance']}"
        if told["ticket"]:  # the authority makes its own a moment later
            found[bytes.fromhex(told["ticket"])] = f"the ticket of {told['instance']}"
        if password := re.search(r"://[^:]+:([^@]+)@", told["dsn"]):
            found[password[1].encode()] = f"the database password of {told['module']}"
    (root,) = node.data.rglob("root.key")
    for form in forms(root.read_bytes()):
        found[form] = "the root key"
    return found


def leaks(data: bytes, secrets: dict[bytes, str]) -> set[str]:
    return {what for secret, what in secrets.items() if secret in data}


def files(directory: Path) -> Iterator[Path]:
    """List what is on the disk, but for the two kinds of files that hold a secret on purpose."""
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink() and not ON_PURPOSE.match(path.name):
            yield path


def tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from tree(int(child))


def test_the_search_finds_what_lies_open(node: Node) -> None:
    secrets = secrets_of(node)
    told = b"".join(path.read_bytes() for path in node.data.rglob("loot-*.json"))
    assert any(what.startswith("the key of kms") for what in leaks(told, secrets))
    assert any(what.startswith("the database password of vault") for what in leaks(told, secrets))


def test_no_secret_is_in_the_logs_or_anywhere_on_the_disk(node: Node) -> None:
    secrets = secrets_of(node)
    assert b'"level":"debug"' in node.log.read_bytes()
    for path in (node.log, *files(node.data)):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue  # PostgreSQL removes files as it runs
        assert leaks(data, secrets) == set(), path


def test_no_secret_is_in_arguments_environments_or_on_the_metrics_page(node: Node) -> None:
    secrets = secrets_of(node)
    assert node.process is not None
    pids = list(tree(node.process.pid))
    assert len(pids) > 15
    for pid in pids:
        for name in ("cmdline", "environ"):
            try:
                data = Path(f"/proc/{pid}/{name}").read_bytes()
            except OSError:
                continue  # a backend of PostgreSQL that has ended
            assert leaks(data, secrets) == set(), (pid, name)
    page = f"http://127.0.0.1:{node.base_port + METRICS_OFFSET}/metrics"
    with urllib.request.urlopen(page, timeout=10) as answer:
        assert leaks(answer.read(), secrets) == set()


def test_no_secret_is_left_in_temporary_files(node: Node) -> None:
    secrets = secrets_of(node)
    for place in {Path(tempfile.gettempdir()), Path("/dev/shm"), Path("/var/tmp")}:
        for path in place.iterdir():
            if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
                assert leaks(path.read_bytes(), secrets) == set(), path


def test_a_module_that_crashes_leaves_no_dump(node: Node) -> None:
    """Every module is brought down by the signal that dumps memory; nothing of it appears on the disk."""
    processes = node.processes()
    for slot in ("kms-0", "authority-0", "imap-0"):
        pid = processes[slot]
        assert re.search(r"Max core file size\s+0\s+0\s", Path(f"/proc/{pid}/limits").read_text())
        os.kill(pid, signal.SIGSEGV)
    deadline = time.monotonic() + DUMP_WAIT_SECONDS
    while any(Path(f"/proc/{processes[slot]}").exists() for slot in ("kms-0", "authority-0", "imap-0")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    dumps = [path for path in node.directory.rglob("*core*") if path.is_file() and _is_dump(path)]
    assert dumps == []
    secrets = secrets_of(node)
    assert leaks(node.log.read_bytes(), secrets) == set()


def _is_dump(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"
