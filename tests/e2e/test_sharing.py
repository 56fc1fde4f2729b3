"""Sharing from outside: the command line of owners and of staff, and IMAP as colleagues use it (IM-6)."""

import imaplib
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from tests.node_process import Node

pytestmark = pytest.mark.e2e

DOMAIN: Final = "sharing.example"
PASSWORD: Final = "what a nice pass"
ERIN, COLLEAGUE, TEAM = f"erin@{DOMAIN}", f"colleague@{DOMAIN}", f"team@{DOMAIN}"


@pytest.fixture(scope="module")
def office(node: Node) -> Node:
    node.tenant(DOMAIN)
    node.user(ERIN, PASSWORD)
    node.user(COLLEAGUE, PASSWORD)
    deliver(node, ERIN, "for erin")
    return node


def deliver(node: Node, address: str, subject: str) -> None:
    with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=20) as sender:
        sender.sendmail("x@elsewhere.example", [address], f"Subject: {subject}\r\n\r\nhello\r\n".encode())


@contextmanager
def imap(node: Node, address: str) -> Iterator[imaplib.IMAP4_SSL]:
    context = ssl.create_default_context(cafile=node.ca)
    with imaplib.IMAP4_SSL("localhost", node.ports["imaps"], ssl_context=context) as client:
        client.login(address, PASSWORD)
        yield client


def subject_of(client: imaplib.IMAP4_SSL, mailbox: str) -> bytes:
    assert client.select(f'"{mailbox}"') == ("OK", [b"1"])
    _, found = client.fetch("1", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    assert isinstance(found[0], tuple)
    return found[0][1]


def mailbox(node: Node, *words: str, **options: Any) -> Any:
    """Run a command of a mailbox's owner, who gives the own password."""
    return node.cli("mailbox", *words, "--password-stdin", stdin=PASSWORD + "\n", **options)


def shares(node: Node, *words: str) -> list[tuple[str, str, str]]:
    found = node.json("mailbox", "shares", *words, "--password-stdin", stdin=PASSWORD + "\n")
    return [(one["mailbox"], one["person"], one["rights"]) for one in found]


def test_an_owner_shares_sees_who_has_read_and_takes_back(office: Node) -> None:
    share = ("share", ERIN, COLLEAGUE, "--mailbox", "inbox", "--until", "2099-12-31")
    assert "2099-12-31" in mailbox(office, *share).stdout
    assert shares(office, ERIN) == [("inbox", COLLEAGUE, "lrs")]
    assert "权限" in mailbox(office, "shares", ERIN, env={"LANG": "zh_CN.UTF-8"}).stdout
    with imap(office, COLLEAGUE) as client:
        assert b"for erin" in subject_of(client, f"Other Users/{ERIN}/INBOX")
        assert client.store("1", "+FLAGS", "(\\Deleted)")[0] == "NO"
        mailbox(office, "unshare", ERIN, COLLEAGUE)
        assert client.fetch("1", "(BODY.PEEK[])")[0] == "NO"
    assert shares(office, ERIN) == []
    seen = office.json("access", ERIN, "--limit", "1000", "--password-stdin", stdin=PASSWORD + "\n")
    entries = [one["entry"] for one in seen]
    assert "mail.read" in {entry["event"] for entry in entries if entry.get("actor")}
    assert {"mail.share", "key.share"} <= {entry["event"] for entry in entries}


def test_what_owners_get_wrong_is_said_and_a_stranger_shares_nothing(office: Node) -> None:
    wrong = [
        (("share", ERIN, f"nobody@{DOMAIN}"), "nobody"),
        (("share", ERIN, COLLEAGUE, "--mailbox", "nowhere"), "inbox"),
        (("share", ERIN, COLLEAGUE, "--rights", "q"), "lrswipkxtea"),
        (("share", ERIN, COLLEAGUE, "--until", "soon"), "2"),
    ]
    for words, hint in wrong:
        refused = mailbox(office, *words, check=False)
        assert refused.returncode
        assert hint in refused.stderr
        assert "Traceback" not in refused.stderr
    share = ("mailbox", "share", ERIN, COLLEAGUE, "--password-stdin")
    assert office.cli(*share, stdin="a guess\n", check=False).returncode
    assert shares(office, ERIN) == []


def test_staff_sets_up_a_groups_mailbox_and_its_manager_shares_it(office: Node) -> None:
    office.cli("group", "create", TEAM)
    for _ in range(2):  # the same again is no error
        made = office.cli("group", "mailbox", TEAM, "--manager", COLLEAGUE)
        assert f"Shared/{TEAM}" in made.stdout
    for refused in (("mailbox", TEAM, "--manager", ERIN), ("delete", TEAM, "--yes")):
        assert office.cli("group", *refused, check=False).returncode
    deliver(office, TEAM, "to the team")
    with imap(office, ERIN) as client:
        assert client.select(f'"Shared/{TEAM}/INBOX"')[0] == "NO"
    mailbox(office, "share", COLLEAGUE, ERIN, "--of", TEAM)
    for reader in (COLLEAGUE, ERIN):
        with imap(office, reader) as client:
            assert b"to the team" in subject_of(client, f"Shared/{TEAM}/INBOX")
    assert ("", ERIN, "lrs") in shares(office, COLLEAGUE, "--of", TEAM)
    office.cli("user", "delete", TEAM, "--yes")
    with imap(office, ERIN) as client:
        assert client.select(f'"Shared/{TEAM}/INBOX"')[0] == "NO"
