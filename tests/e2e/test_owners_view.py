"""The owner's own ledger, after a random day of acts through real protocols (A7; the owner's view).

Twice the ground truth: what the test itself did, act by act; and the installation's log as the operator
reads it, entry for entry. Another person's entries never appear. Erasing a person ends the sealed values,
and the log still verifies.
"""

import contextlib
import imaplib
import json
import random
import smtplib
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import pytest
from tests.node_process import Node, new_node

pytestmark = pytest.mark.e2e

PASSWORD: Final = "correct horse battery staple"
ANN, BOB, CARA = "ann@day.example", "bob@day.example", "cara@other.example"
ACTS: Final = 40
LOG_MAX: Final = "100000"


class Day:
    """Does things to mailboxes, and keeps what must stand in whose ledger."""

    def __init__(self, node: Node, seed: int) -> None:
        self.node = node
        self.pick = random.Random(seed)
        self.truth: dict[str, Counter[tuple[str, str, str, int]]] = {ANN: Counter(), BOB: Counter()}
        self.stored = Counter[str]()
        self.numbers = 0

    def expect(self, owner: str, event: str, what: str, count: int = 0, outcome: str = "ok") -> None:
        self.truth[owner][event, what, outcome, count] += 1

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.node.ca)

    @contextlib.contextmanager
    def imap(self, owner: str) -> Iterator[imaplib.IMAP4_SSL]:
        client = imaplib.IMAP4_SSL("localhost", self.node.ports["imaps"], ssl_context=self.tls())
        client.xatom("ID", '("name" "Day Client" "version" "7")')
        client.login(owner, PASSWORD)
        self.expect(owner, "sign_in", "imap")
        client.select("INBOX")
        try:
            yield client
        finally:
            client.logout()
            self.expect(owner, "sign_out", "")

    def text(self, sender: str) -> bytes:
        self.numbers += 1
        return f"From: {sender}\r\nSubject: number {self.numbers}\r\n\r\nwords\r\n".encode()

    def deliver(self, owner: str) -> None:
        with smtplib.SMTP("127.0.0.1", self.node.ports["smtp"], timeout=20) as client:
            client.sendmail("s@elsewhere.example", [owner], self.text("s@elsewhere.example"))
        self.stored[owner] += 1
        self.expect(owner, "mail.deposit", "vault.deposit", 1)

    def deliver_to_both(self, owner: str) -> None:
        del owner
        with smtplib.SMTP("127.0.0.1", self.node.ports["smtp"], timeout=20) as client:
            client.sendmail("s@elsewhere.example", [ANN, BOB], self.text("s@elsewhere.example"))
        for each in (ANN, BOB):
            self.stored[each] += 1
            self.expect(each, "mail.deposit", "vault.deposit", 1)

    def wrong_password(self, owner: str) -> None:
        client = imaplib.IMAP4_SSL("localhost", self.node.ports["imaps"], ssl_context=self.tls())
        with pytest.raises(imaplib.IMAP4.error):
            client.login(owner, "a wrong guess")
        client.shutdown()
        self.expect(owner, "sign_in", "imap", outcome="refused")

    def read(self, owner: str) -> None:
        with self.imap(owner) as client:
            count = self.pick.randint(1, self.stored[owner])
            client.fetch(f"1:{count}", "(BODY.PEEK[])")
            self.expect(owner, "mail.read", "vault.content", count)

    def flag(self, owner: str) -> None:
        with self.imap(owner) as client:
            client.store("1", self.pick.choice(["+FLAGS", "-FLAGS"]), "(\\Flagged $Work)")

    def copy(self, owner: str) -> None:
        with self.imap(owner) as client:
            client.copy("1", "Archive")
            self.expect(owner, "mail.write", "vault.copy", 1)

    def append(self, owner: str) -> None:
        with self.imap(owner) as client:
            client.append("INBOX", "", "", self.text(owner))
        self.stored[owner] += 1
        self.expect(owner, "mail.deposit", "vault.append", 1)

    def expunge(self, owner: str) -> None:
        if self.stored[owner] < 2:
            return
        with self.imap(owner) as client:
            client.store("1", "+FLAGS", "(\\Deleted)")
            client.expunge()
        self.stored[owner] -= 1
        self.expect(owner, "mail.shred", "vault.expunge", 1)

    def search(self, owner: str) -> None:
        with self.imap(owner) as client:
            client.search(None, "SUBJECT", "number")

    def send(self, owner: str) -> None:
        other = BOB if owner == ANN else ANN
        with smtplib.SMTP_SSL(
            "localhost",
            self.node.ports["submissions"],
            timeout=20,
            context=self.tls(),
            local_hostname="day.laptop",
        ) as client:
            client.login(owner, PASSWORD)
            client.sendmail(owner, [other], self.text(owner))
        self.stored[other] += 1
        self.expect(owner, "sign_in", "submission")
        self.expect(owner, "sign_out", "")

    def quota(self, owner: str) -> None:
        self.node.cli("user", "quota", owner, f"{self.pick.randint(1, 9)}G")
        self.expect(owner, "directory", "user.quota")

    def password(self, owner: str) -> None:
        self.node.cli("user", "password", owner, "--password-stdin", stdin=PASSWORD + "\n")
        self.expect(owner, "directory", "user.password")

    def live(self) -> None:
        acts = [
            *[self.deliver, self.deliver_to_both, self.wrong_password, self.read, self.flag, self.copy],
            *[self.append, self.expunge, self.search, self.send, self.quota, self.password],
        ]
        for owner in (ANN, BOB):
            self.deliver(owner)
        for act in [*acts, *self.pick.choices(acts, k=ACTS - len(acts))]:
            act(self.pick.choice((ANN, BOB)))


@pytest.fixture(scope="module")
def day() -> Iterator[Day]:
    with new_node(config="[ledger]\nanchor_seconds = 1.0\n") as node:
        for domain in ("day.example", "other.example"):
            node.tenant(domain)
        for owner in (ANN, BOB, CARA):
            node.user(owner, PASSWORD)
        made = Day(node, seed=20260301)
        made.live()
        time.sleep(1.0)  # what may be told a moment later has been told
        yield made


def access(
    node: Node, owner: str, *arguments: str, password: str = PASSWORD
) -> "subprocess.CompletedProcess[str]":
    return node.cli("access", owner, "--password-stdin", *arguments, stdin=password + "\n", check=False)


def view(node: Node, owner: str, *arguments: str) -> list[dict[str, Any]]:
    done = access(node, owner, "--limit", LOG_MAX, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    seen: list[dict[str, Any]] = json.loads(done.stdout)
    return seen


def log(node: Node) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(node.cli("ledger", "show", "--count", "4096", "--json").stdout)
    return entries


def principal_of(node: Node, owner: str) -> str:
    value = node.json("user", "show", owner)
    return str(value["principal"])


def test_the_view_is_complete_to_the_entry_and_has_nobody_elses(day: Day) -> None:
    for owner in (ANN, BOB):
        mine = principal_of(day.node, owner)
        seen = view(day.node, owner)
        newest = seen[0]["index"]
        indexes = [one["index"] for one in seen]
        assert indexes == sorted(indexes, reverse=True)
        assert {one["entry"]["principal"] for one in seen} == {mine}
        entries = log(day.node)
        about_me = [entry for entry in entries if entry["principal"] == mine]
        numbered = {(one["entry"]["source"], one["entry"]["number"]) for one in seen}
        # What stands after the view's newest entry came with the view itself.
        missing = [entry for entry in about_me if (entry["source"], entry["number"]) not in numbered]
        assert {entry["module"] for entry in missing} <= {"owner"}, (newest, missing)
        assert len(seen) >= len(about_me) - len(missing)


def test_the_view_agrees_with_what_was_done(day: Day) -> None:
    for owner in (ANN, BOB):
        facts = Counter[tuple[str, str, str, int]]()
        for one in view(day.node, owner):
            entry = one["entry"]
            if entry["module"] == "owner":
                continue  # the looking itself
            if entry["event"] == "directory":
                fact = ("directory", entry["note"], entry["outcome"], 0)
            elif entry["event"] in {"sign_in", "sign_out"}:
                fact = (entry["event"], entry["method"], entry["outcome"], 0)
            else:
                fact = (entry["event"], entry["method"], entry["outcome"], entry["count"])
            facts[fact] += 1
        for fact, count in day.truth[owner].items():
            assert facts[fact] == count, (owner, fact, facts)


def test_the_owner_sees_from_where_and_with_which_program_and_nobody_else_can(day: Day) -> None:
    seen = view(day.node, ANN)
    sign_ins = [
        one for one in seen if one["entry"]["event"] == "sign_in" and one["entry"]["method"] == "imap"
    ]
    assert {(one["address"], one["program"]) for one in sign_ins if one["entry"]["outcome"] == "ok"} == {
        ("127.0.0.1", "Day Client 7")
    }
    reads = [one for one in seen if one["entry"]["event"] == "mail.read"]
    assert {one["program"] for one in reads} == {"Day Client 7"}, "an act shows where its session came from"
    sent = [
        one for one in seen if one["entry"]["method"] == "submission" and one["entry"]["event"] == "sign_in"
    ]
    assert all(one["program"] for one in sent)
    told = json.dumps(log(day.node))
    assert "Day Client" not in told
    assert "127.0.0.1" not in told


def test_the_view_reads_well_in_both_languages_and_keeps_to_its_limits(day: Day) -> None:
    english = "".join(access(day.node, owner, "--limit", "500").stdout for owner in (ANN, BOB))
    for words in (
        "signed in",
        "messages read:",
        "messages delivered: 1",
        "your password was set",
        "operator",
        "Day Client 7",
    ):
        assert words in english, english
    chinese = "".join(
        access(day.node, owner, "--limit", "500", "--lang", "zh").stdout for owner in (ANN, BOB)
    )
    for words in ("登录", "阅读了", "您的密码已被设置", "运维人员"):
        assert words in chinese
    assert len(json.loads(access(day.node, ANN, "--limit", "3", "--json").stdout)) == 3
    assert json.loads(access(day.node, ANN, "--until", "2020-01-01", "--json").stdout) == []
    assert access(day.node, ANN, "--since", "yesterday").returncode == 2


def test_nobody_gets_in_without_the_owners_password(day: Day) -> None:
    for owner, password in (
        (CARA, "a wrong guess"),
        ("nobody@day.example", PASSWORD),
        ("no address", PASSWORD),
    ):
        done = access(day.node, owner, password=password)
        assert done.returncode != 0
        assert "The address or the password is wrong" in done.stderr
        assert done.stdout == ""


def test_an_erased_persons_values_can_not_be_opened_and_the_log_still_verifies(day: Day) -> None:
    mine = principal_of(day.node, BOB)
    sealed = [entry for entry in log(day.node) if entry["principal"] == mine and entry["sealed"]]
    assert sealed
    day.node.cli("user", "delete", BOB, "--yes")
    done = access(day.node, BOB)
    assert done.returncode != 0
    after = [entry for entry in log(day.node) if entry["principal"] == mine and entry["sealed"]]
    assert [entry["sealed"] for entry in after] == [entry["sealed"] for entry in sealed], "the entries stand"
    report = json.loads(day.node.cli("ledger", "verify", "--json").stdout)
    assert report["ok"], report
