"""What an operator does stands in the ledger: one event for every command, saying who, what and on whom."""

import smtplib
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from tests.node_process import Node, new_node

from postkeep.tickets.rules import MODULES

pytestmark = pytest.mark.e2e

ANN, TEAM = "ann@acts.example", "team@acts.example"
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with new_node(config='[relay]\nsmarthost = "127.0.0.1:9"\nallow_private_addresses = true\n') as node:
        yield node


class Clerk:
    """Runs commands, and reads what the ledger has got of each."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.sessions: set[str] = set()

    def events(self) -> list[dict[str, Any]]:
        found = self.node.json("ledger", "show", "--count", "1000")
        assert isinstance(found, list)
        return found

    def run(self, note: str, *command: str, stdin: str = "") -> dict[str, Any]:
        """Run a command; return the one event that it has left, which is of an operator's own session."""
        before = sum(event["event"] == "admin" for event in self.events())
        self.node.cli(*command, stdin=stdin)
        events = self.events()
        left = [event for event in events if event["event"] == "admin"][before:]
        assert [event["note"] for event in left] == [note], command
        (event,) = left
        assert (event["actor"], event["module"]) == ("operator", "cli")
        assert event["source"].startswith("steward-")
        assert event["session"] not in self.sessions
        self.sessions.add(event["session"])
        issued = [one for one in events if one["event"] == "ticket.issue"]
        assert event["ticket"] in {one["ticket"] for one in issued if one["session"] == event["session"]}
        return dict(event)


def queue_one(node: Node) -> str:
    """Send a message to the outside, where it can't go; return its item."""
    context = ssl.create_default_context(cafile=node.ca)
    with smtplib.SMTP_SSL("localhost", node.ports["submissions"], timeout=20, context=context) as client:
        client.login(ANN, PASSWORD)
        client.sendmail(ANN, ["x@far.example"], f"From: {ANN}\r\nSubject: out\r\n\r\nhello\r\n".encode())
    (row,) = node.json("queue", "list")
    return str(row["id"])


def test_every_command_that_changes_something_leaves_one_event_of_who_did_what_on_whom(node: Node) -> None:
    clerk = Clerk(node)
    tenant = clerk.run("tenant_create", "tenant", "create", "acts.example")["tenant"]
    made = clerk.run("user_create", "user", "create", ANN, "--password-stdin", stdin=PASSWORD + "\n")
    ann = made["principal"]
    assert (made["tenant"], len(tenant), len(ann)) == (tenant, 32, 32)

    def on(event: dict[str, Any], principal: str = "") -> None:
        assert (event["tenant"], event["principal"]) == (tenant, principal)

    on(clerk.run("domain_add", "domain", "add", "acts.example", "acts2.example"))
    on(clerk.run("domain_delete", "domain", "delete", "acts2.example"))
    on(clerk.run("user_quota", "user", "quota", ANN, "1G"), ann)
    on(clerk.run("user_password", "user", "password", ANN, "--password-stdin", stdin=PASSWORD + "\n"), ann)
    on(clerk.run("user_disabled", "user", "disable", ANN), ann)
    on(clerk.run("user_active", "user", "enable", ANN), ann)
    on(clerk.run("alias_create", "alias", "create", "a@acts.example", ANN), ann)
    on(clerk.run("alias_delete", "alias", "delete", "a@acts.example"), ann)
    on(clerk.run("address_grant", "user", "grant", ANN, "sales@acts.example"), ann)
    on(clerk.run("app_password_create", "app-password", "create", ANN, "phone"), ann)
    (phone,) = node.json("app-password", "list", ANN)
    on(clerk.run("app_password_delete", "app-password", "delete", ANN, phone["id"]), ann)
    on(clerk.run("token_create", "token", "create", ANN, "laptop"), ann)
    (laptop,) = node.json("token", "list", ANN)
    on(clerk.run("token_delete", "token", "delete", ANN, laptop["id"]), ann)
    team = clerk.run("group_create", "group", "create", TEAM, "--member", ANN)["principal"]
    on(clerk.run("group_members", "group", "members", TEAM, ANN), team)
    on(clerk.run("group_delete", "group", "delete", TEAM, "--yes"), team)

    item = queue_one(node)
    for act in ("hold", "release", "retry"):
        assert clerk.run(f"queue_{act}", "queue", act, item)["count"] == 1
    assert clerk.run("queue_delete", "queue", "delete", "--all")["count"] == 0
    acted = [event for event in clerk.events() if event["event"] == "queue"]
    told = [(event["note"], event["tenant"]) for event in acted if event["module"] == "steward"]
    assert told == [(act, tenant) for act in ("hold", "release", "retry", "delete")]

    on(clerk.run("user_delete", "user", "delete", ANN, "--yes"), ann)
    on(clerk.run("tenant_delete", "tenant", "delete", "acts.example", "--yes"))


def test_what_only_looks_leaves_none_and_callers_are_named_alike_by_all(node: Node) -> None:
    clerk = Clerk(node)
    before = sum(event["event"] == "admin" for event in clerk.events())
    for command in (("tenant", "list"), ("user", "list"), ("queue", "list"), ("store", "check")):
        node.cli(*command)
    events = clerk.events()
    assert sum(event["event"] == "admin" for event in events) == before
    modules = {*MODULES, "cli"}
    for event in events:
        assert event["module"] in modules | {""}, event
        assert event["instance"].split(".")[0].split("-")[0] in {event["module"], ""}, event
        assert event["source"] not in modules, event
