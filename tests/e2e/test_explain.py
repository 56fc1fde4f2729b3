"""Decisions explained from the ledger, ticket keys that outlive the authority, enrolment bound to a process.

On a whole node, as its operator and its users see it. TM-6, TM-9; T5, T10 and cross rule 2 of the acceptance.
"""

import asyncio
import imaplib
import json
import os
import signal
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import node_process
from tests.node_process import Node, new_node

from postkeep.base.errors import RefusedError
from postkeep.node.supervisor import believed
from postkeep.services.authority.api import Enrol, ModuleTicket
from postkeep.tickets.channel import Link
from postkeep.tickets.identity import ModuleIdentity

pytestmark = pytest.mark.e2e

ALICE, PASSWORD = "alice@explain.example", "nobody guesses this either"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with new_node() as running:
        running.tenant("explain.example")
        running.user(ALICE, PASSWORD)
        client = signed_in(running)
        client.append("INBOX", "", "", b"Subject: x\r\n\r\nhello")
        assert reads(client)
        client.shutdown()
        yield running


def connected(node: Node) -> imaplib.IMAP4_SSL:
    return imaplib.IMAP4_SSL(
        "localhost", node.ports["imaps"], ssl_context=ssl.create_default_context(cafile=node.ca)
    )


def signed_in(node: Node) -> imaplib.IMAP4_SSL:
    client = connected(node)
    client.login(ALICE, PASSWORD)
    client.select("INBOX")
    return client


def reads(client: imaplib.IMAP4_SSL) -> bool:
    return client.fetch("1", "BODY[]")[0] == "OK"


def entries(node: Node) -> list[dict[str, Any]]:
    return list(node.json("ledger", "show", "--count", "1000"))


def entry(node: Node, event: str, outcome: str = "ok", **fields: str) -> int:
    """Wait for an entry like this, and return its number: the last one."""
    wanted = {"event": event, "outcome": outcome, **fields}
    deadline = time.monotonic() + 10
    while True:
        found = [
            number
            for number, item in enumerate(entries(node))
            if all(item.get(name) == value for name, value in wanted.items())
        ]
        if found:
            return found[-1]
        assert time.monotonic() < deadline, wanted
        time.sleep(0.2)


def test_a_read_is_explained_from_its_entry_in_both_languages(node: Node) -> None:
    number = entry(node, "mail.read", method="vault.content", category="content")
    told = node.cli("explain", str(number)).stdout
    for words in (
        "mail was read. It was allowed.",
        "a module of the kind imap",
        "vault.content may be called by imap, showing a ticket of the kind user that allows mail.read",
        "By which policy it was issued: user.reads-and-writes-over-imap.",
        "What the ticket allows: user mail.read,mail.write content,metadata at vault,kms.",
        "a ticket was issued",
    ):
        assert words in told
    chinese = node.cli("explain", str(number), "--lang", "zh-CN").stdout
    assert "读取邮件" in chinese
    value = node.json("explain", str(number))
    assert value["decision"] == "allowed"
    issued = value["ticket"]["entry"]
    issue = node.json("explain", str(issued))
    assert (issue["decision"], issue["event"]["ticket"]) == ("issued", value["event"]["ticket"])
    assert number in [item["index"] for item in issue["after"]]


def test_a_refusal_is_explained_with_the_check_and_what_was_needed(node: Node) -> None:
    client = connected(node)
    with pytest.raises(imaplib.IMAP4.error):
        client.login(ALICE, "wrong")
    client.shutdown()
    told = node.cli("explain", str(entry(node, "sign_in", "refused"))).stdout
    assert "Which check said no: sign-in (refused.credentials)." in told
    assert "Needed: the password of an account that is active." in told
    missing = node.cli("explain", "99999999", check=False)
    assert (missing.returncode, "no entry 99999999" in missing.stderr) == (1, True)


def test_every_entry_of_a_node_can_be_explained(node: Node) -> None:
    decided = {item["event"]: number for number, item in enumerate(entries(node))}
    assert {"ticket.issue", "sign_in", "mail.read", "key.release", "key.create"} <= set(decided)
    for event, number in decided.items():
        told = node.cli("explain", str(number)).stdout
        assert f"Entry {number}, " in told, event


def test_sessions_outlive_a_killed_authority_and_a_rotated_ticket_key(node: Node) -> None:
    client = signed_in(node)
    assert reads(client)
    node_pid = node.processes()["authority-0"]
    os.kill(node_pid, signal.SIGKILL)
    assert reads(client)
    told = node.cli("key", "rotate", "ticket").stdout
    assert "Tickets are signed with the key" in told
    again = node.cli("key", "rotate", "ticket", check=False)
    assert (again.returncode, "quarter of an hour" in again.stderr) == (1, True)
    assert "一刻钟" in node.cli("key", "rotate", "ticket", "--lang", "zh-CN", check=False).stderr
    assert reads(client)
    later = signed_in(node)
    assert reads(later)
    later.shutdown()
    client.shutdown()
    keys = json.loads((node.data / "authority.keys").read_text())
    assert len(keys["authority"]) == 2
    entry(node, "key.rotate", note="ticket")


def test_the_policy_is_shown(node: Node) -> None:
    told = node.cli("policy", "show").stdout
    assert '@id("never.mail-without-its-user")' in told
    assert "never.mail-without-its-user" in node.json("policy", "show")["policies"]


def test_a_foreign_process_with_the_enrolment_secret_gets_no_ticket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The secret is good from the process that the supervisor started, and from no other of its user."""
    monkeypatch.setattr(node_process, "PROGRAM", [sys.executable, str(Path(__file__).with_name("leaky.py"))])
    monkeypatch.setenv("LEAK_PID", str(os.getpid()))
    with new_node() as running:
        (path,) = running.data.rglob("authority.sock")

        async def enrol(instance: str) -> bytes:
            identity = ModuleIdentity("mx", instance)
            secret = bytes.fromhex((running.data / instance).read_text())
            link = Link(identity, believed.read(running.data), "authority", path)
            try:
                request = Enrol("mx", instance, secret, identity.public_key)
                return (await link.call("authority.enrol", request, ModuleTicket)).ticket
            finally:
                await link.close()

        assert asyncio.run(enrol("mx-9.own"))
        with pytest.raises(RefusedError) as caught:
            asyncio.run(enrol("mx-8.stolen"))
        assert caught.value.code == "refused.enrolment"
        told = running.cli("explain", str(entry(running, "ticket.refuse", "refused"))).stdout
        assert "Which check said no: enrolment (refused.enrolment)." in told
        assert "Not the process that was started for this instance." in told
