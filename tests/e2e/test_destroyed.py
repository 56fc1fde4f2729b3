"""What was deleted can't be opened with what is left: no key of it exists (TM-20, TM-21, TM-22).

The only bytes that open a message, a person's mail or a company's are in erasable slots. The test takes every
slot before and after, and looks for those that went in every file of the node: before (they must be in the
slot file and nowhere else, not even in PostgreSQL's log) and after (nowhere). That the rest does not open
without them is shown in `tests/integration` with every row put back.
"""

import contextlib
import imaplib
import smtplib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.node_process import Node, new_node

from postkeep.stores.slots import HEADER_BYTES

pytestmark = pytest.mark.e2e

PASSWORD = "to be or not to be kept"
ALICE, BOB, CAROL = "alice@first.example", "bob@first.example", "carol@second.example"
VAULT_RECORD_BYTES, KMS_RECORD_BYTES = 96, 32


@pytest.fixture
def node() -> Iterator[Node]:
    with new_node() as running:
        for domain in ("first.example", "second.example"):
            running.tenant(domain)
        for person in (ALICE, BOB, CAROL):
            running.user(person, PASSWORD)
            with smtplib.SMTP("127.0.0.1", running.ports["smtp"], timeout=30) as client:
                for number in range(3):
                    client.sendmail("x@y.example", [person], f"Subject: {number}\r\n\r\ntext\r\n".encode())
        yield running


@contextlib.contextmanager
def imap(node: Node, person: str) -> Iterator[imaplib.IMAP4_SSL]:
    tls = ssl.create_default_context(cafile=node.ca)
    with imaplib.IMAP4_SSL("localhost", node.ports["imaps"], ssl_context=tls) as client:
        client.login(person, PASSWORD)
        client.select("INBOX")
        yield client


def texts(client: imaplib.IMAP4_SSL) -> list[bytes]:
    """The texts of all messages in the mailbox."""
    _, found = client.uid("FETCH", "1:*", "(BODY.PEEK[TEXT])")
    return [part[1] for part in found if isinstance(part, tuple)]


def slots(node: Node, keeper: str, record_bytes: int) -> set[bytes]:
    """Every record that is not erased, of a keeper's slot files."""
    found: set[bytes] = set()
    for path in node.data.rglob("*.slots"):
        if keeper in path.parts:
            data = path.read_bytes()[HEADER_BYTES:]
            records = {data[at : at + record_bytes] for at in range(0, len(data), record_bytes)}
            found |= {record for record in records if len(record) == record_bytes and any(record)}
    return found


def files_with(node: Node, record: bytes) -> list[str]:
    """The files that hold a record's first half, the form in which a part of it would be left too."""
    needle = record[: len(record) // 2]
    return [
        str(path.relative_to(node.data))
        for path in node.data.rglob("*")
        if path.is_file() and not path.is_symlink() and needle in path.read_bytes()
    ]


def expect_gone(node: Node, before: set[bytes], after: set[bytes], places: dict[bytes, list[str]]) -> None:
    gone = before - after
    assert gone
    for record in gone:
        assert [Path(name).suffix for name in places[record]] == [".slots"]
        assert files_with(node, record) == []


def test_an_expunged_message_has_no_key_left(node: Node) -> None:
    before = slots(node, "vault", VAULT_RECORD_BYTES)
    places = {record: files_with(node, record) for record in before}
    with imap(node, ALICE) as client:
        client.store("2", "+FLAGS", "(\\Deleted)")
        client.expunge()
        after = slots(node, "vault", VAULT_RECORD_BYTES)
        assert len(before - after) == 1
        expect_gone(node, before, after, places)
        assert texts(client) == [b"text\r\n"] * 2


def test_a_deleted_persons_keys_and_wraps_are_gone_and_others_read_on(node: Node) -> None:
    keys, wraps = slots(node, "kms", KMS_RECORD_BYTES), slots(node, "vault", VAULT_RECORD_BYTES)
    places = {record: files_with(node, record) for record in keys | wraps}
    node.cli("user", "delete", ALICE, "--yes")
    expect_gone(node, keys, slots(node, "kms", KMS_RECORD_BYTES), places)
    left = slots(node, "vault", VAULT_RECORD_BYTES)
    assert len(wraps - left) == 3
    expect_gone(node, wraps, left, places)
    with imap(node, BOB) as client:
        assert texts(client) == [b"text\r\n"] * 3
    with pytest.raises(imaplib.IMAP4.error), imap(node, ALICE):
        pass


def test_a_deleted_companys_keys_are_gone_and_another_company_reads_on(node: Node) -> None:
    keys, wraps = slots(node, "kms", KMS_RECORD_BYTES), slots(node, "vault", VAULT_RECORD_BYTES)
    places = {record: files_with(node, record) for record in keys | wraps}
    node.cli("tenant", "delete", "first.example", "--yes")
    expect_gone(node, keys, slots(node, "kms", KMS_RECORD_BYTES), places)
    left = slots(node, "vault", VAULT_RECORD_BYTES)
    assert len(wraps - left) == 6
    expect_gone(node, wraps, left, places)
    with imap(node, CAROL) as client:
        assert texts(client) == [b"text\r\n"] * 3
    with (
        pytest.raises(smtplib.SMTPRecipientsRefused),
        smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=30) as client,
    ):
        client.sendmail("x@y.example", [BOB], b"Subject: late\r\n\r\ntext\r\n")
