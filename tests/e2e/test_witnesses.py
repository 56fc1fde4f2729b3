"""A node, two witnesses run by others, and an auditor with nothing but public keys (A2, A3)."""

import imaplib
import json
import shutil
import smtplib
import ssl
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.auditor import audit
from tests.node_process import Node, new_node, run_program
from tests.witness_process import WitnessProcess, new_witness

pytestmark = pytest.mark.e2e

PASSWORD = "correct horse battery"
ALARM_SECONDS = 60.0
STOPS_MAX = 4


def until(true: Callable[[], Any], seconds: float = ALARM_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "did not come to pass"
        time.sleep(0.5)


def states(node: Node) -> dict[str, str]:
    told = json.loads(node.cli("witness", "status", "--json", check=False).stdout)
    return {item["name"]: item["state"] for item in told}


def log_keys(node: Node) -> list[str]:
    return [line for line in node.cli("ledger", "key").stdout.splitlines() if line]


def verified(node: Node, witnesses: list[WitnessProcess], *options: str) -> tuple[int, Any]:
    """Audit a copy of the ledger as somebody elsewhere does: with the verifier's own program."""
    copy = node.directory / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(node.data / "state" / "ledger", copy)
    given = [part for witness in witnesses for key in witness.keys for part in ("--witness", key)]
    return audit(copy, log_keys(node), *given, *options)


def use(node: Node) -> None:
    """Have mail come in and be read, and something administered."""
    node.tenant("a.example")
    node.user("alice@a.example", PASSWORD)
    with smtplib.SMTP("127.0.0.1", node.ports["smtp"]) as smtp:
        smtp.sendmail("x@out.example", ["alice@a.example"], "Subject: hi\r\n\r\nbody\r\n")
    context = ssl.create_default_context(cafile=node.ca)
    context.check_hostname = False
    imap = imaplib.IMAP4_SSL("127.0.0.1", node.ports["imaps"], ssl_context=context)
    imap.login("alice@a.example", PASSWORD)
    imap.create("Projects")
    imap.select()
    assert imap.fetch("1", "(BODY[])")[0] == "OK"
    imap.logout()
    imap = imaplib.IMAP4_SSL("127.0.0.1", node.ports["imaps"], ssl_context=context)
    imap.login("alice@a.example", PASSWORD)
    assert b"Projects" in b" ".join(line for line in imap.list()[1] if isinstance(line, bytes))
    imap.logout()


def stop_when_signed(node: Node, *witnesses: WitnessProcess) -> None:
    """Stop the node at a moment when its newest witnessed head has the lines of all witnesses."""
    note = node.data / "state" / "ledger" / "log" / "checkpoint.witnessed"
    for _ in range(STOPS_MAX):
        time.sleep(6)  # a look at the head every five seconds
        node.stop()
        if all(note.read_text().count(f"\u2014 {witness.name} ") == 2 for witness in witnesses):
            return
        node.start()  # it was stopped between the answers of the two
    raise AssertionError("never signed by all")


def test_witnesses_sign_the_honest_ledger_and_refuse_and_tell_of_a_forked_one() -> None:
    with (
        new_witness("witness.example/w1") as one,
        new_witness("other.example/w2", passphrase="known to its people alone") as two,
        new_node(config="[ledger]\nheartbeat_seconds = 2.0\n" + one.config() + two.config()) as node,
    ):
        # They do not know this log yet, and say so.
        until(lambda: set(states(node).values()) == {"refused"})
        shown = node.cli("witness", "status", "--lang", "zh-CN", check=False)
        assert shown.returncode == 5
        assert "不认识本日志" in shown.stdout
        for witness in (one, two):
            assert "Signs for" in witness.command("log", "add", *log_keys(node))
        until(lambda: set(states(node).values()) == {"ok"})
        # Sealed keys lie nowhere in the clear, and nothing but their passphrase opens them.
        assert json.loads((two.directory / "witness.json").read_text())["mldsa44_seed"] == ""
        assert json.loads(two.command("key", "--json"))["keys"] == two.keys
        serve = ["--data", str(two.directory), "witness", "serve"]
        assert "--passphrase-file" in run_program(serve).stderr
        wrong = node.directory / "wrong"
        wrong.touch(mode=0o600)
        wrong.write_text("not what they know of")
        refused = run_program([*serve, "--passphrase-file", str(wrong)])
        assert refused.returncode == 1
        assert "passphrase is wrong" in refused.stderr
        use(node)
        # A snapshot of the whole machine, from which it will be put back: checkpoints, kms and all.
        stop_when_signed(node, one, two)
        subprocess.run(["cp", "-a", node.data, node.directory / "earlier"], check=True)
        code, answer = verified(node, [one, two])
        assert (code, answer.get("findings")) == (0, []), answer
        assert answer["witnesses"] == 2
        assert answer["releases"] >= 2
        assert _releases_without_neighbour(node) == []

        node.start()
        node.tenant("second.example")
        time.sleep(8)
        assert set(states(node).values()) == {"ok"}
        node.stop()
        kept = node.directory / "kept"
        kept.write_bytes((node.data / "state" / "ledger" / "log" / "checkpoint.witnessed").read_bytes())

        # Put back, the node knows nothing of the second company and goes on: another history.
        shutil.rmtree(node.data)
        shutil.move(node.directory / "earlier", node.data)
        begun = time.monotonic()
        node.start()
        until(lambda: set(states(node).values()) == {"conflict"})
        assert time.monotonic() - begun < ALARM_SECONDS
        status = node.cli("witness", "status", check=False).stdout
        assert "HAS SEEN ANOTHER HISTORY" in status
        assert "ask its people for a new witness: docs/runbooks/restore.md" in status
        assert "请其运营方新建见证方" in node.cli("witness", "status", "--lang", "zh-CN", check=False).stdout
        shown = node.cli("doctor", "--json", check=False)
        (found,) = [item for item in json.loads(shown.stdout) if item["check"] == "witnesses"]
        assert found["verdict"] == "bad"
        events = node.json("ledger", "show", "--count", "300")
        told = [event for event in events if event["event"] == "ledger.witness"]
        assert [event["code"] for event in told[-2:]] == ["witness.conflict"] * 2

        # Longer than what was signed elsewhere, it is still another history.
        until(lambda: _size(node) > int(kept.read_text().split("\n")[1]), 120)
        time.sleep(6)
        assert set(states(node).values()) == {"conflict"}
        node.stop()
        code, answer = verified(node, [one, two], "--known", str(kept))
        assert code == 1
        kinds = {finding["kind"] for finding in answer["findings"]}
        assert "rewritten" in kinds
        for witness in (one, two):
            assert witness.stop() == 0


def _releases_without_neighbour(node: Node) -> list[str]:
    """Return the sessions that were given keys to mail and have no access, by a look of our own."""
    copy = node.directory / "copy" / "log" / "tile" / "entries"
    whole = sorted(path for path in copy.glob("[0-9][0-9][0-9]") if path.is_file())
    parts = sorted(copy.glob(f"{len(whole):03d}.p/*"), key=lambda path: int(path.name))
    data = b"".join(path.read_bytes() for path in (*whole, *parts[-1:]))
    events, place = [], 0
    while place < len(data):
        end = place + 2 + int.from_bytes(data[place : place + 2], "big")
        events.append(json.loads(data[place + 2 : end]))
        place = end
    read = {event.get("session") for event in events if event["event"] == "mail.read"}
    released = [event["session"] for event in events if event.get("method") == "kms.open_epochs"]
    assert len(released) >= 2
    return [session for session in released if session not in read]


def _size(node: Node) -> int:
    return int((node.data / "state" / "ledger" / "log" / "checkpoint").read_text().split("\n")[1])
