"""D1: no word of anyone's mail is on the device, deleted blocks, journals and write-ahead log included.

The node lies on an ext4 file system in an image file, which is searched byte by byte: below every file, what
was written and removed again too. A word that was written in the clear and deleted shows that the search
sees that.
"""

import asyncio
import base64
import contextlib
import imaplib
import os
import shutil
import smtplib
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest
from tests.corpus import messages
from tests.e2e.test_nothing_readable import search
from tests.node_process import Node, free_base_port
from tests.smtp_sink import Act, Sink, running

from postkeep.protocols.smtp.events import Event, Rcpt
from postkeep.protocols.smtp.replies import Reply

pytestmark = pytest.mark.e2e

SEARCHED = 12  # records of slots that are looked for in all of the device: a pass over it for each
CANARIES = int(os.environ.get("POSTKEEP_CANARIES", "40"))
IMAGE_BYTES = 448 * 1024 * 1024
PASSWORD = "zebrafish-carousel-82"
OWNER, COLLEAGUE = "quixotic.wanderer@device.example", "marmalade.jones@device.example"
ATTACHED, ATTACHMENT = b"marzipan figures as they were attached to a message", "bergamot-ledger.csv"
DRAFT, SOUGHT, QUEUED, BOUNCED, CONTACT = (
    "perihelion draft",
    "clandestine sought",
    "labyrinth queued",
    "periwinkle bounced",
    "vermilion.contact",
)
PLAIN = "written in the clear"
CONFIG = '[relay]\nsmarthost = "127.0.0.1:{port}"\nallow_private_addresses = true\nretry_seconds = [3600]\n'
BUSY, UNKNOWN = "busy", "unknown"


class Smarthost:
    """Takes nothing: one recipient is to be tried again later, the other does not exist."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._sink = Sink(self._answer)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._thread.start()
        self._ready.wait()

    @property
    def port(self) -> int:
        return self._sink.port

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        async with running(self._sink):
            self._ready.set()
            await self._stop.wait()

    @staticmethod
    def _answer(event: Event) -> Act | None:
        if not isinstance(event, Rcpt):
            return None
        unknown = str(event.recipient).startswith(UNKNOWN)
        return Reply(550, "5.1.1", "no such user") if unknown else Reply(451, "4.3.0", "later")


@pytest.fixture
def device() -> Iterator[tuple[Path, Node]]:
    """A node on a file system of its own, and the image that is its device."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    directory = Path(tempfile.mkdtemp(prefix="pk-", dir="/tmp"))
    directory.chmod(0o755)
    image, mount = directory / "image" / "device", directory / "disk"
    image.parent.mkdir()
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "nodiscard", str(image)], check=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(mount)], check=False).returncode:
        shutil.rmtree(directory)
        pytest.skip("this machine has no loop devices")
    smarthost = Smarthost()
    config = CONFIG.format(port=smarthost.port)
    node = Node(directory, free_base_port(), config, below="disk")
    try:
        node.data.mkdir()
        node.data.parent.chmod(0o755)
        (node.data / "postkeep.toml").write_text(config)
        node.cli("init")
        node.start()
        yield image, node
    finally:
        if node.process is not None and node.process.poll() is None:
            node.stop()
        smarthost.close()
        subprocess.run(["umount", str(mount)], check=False)
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def signed_in(node: Node) -> Iterator[imaplib.IMAP4_SSL]:
    tls = ssl.create_default_context(cafile=node.ca)
    with imaplib.IMAP4_SSL("localhost", node.ports["imaps"], ssl_context=tls, timeout=60) as client:
        client.login(OWNER, PASSWORD)
        yield client


def fill(node: Node) -> list[bytes]:
    """Put a canary everywhere a word of a person's can get; return them all."""
    node.tenant("device.example")
    for person in (OWNER, COLLEAGUE):
        node.user(person, PASSWORD)
    samples = list(messages(CANARIES, seed=21))
    with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=60) as client:
        for sample in samples:
            client.sendmail("penelope.outside@elsewhere.example", [OWNER], sample.data)
    with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=60) as client:  # one takes 1,000 messages
        client.sendmail("penelope.outside@elsewhere.example", [OWNER], with_attachment())
    with signed_in(node) as client:
        draft = f"From: {OWNER}\r\nSubject: {DRAFT}\r\n\r\n{DRAFT}\r\n".encode()
        assert client.append("Drafts", r"(\Draft)", "", draft)[0] == "OK"
        client.select("INBOX")
        assert client.search(None, "TEXT", f'"{SOUGHT}"')[0] == "OK"
    tls = ssl.create_default_context(cafile=node.ca)
    with smtplib.SMTP_SSL("localhost", node.ports["submissions"], context=tls, timeout=60) as client:
        client.login(OWNER, PASSWORD)
        queued = f"From: {OWNER}\r\nTo: {CONTACT}@elsewhere.example\r\nSubject: {QUEUED}\r\n\r\n{QUEUED}\r\n"
        client.sendmail(OWNER, [f"{BUSY}.{CONTACT}@elsewhere.example"], queued.encode())
        bounced = f"From: {OWNER}\r\nSubject: {BOUNCED}\r\n\r\n{BOUNCED}\r\n"
        client.sendmail(OWNER, [f"{UNKNOWN}.{CONTACT}@elsewhere.example"], bounced.encode())
    words = {word.lower() for sample in samples for word in sample.canaries}
    words |= {DRAFT, SOUGHT, QUEUED, BOUNCED, CONTACT, PASSWORD, "penelope.outside", ATTACHMENT}
    # Attached octets as they are, and as they came: nothing needs to decode them in order to leak them.
    words |= {ATTACHED.decode(), base64.b64encode(ATTACHED).decode().lower()}
    words |= {person.partition("@")[0] for person in (OWNER, COLLEAGUE)}
    return sorted({word.encode() for word in words})


def with_attachment() -> bytes:
    """A message whose attachment is of octets, so that it travels in base64."""
    message = EmailMessage()
    message["From"], message["Subject"] = "penelope.outside@elsewhere.example", "attached"
    message.set_content("see there\n")
    message.add_attachment(ATTACHED * 1000, "application", "octet-stream", filename=ATTACHMENT)
    data = message.as_bytes(policy=SMTP)
    assert base64.b64encode(ATTACHED) in data
    return data


def until_reported(node: Node) -> None:
    """Wait for the report on the recipient who does not exist: the last message to come."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with signed_in(node) as client:
            if int(client.select("INBOX")[1][0] or 0) == CANARIES + 2:
                return
        time.sleep(0.3)
    raise AssertionError("no report of failure came")


def write_and_remove(node: Node) -> None:
    """Leave a readable word in a block that no file has any more."""
    file = node.data.parent / "readable"
    file.write_text(f"{PLAIN} " * 1000)
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
    file.unlink()


def test_no_canary_is_on_the_device_and_no_destroyed_key_is_left_on_it(device: tuple[Path, Node]) -> None:
    image, node = device
    words = fill(node)
    until_reported(node)
    write_and_remove(node)
    wraps, keys = _records(node, "vault", 96), _records(node, "kms", 32)
    node.stop()
    subprocess.run(["sync"], check=True)
    assert search(image.parent, [*words, PLAIN.encode()]) == {PLAIN.encode(): "device"}
    device_bytes = image.read_bytes()
    assert all(record in device_bytes for record in keys[:3] + wraps[:3])
    node.start()
    order = node.json("destroy", "person", OWNER, "--yes", "--wait")
    assert order["step"] == "certified"
    node.stop()
    subprocess.run(["sync"], check=True)
    gone = set(wraps + keys) - set(_records(node, "vault", 96)) - set(_records(node, "kms", 32))
    assert len(gone) > CANARIES
    device_bytes = image.read_bytes()
    sample = [*(gone & set(keys)), *sorted(gone)[:SEARCHED]]
    assert [record for record in sample if record in device_bytes] == []


def _records(node: Node, keeper: str, size: int) -> list[bytes]:
    """Every record of a keeper's slots that is not erased."""
    name = {"vault": "wraps.slots", "kms": "keys.slots"}[keeper]
    data = (node.data / "state" / keeper / name).read_bytes()[64:]
    records = [data[at : at + size] for at in range(0, len(data), size)]
    return [record for record in records if len(record) == size and any(record)]
