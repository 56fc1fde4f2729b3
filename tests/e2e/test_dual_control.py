"""G1, TM-16: dual control as its users see it, on a whole node, by the command line alone."""

import asyncio
import hashlib
import imaplib
import json
import os
import re
import shutil
import smtplib
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.auditor import audit, copy_ledger
from tests.e2e.test_key_rotation import alter
from tests.node_process import Node, new_node

from postkeep.stores.slots import ErasableSlots

APPROVAL_NEEDED, PROBLEMS, REFUSED, USAGE = 6, 5, 1, 2


def password_of(name: str) -> str:
    return f"the password of {name}\n"


class Staff:
    """A staff member at a terminal of the machine."""

    def __init__(self, node: Node, name: str) -> None:
        self._node = node
        self.name = name

    def says(self, *words: str, code: int = 0, lang: str = "en") -> str:
        result = self._node.cli(
            "--lang",
            lang,
            "--as",
            self.name,
            "--password-stdin",
            *words,
            stdin=password_of(self.name),
            check=False,
        )
        assert result.returncode == code, result.stderr
        return result.stdout + result.stderr


def operator_says(node: Node, *words: str, code: int = 0, lang: str = "en", stdin: str = "") -> str:
    result = node.cli("--lang", lang, *words, stdin=stdin, check=False)
    assert result.returncode == code, result.stderr
    return result.stdout + result.stderr


def request_in(text: str) -> str:
    found = re.search(r"approve ([0-9a-f]{32})", text)
    assert found is not None, text
    return found.group(1)


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with new_node() as node:
        assert "2 approvers" in operator_says(node, "dual-control", "on", code=REFUSED)
        for name, *roles in (("ann", "approver"), ("bob", "approver"), ("cleo", "operator", "approver")):
            options = [word for role in roles for word in ("--role", role)]
            operator_says(
                node, "staff", "create", name, *options, "--password-stdin", stdin=password_of(name)
            )
            Staff(node, name).says("request", "list")
        node.json("tenant", "create", "example.com")
        assert "one operator alone can destroy" in node.cli("doctor", check=False).stdout
        assert "2 approvals needed" in operator_says(node, "dual-control", "on")
        yield node


@pytest.fixture(scope="module")
def ann(node: Node) -> Staff:
    return Staff(node, "ann")


@pytest.fixture(scope="module")
def bob(node: Node) -> Staff:
    return Staff(node, "bob")


@pytest.fixture(scope="module")
def cleo(node: Node) -> Staff:
    return Staff(node, "cleo")


def test_a_person_is_deleted_only_after_two_others_have_approved(node: Node, ann: Staff, bob: Staff) -> None:
    """Request, approve twice, act; and nothing in the ledger names a person."""
    node.user("eve@example.com", "correct horse battery")
    delete = ("user", "delete", "eve@example.com", "--yes")
    request = request_in(operator_says(node, *delete, code=APPROVAL_NEEDED))
    assert "由他人批准" in operator_says(node, *delete, code=APPROVAL_NEEDED, lang="zh-CN")
    shown = ann.says("request", "show", request)
    assert "eve@example.com" in shown
    assert "0 of 2" in shown
    assert "1 of 2" in ann.says("approve", request, "--reason", "she asked for it")
    assert "goes on by itself" in bob.says("request", "approve", request)
    operator_says(node, *delete)
    assert "no such address" in operator_says(node, *delete, code=REFUSED)
    trail = json.loads(node.cli("ledger", "show", "--count", "400", "--json").stdout)
    notes = [event["note"] for event in trail if request in event.get("note", "")]
    assert [note.split()[1] for note in notes if note.startswith(request)][:4] == [
        "destroy",
        "approve",
        "approve",
        "destroy",
    ]
    assert not any("eve@" in json.dumps(event) or '"ann"' in json.dumps(event) for event in trail)


CANARY = "the merger is called Nightingale"
GRANTS_SO_FAR = 3  # a person deleted, two exports
PATIENCE_SECONDS = 40.0
PASSPHRASE = "an export's own passphrase\n"
ALICE = ("alice@example.com", "correct horse battery")


def holds_canary(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]


def seen_by(node: Node, owner: tuple[str, str]) -> list[dict[str, Any]]:
    told = node.cli("access", owner[0], "--password-stdin", "--json", stdin=owner[1] + "\n").stdout
    seen: list[dict[str, Any]] = json.loads(told)
    return seen


def approved(request: str, *approvers: Staff) -> None:
    for one in approvers:
        one.says("approve", request)


def test_mail_is_read_out_only_after_two_others_have_approved_and_its_owner_sees_it(
    node: Node, ann: Staff, bob: Staff, tmp_path: Path
) -> None:
    """TM-41: asked, approved twice, exported, opened; sealed on the disk, and the owner reads who and why."""
    node.user(*ALICE)
    with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=20) as client:
        client.sendmail("s@elsewhere.example", [ALICE[0]], f"Subject: secret\r\n\r\n{CANARY}\r\n".encode())
    file, out = tmp_path / "alice.export", tmp_path / "alice"
    create = (
        "export",
        "create",
        ALICE[0],
        "--into",
        str(file),
        "--reason",
        "legal matter 7",
        "--passphrase-stdin",
    )
    request = request_in(operator_says(node, *create, code=APPROVAL_NEEDED, stdin=PASSPHRASE))
    assert "由他人批准" in operator_says(node, *create, code=APPROVAL_NEEDED, lang="zh-CN", stdin=PASSPHRASE)
    assert "legal matter 7" in ann.says("request", "show", request)
    approved(request, ann, bob)
    assert not file.exists()
    assert "1 messages" in operator_says(node, *create, stdin=PASSPHRASE)
    assert holds_canary(node.directory) == []
    assert holds_canary(tmp_path) == [], "neither the export nor anything beside it says it in the clear"
    again = str(tmp_path / "again")
    second = request_in(
        operator_says(node, *create[:4], again, *create[5:], code=APPROVAL_NEEDED, stdin=PASSPHRASE)
    )
    assert second != request, "what was approved was one export"

    opened = ("export", "open", str(file), "--into", str(out), "--passphrase-stdin")
    wrong = operator_says(node, *opened, code=REFUSED, lang="zh-CN", stdin="not the right one\n")
    assert "口令错误" in wrong
    cut = tmp_path / "cut"
    cut.write_bytes(file.read_bytes()[:-20])
    damaged = operator_says(node, "export", "open", str(cut), *opened[3:], code=PROBLEMS, stdin=PASSPHRASE)
    assert "Nothing was taken out" in damaged
    assert not out.exists()
    assert "alice@example.com" in operator_says(node, *opened, stdin=PASSPHRASE)
    (message,) = out.rglob("*.eml")
    with imaplib.IMAP4_SSL("localhost", node.ports["imaps"], ssl_context=tls(node)) as mail:
        mail.login(*ALICE)
        mail.select("INBOX", readonly=True)
        fetched: Any = mail.fetch("1", "(BODY.PEEK[])")[1]
    assert message.read_bytes() == fetched[0][1]

    mine = [one for one in seen_by(node, ALICE) if request in one["why"]]
    whats = {one["what"] for one in mine}
    assert {"messages read out: 1", "had read out your mail, messages: 1"} <= whats
    assert all("legal matter 7" in one["why"] for one in mine)
    assert len([one for one in mine if one["who"].startswith("staff member")]) == 2, "who approved it"
    read = next(one for one in mine if one["what"] == "messages read out: 1")
    explained = operator_says(node, "explain", str(read["index"]))
    assert "mail.export" in explained
    assert "grant.export-is-held-by-the-command-that-exports" in explained
    assert "legal" not in node.cli("ledger", "show", "--count", "400", "--json").stdout


def test_an_export_may_be_for_the_holder_of_a_key_whom_the_approvers_see(
    node: Node, ann: Staff, bob: Staff, tmp_path: Path
) -> None:
    """TM-41: who exports it can't open it afterwards; a part of the mail is asked for and given."""
    key, file, out = tmp_path / "counsel", tmp_path / "part.export", tmp_path / "part"
    made = json.loads(
        node.cli("export", "key", str(key), "--passphrase-stdin", "--json", stdin=PASSPHRASE).stdout
    )
    create = ("export", "create", ALICE[0], "--into", str(file), "--for", f"{key}.pub", "--mailbox", "inbox")
    past = (*create, "--until", "2001-01-01")
    request = request_in(operator_says(node, *past, code=APPROVAL_NEEDED))
    shown = ann.says("request", "show", request)
    assert made["fingerprint"] in shown
    assert "(inbox), until 2001-01-01" in shown
    approved(request, ann, bob)
    request_in(operator_says(node, *create, code=APPROVAL_NEEDED))
    value = json.loads(operator_says(node, *past, "--json"))
    assert (value["messages"], value["unreadable"], value["request"]) == (0, 0, request)
    assert value["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    opened = ("export", "open", str(file), "--into", str(out), "--passphrase-stdin")
    assert "--with" in operator_says(node, *opened, code=USAGE, stdin=PASSPHRASE)
    assert "取出" in operator_says(node, *opened, "--with", str(key), lang="zh-CN", stdin=PASSPHRASE)
    assert json.loads((out / "end.json").read_text())["messages"] == 0


def test_a_stranger_finds_that_every_key_and_reading_of_the_exports_was_approved(
    node: Node, tmp_path: Path
) -> None:
    """A2: the auditors' program on the ledger of all that was done above."""
    keys = node.cli("ledger", "key").stdout.split()
    begun = time.monotonic()
    while True:  # until the head that counts the last grant is signed
        copy = copy_ledger(node.data / "state" / "ledger", tmp_path / "copy")
        code, answer = audit(copy, keys)
        if (code, answer.get("findings")) == (0, []) and answer["grants"] >= GRANTS_SO_FAR:
            break
        assert time.monotonic() - begun < PATIENCE_SECONDS, answer
        time.sleep(1)
    entries = json.loads(node.cli("ledger", "show", "--count", "600", "--json").stdout)
    tickets = {entry["ticket"] for entry in entries if entry["event"] == "request.grant"}
    opened = [entry for entry in entries if entry.get("method") == "kms.open_epochs"]
    assert [entry for entry in opened if entry.get("ticket") in tickets], "keys were given on a grant"


def tls(node: Node) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=node.ca)


def test_an_approved_order_goes_on_by_itself_and_a_declined_one_ends(
    node: Node, ann: Staff, bob: Staff
) -> None:
    """D6: nobody gives the command again; who does is told what came of it."""
    for name in ("fay", "gil"):
        node.user(f"{name}@example.com", "correct horse battery")
    why = ("--reason", "case 7", "--yes")
    spared, destroy = (("destroy", "person", f"{name}@example.com", *why) for name in ("gil", "fay"))
    declined = request_in(operator_says(node, *spared, code=APPROVAL_NEEDED))
    request = request_in(operator_says(node, *destroy, code=APPROVAL_NEEDED))
    order = node.json("order", "list")[0]
    assert (order["step"], order["waiting"], order["request"]) == ("cleared", "approval", request)
    shown = ann.says("request", "show", request)
    assert "destroy: the person, with all mail and keys. Reason: case 7" in shown
    assert "fay@example.com" in shown
    assert "reason     case 7" in ann.says("order", "show", order["id"])
    ann.says("decline", declined, "--reason", "she works here")
    ann.says("approve", request)
    assert "自动继续" in bob.says("approve", request, lang="zh-CN")
    end = time.monotonic() + 60
    while not node.json("order", "show", order["id"])["steps"].get("destroyed"):
        assert time.monotonic() < end
        time.sleep(0.3)
    assert "no such address" in operator_says(node, "user", "show", "fay@example.com", code=REFUSED)
    assert order["id"] in operator_says(node, *destroy)
    assert "no such address" in operator_says(node, *destroy, code=REFUSED)
    ended = next(one for one in node.json("order", "list") if one["request"] == declined)
    assert "未获批准" in operator_says(node, "order", "list", lang="zh-CN")
    assert "was declined" in operator_says(node, "order", "show", ended["id"])
    node.json("user", "show", "gil@example.com")


def test_nobody_approves_twice_nor_their_own_nor_without_a_name(node: Node, ann: Staff, cleo: Staff) -> None:
    request = request_in(cleo.says("dual-control", "off", code=APPROVAL_NEEDED))
    assert "不能对自己的请求" in cleo.says("approve", request, code=REFUSED, lang="zh-CN")
    ann.says("approve", request)
    assert "already" in ann.says("approve", request, code=REFUSED)
    assert "--as NAME" in operator_says(node, "approve", request, code=USAGE)
    assert "withdrawn" in cleo.says("request", "withdraw", request)


def test_a_declined_request_is_over_and_the_reason_is_shown(node: Node, ann: Staff, bob: Staff) -> None:
    create = ("staff", "create", "mole", "--role", "approver", "--password-stdin")
    request = request_in(operator_says(node, *create, code=APPROVAL_NEEDED, stdin=password_of("mole")))
    ann.says("decline", request, "--reason", "nobody knows this person")
    shown = bob.says("request", "show", request, lang="zh-CN")
    assert "nobody knows this person" in shown
    assert "已否决" in shown
    bob.says("approve", request, code=REFUSED)


def test_roles_are_what_a_staff_member_may_do(node: Node, ann: Staff, tmp_path: Path) -> None:
    operator_says(
        node, "staff", "create", "olga", "--role", "auditor", "--password-stdin", stdin=password_of("olga")
    )
    file = tmp_path / "password"
    file.write_text(password_of("olga"))
    environment = {"POSTKEEP_STAFF_PASSWORD_FILE": str(file)}
    file.chmod(0o644)
    open_file = node.cli("--as", "olga", "ledger", "show", check=False, env=environment)
    assert (open_file.returncode, "0600" in open_file.stderr) == (USAGE, True)
    file.chmod(0o600)
    assert node.cli("--as", "olga", "ledger", "show", env=environment).returncode == 0
    refused = node.cli("--as", "olga", "tenant", "create", "other.example", check=False, env=environment)
    assert refused.returncode == REFUSED
    ann.says("ledger", "show", code=REFUSED)
    wrong = node.cli("--as", "olga", "--password-stdin", "request", "list", stdin="guess\n", check=False)
    assert (wrong.returncode, "password is wrong" in wrong.stderr) == (REFUSED, True)
    log = node.log.read_bytes()
    assert password_of("olga").strip().encode() not in log


def test_staff_are_listed_with_the_owner_of_the_machine(node: Node) -> None:
    listed = node.json("staff", "list")
    assert listed[0]["uid"] == os.getuid()
    assert {"ann", "bob", "cleo"} <= {one["name"] for one in listed}


def readable(node: Node, address: str) -> str:
    """Sign in and fetch; what the server says of it: OK, or its refusal."""
    with imaplib.IMAP4_SSL("localhost", node.ports["imaps"], ssl_context=tls(node)) as client:
        client.login(address, "correct horse battery")
        client.select("INBOX")
        answer, found = client.fetch("1:*", "(BODY.PEEK[TEXT])")
        return "OK" if answer == "OK" else repr(found)


def deliver(node: Node, to: str, text: str) -> None:
    with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=20) as client:
        client.sendmail("s@other.example", [to], f"Subject: s\r\n\r\n{text}\r\n".encode())


def keys_finding(node: Node) -> tuple[str, str]:
    found = json.loads(node.cli("doctor", "--json", check=False).stdout)
    return next((one["verdict"], one["finding"]) for one in found if one["check"] == "keys")


def told(node: Node, name: str) -> list[dict[str, Any]]:
    return [event for event in node.json("ledger", "show", "--count", "10000") if event["event"] == name]


def roll_the_key_store_back(node: Node) -> int:
    """Put back database, slots and the count of kms as they were one change ago, with the node stopped."""
    asyncio.run(alter(node, "kms", "UPDATE store_states SET state = state - 1"))
    node.stop()
    (witness,) = node.data.rglob("key-store.state")
    (slots_file,) = node.data.rglob("keys.slots")
    state = int(witness.read_text().split()[1])
    witness.write_text(f"done {state - 1}\n")
    with ErasableSlots(slots_file, 32) as slots:
        slots.set_state(state - 1)
    return state


def test_a_restored_key_store_gives_no_key_before_two_have_approved_and_then_a_restored_ledger_signs_none(
    node: Node, ann: Staff, bob: Staff
) -> None:
    """K6, A3, TM-37, TM-38: one person's word only asks. Reads fail for now, and mail arrives."""
    reader = "restored@example.com"
    node.user(reader, "correct horse battery")
    deliver(node, reader, "before")
    assert readable(node, reader) == "OK"
    state = roll_the_key_store_back(node)
    shutil.copytree(node.data / "state/ledger", node.directory / "older-ledger", symlinks=True)
    assert "holds it" in operator_says(node, "key", "accept-restored", str(state))
    node.start()
    assert node.withheld == "restored"
    assert keys_finding(node)[0] == "bad"
    assert "UNAVAILABLE" in readable(node, reader)
    deliver(node, reader, "while held")
    refused = operator_says(node, "key", "rotate", "tenant", "example.com", code=4, lang="zh-CN")
    assert "key accept-restored" in refused
    accept = ("key", "accept-restored")
    request = request_in(operator_says(node, *accept, code=APPROVAL_NEEDED))
    assert f"at change {state - 1}" in ann.says("request", "show", request)
    assert "恢复的密钥库" in ann.says("request", "show", request, lang="zh-CN")
    ann.says("approve", request)
    assert request_in(operator_says(node, *accept, code=APPROVAL_NEEDED)) == request
    bob.says("approve", request)
    assert "given again" in operator_says(node, *accept)
    assert readable(node, reader) == "OK"
    assert "keys are given" in operator_says(node, *accept, code=REFUSED)
    held, accepted = told(node, "key.accept_restored")
    assert (held["code"], held["state"]) == ("held", state)
    assert request in accepted["note"]

    node.stop()
    ledger = node.data / "state/ledger"
    owner = ledger.stat()
    shutil.rmtree(ledger)
    subprocess.run(["cp", "--archive", node.directory / "older-ledger", ledger], check=True)
    subprocess.run(["chown", "-R", f"{owner.st_uid}:{owner.st_gid}", ledger], check=True)
    node.start()
    assert node.withheld == "ledger"
    assert keys_finding(node)[0] == "bad"
    assert "UNAVAILABLE" in readable(node, reader)
    deliver(node, reader, "while broken")
    accept = ("ledger", "accept-restored")
    request = request_in(operator_says(node, *accept, code=APPROVAL_NEEDED))
    assert "Give up the signed ledger head" in bob.says("request", "show", request)
    ann.says("approve", request)
    bob.says("approve", request)
    assert "继续" in operator_says(node, *accept, lang="zh-CN")
    assert readable(node, reader) == "OK"
    (given_up,) = told(node, "ledger.accept_restored")
    assert given_up["note"].startswith("goes on from ")
    assert request in given_up["note"]
    assert keys_finding(node) == ("ok", "kms gives keys")
    (lost,) = node.data.rglob("lost-checkpoint-*")
    assert lost.name == f"lost-checkpoint-{given_up['count']}"
    verified = json.loads(node.cli("ledger", "verify", "--json").stdout)
    assert verified["ok"]
    assert f"{given_up['count']} entries, root {given_up['digest']}" in verified["given_up"][0]
    shown = node.cli("ledger", "verify", "--known", str(lost), check=False)
    assert shown.returncode == PROBLEMS  # who kept the lost head sees it


def test_a_disabled_approver_counts_no_more_and_can_not_sign_in(node: Node, ann: Staff, bob: Staff) -> None:
    request = request_in(operator_says(node, "dual-control", "off", code=APPROVAL_NEEDED))
    ann.says("approve", request)
    bob.says("approve", request)
    operator_says(node, "staff", "disable", "ann")
    ann.says("request", "list", code=REFUSED)
    assert request_in(operator_says(node, "dual-control", "off", code=APPROVAL_NEEDED)) == request
    assert "does not count" in bob.says("request", "show", request)
    assert "Create another one first" in operator_says(node, "staff", "disable", "bob", code=REFUSED)
