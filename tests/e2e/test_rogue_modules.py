"""Modules gone over to an attacker, with genuine keys and tickets, against a whole running node.

TM-2, TM-3, TM-8, TM-9; T1, T5, T6, T7: each is refused, and each refusal stands in the ledger.
"""

import asyncio
import imaplib
import json
import re
import smtplib
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests import node_process
from tests.node_process import Node, new_node
from tests.warrants import tenant_warrant

from postkeep.base.errors import PostkeepError
from postkeep.base.ids import new_id
from postkeep.model.audit import AuditEvent, EventName
from postkeep.model.categories import Category
from postkeep.model.selection import Selection
from postkeep.node.supervisor import believed
from postkeep.services.authority import api as authority
from postkeep.services.authority import governance_api
from postkeep.services.kms import api as kms
from postkeep.services.ledger.api import Append, Appended
from postkeep.services.queue import api as queue
from postkeep.services.vault import api as vault
from postkeep.services.vault import export_api, pages_api, rows_api
from postkeep.tickets.channel import Link
from postkeep.tickets.identity import ModuleIdentity, thumbprint

pytestmark = pytest.mark.e2e

T = TypeVar("T")
ALICE, BOB, PASSWORD = "alice@rogue.example", "bob@rogue.example", "nobody guesses this"
BETRAYED = Path(__file__).with_name("betrayed.py")


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    before = node_process.PROGRAM
    node_process.PROGRAM = [sys.executable, str(BETRAYED)]
    try:
        with new_node() as running:
            running.tenant("rogue.example")
            running.user(ALICE, PASSWORD)
            running.user(BOB, PASSWORD)
            with smtplib.SMTP("127.0.0.1", running.ports["smtp"], timeout=30) as client:
                for person in (ALICE, BOB):
                    client.sendmail(
                        "x@y.example", [person], b"Subject: private\r\n\r\nfor " + person.encode()
                    )
            yield running
    finally:
        node_process.PROGRAM = before


class Rogue:
    """A caller with a module's genuine key and ticket."""

    def __init__(self, node: Node, module: str, index: int = 0) -> None:
        (path,) = node.data.rglob(f"state/{module}*/loot-{index}.json")
        loot = json.loads(path.read_text())
        self.node = node
        self.identity = ModuleIdentity(loot["module"], loot["instance"])
        self.identity._key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(loot["key"]))
        self.identity.public_key = self.identity._key.public_key().public_bytes_raw()
        self.identity.thumbprint = thumbprint(self.identity.public_key)
        self.identity.ticket = bytes.fromhex(loot["ticket"])
        self.anchors = believed.read(node.data)

    def act(
        self, keeper: str, deed: Callable[[Link], Awaitable[T]], identity: ModuleIdentity | None = None
    ) -> T:
        async def main() -> T:
            (path,) = self.node.data.rglob(f"{keeper}.sock")
            link = Link(identity or self.identity, self.anchors, keeper, path)
            try:
                return await deed(link)
            finally:
                await link.close()

        return asyncio.run(main())

    def call(
        self, method: str, request: msgspec.Struct, reply: type[T], ticket: bytes = b"", **act: Any
    ) -> T:
        return self.act(
            method.partition(".")[0], lambda link: link.call(method, request, reply, ticket=ticket), **act
        )

    def refused(self, method: str, request: msgspec.Struct, ticket: bytes = b"", **act: Any) -> str:
        """Make the call; it must be refused. Returns the code."""
        with pytest.raises(PostkeepError) as caught:
            self.call(method, request, msgspec.Struct, ticket, **act)
        return caught.value.code

    def sign_in(self, address: str) -> authority.SignedIn:
        request = authority.SignIn(address, PASSWORD, "192.0.2.1", "imap")
        return self.call("authority.sign_in", request, authority.SignedIn)


def refusals(node: Node) -> list[dict[str, Any]]:
    entries = node.json("ledger", "show", "--count", "10000")
    return [entry for entry in entries if entry.get("outcome") == "refused"]


def expect_refusals(node: Node, before: int, more: int) -> None:
    """The ledger hears of refusals in the background: wait for it, briefly."""
    deadline = time.monotonic() + 10
    while (count := len(refusals(node))) < before + more:
        assert time.monotonic() < deadline, f"{count - before} of {more} refusals are in the ledger"
        time.sleep(0.2)


def inbox_of(rogue: Rogue, signed: authority.SignedIn) -> bytes:
    boxes = rogue.call(
        "vault.mailboxes", vault.ListMailboxes(signed.principal), vault.MailboxList, signed.ticket
    )
    return next(box.id for box in boxes.mailboxes if box.role == "inbox")


def test_without_a_ticket_a_genuine_module_gets_not_one_byte(node: Node) -> None:
    before = len(refusals(node))
    imap, relay = Rogue(node, "imap"), Rogue(node, "relay")
    someone, box = new_id(), new_id()
    attempts: list[tuple[Rogue, str, msgspec.Struct]] = [
        (imap, "vault.mailboxes", vault.ListMailboxes(someone)),
        (imap, "vault.select", rows_api.OpenMailbox(someone, box)),
        (imap, "vault.rows", rows_api.FetchRows(someone, box, [(1, 10)])),
        (imap, "vault.pages", pages_api.FetchPages(someone, box, pages_api.PageKind.FETCH, [(0, 9)])),
        (imap, "vault.summaries", vault.FetchSummaries(someone, box, [(1, 10)])),
        (imap, "vault.content", vault.FetchContent(someone, box, [vault.Range(1)])),
        (imap, "vault.epochs", vault.FetchEpochs(someone)),
        (imap, "vault.expunge", vault.Expunge(someone, box)),
        (imap, "kms.open_epochs", kms.OpenEpochs(someone, [kms.SealedEpoch(new_id(), b"x")])),
        (relay, "vault.queue_lease", queue.Lease(10, 60)),
        (relay, "kms.sign", kms.Sign("directory", b"x")),
        (relay, "kms.open_epochs", kms.OpenEpochs(someone, [kms.SealedEpoch(new_id(), b"x")])),
    ]
    for rogue, method, request in attempts:
        assert rogue.refused(method, request)
    expect_refusals(node, before, len(attempts))


def test_a_stolen_imap_reads_only_whom_it_has_a_session_of(node: Node) -> None:
    imap = Rogue(node, "imap")
    alice = imap.sign_in(ALICE)
    bob_principal = bytes.fromhex(node.json("user", "show", BOB)["principal"])
    box = inbox_of(imap, alice)
    content = imap.call(
        "vault.content",
        vault.FetchContent(alice.principal, box, [vault.Range(1)]),
        vault.ContentList,
        alice.ticket,
    )
    assert len(content.parts) == 1
    before = len(refusals(node))
    for method, request in (
        ("vault.mailboxes", vault.ListMailboxes(bob_principal)),
        ("vault.epochs", vault.FetchEpochs(bob_principal)),
        ("vault.content", vault.FetchContent(bob_principal, box, [vault.Range(1)])),
        ("kms.open_epochs", kms.OpenEpochs(bob_principal, [kms.SealedEpoch(new_id(), b"x")])),
    ):
        assert imap.refused(method, request, alice.ticket)
    expect_refusals(node, before, 4)


def test_a_users_ticket_is_worthless_to_another_module_instance(node: Node) -> None:
    imap, submission = Rogue(node, "imap"), Rogue(node, "submission")
    alice = imap.sign_in(ALICE)
    before = len(refusals(node))
    assert submission.refused("vault.mailboxes", vault.ListMailboxes(alice.principal), alice.ticket)
    other = Rogue(node, "imap", index=1)
    assert other.refused("vault.mailboxes", vault.ListMailboxes(alice.principal), alice.ticket)
    expect_refusals(node, before, 2)


def test_a_module_ticket_without_its_key_opens_no_channel(node: Node) -> None:
    imap = Rogue(node, "imap")
    thief = ModuleIdentity("imap", imap.identity.instance)
    thief.ticket = imap.identity.ticket
    before = len(refusals(node))
    assert imap.refused("vault.mailboxes", vault.ListMailboxes(new_id()), identity=thief)
    expect_refusals(node, before, 1)


def test_mx_deposits_and_can_open_nothing(node: Node) -> None:
    mx = Rogue(node, "mx")
    ticket = mx.call(
        "authority.issue_operation", authority.IssueOperation("deliver"), authority.OperationTicket
    ).ticket
    before = len(refusals(node))
    someone, box = new_id(), new_id()
    assert mx.refused("authority.issue_operation", authority.IssueOperation("relay"))
    attempts: list[tuple[str, msgspec.Struct]] = [
        ("vault.content", vault.FetchContent(someone, box, [vault.Range(1)])),
        ("vault.summaries", vault.FetchSummaries(someone, box, [(1, 9)])),
        ("vault.mailboxes", vault.ListMailboxes(someone)),
        ("vault.queue_lease", queue.Lease(1, 60)),
        ("kms.open_epochs", kms.OpenEpochs(someone, [kms.SealedEpoch(new_id(), b"x")])),
        ("kms.category_key", kms.CategoryKey(bytes(16), Category.ACCOUNT)),
        ("kms.shred", kms.Shred(tenant_warrant(someone))),
    ]
    for method, request in attempts:
        assert mx.refused(method, request, ticket)
    expect_refusals(node, before, len(attempts) + 1)


def test_an_altered_ticket_is_refused_wherever_it_was_altered(node: Node) -> None:
    imap = Rogue(node, "imap")
    alice = imap.sign_in(ALICE)
    token = alice.ticket
    before = len(refusals(node))
    places = range(0, len(token), max(1, len(token) // 12))
    for place in places:
        flipped = token[:place] + bytes([token[place] ^ 1]) + token[place + 1 :]
        assert imap.refused("vault.mailboxes", vault.ListMailboxes(alice.principal), flipped)
    expect_refusals(node, before, len(list(places)))


def test_the_operator_has_no_way_to_mail_but_an_export_that_no_module_can_make(
    node: Node, tmp_path: Path
) -> None:
    """TM-8, TM-41: an export was asked for; a steward that was taken over gets nothing of it."""
    listed = node.cli("--help").stdout.partition("Commands:")[2]
    commands = set(re.findall(r"^  (\S+)", listed, re.MULTILINE))
    assert "user" in commands
    assert not {"read", "mail", "message"} & commands
    steward = Rogue(node, "steward")
    asked = ("export", "create", ALICE, "--into", str(tmp_path / "file"), "--passphrase-stdin")
    assert node.cli(*asked, stdin="too short\n", check=False).returncode == 2
    granted = [
        one for one in node.json("ledger", "show", "--count", "10000") if one["event"] == "request.grant"
    ]
    request, _, kind = granted[-1]["note"].partition(" ")
    assert kind == "export"
    tenant, alice = (bytes.fromhex(granted[-1][name]) for name in ("tenant", "principal"))
    page = export_api.ExportPage(alice, Selection(), tenant, length=1000)
    for rogue in (steward, Rogue(node, "imap"), Rogue(node, "backup")):
        assert rogue.refused("authority.issue_grant", governance_api.IssueGrant(bytes.fromhex(request)))
        assert rogue.refused("authority.issue_export", governance_api.IssueExport(bytes.fromhex(request)))
        assert rogue.refused("vault.export_begin", export_api.ExportBegin(alice, Selection()))
        assert rogue.refused("vault.export_page", page)
    assert steward.refused("vault.content", vault.FetchContent(new_id(), new_id(), [vault.Range(1)]))
    assert steward.refused("kms.open_epochs", kms.OpenEpochs(new_id(), [kms.SealedEpoch(new_id(), b"x")]))


def test_a_module_speaks_in_the_ledger_under_its_own_name_only(node: Node) -> None:
    mx = Rogue(node, "mx")
    forged = AuditEvent(EventName.NODE, 0, "kms-0.forged", 1_000_000, note="a forgery")
    mx.call("ledger.append", Append([forged]), Appended)
    entries = node.json("ledger", "show", "--count", "10000")
    (entry,) = [entry for entry in entries if entry.get("note") == "a forgery"]
    assert entry["source"] == mx.identity.instance


async def connect(dsn: str, user: str | None = None, database: str | None = None) -> None:
    connection = await asyncpg.connect(dsn, user=user, database=database)
    await connection.close()


def test_a_keepers_database_login_opens_its_own_database_alone(node: Node) -> None:
    """TM-10: with a genuine login, and by guessing."""
    (path,) = node.data.rglob("state/vault/loot-0.json")
    dsn = json.loads(path.read_text())["dsn"]
    asyncio.run(connect(dsn))
    before = len(refusals(node))
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        asyncio.run(connect(dsn, database="kms"))
    with pytest.raises(asyncpg.InvalidPasswordError):
        asyncio.run(connect(dsn, user="authority", database="authority"))
    expect_refusals(node, before, 2)
    told = [entry["note"] for entry in refusals(node) if entry["code"] == "refused.database"]
    assert told == ["kms", "authority"]


def test_revocation_cuts_a_live_session_within_seconds(node: Node) -> None:
    tls = ssl.create_default_context(cafile=node.ca)
    client = imaplib.IMAP4_SSL("localhost", node.ports["imaps"], ssl_context=tls)
    client.login(BOB, PASSWORD)
    client.select("INBOX")
    client.send(b"x IDLE\r\n")
    assert client.readline().startswith(b"+")
    begun = time.monotonic()
    node.cli("user", "disable", BOB)
    client.sock.settimeout(5)
    assert b"BYE" in client.readline()
    assert time.monotonic() - begun < 4  # the command line itself takes about a second
    client.sock.close()
    node.cli("user", "enable", BOB)
