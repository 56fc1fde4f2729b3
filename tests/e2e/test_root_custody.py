"""K10, TM-23: how the root key is sealed, as operators and holders of shares meet it on a whole node."""

import json
import os
import pty
import re
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.node_process import PROGRAM, Node, new_node
from tests.softhsm import MODULE, SoftHsm

from postkeep.node.supervisor.plan import MODULES, UID_BASE_DEFAULT

NAMES = ("Ann", "Bob", "Cid", "Dan", "Eve")
PASSPHRASE = "correct horse battery"
PIN = "24681012"
KMS_UID = UID_BASE_DEFAULT + next(module.uid_offset for module in MODULES if module.name == "kms")


@pytest.fixture
def node() -> Iterator[Node]:
    with new_node(config='[keys]\nroot = ""\n') as made:
        yield made


def hold_ceremony(node: Node, name: str) -> list[str]:
    holders = [word for holder in NAMES for word in ("--holder", holder)]
    directory = node.directory / name
    said = node.cli("key", "ceremony", "--to-directory", str(directory), *holders)
    assert "WARNING" in said.stderr
    return [(directory / f"share-{number}.txt").read_text() for number in range(1, 6)]


def refused(node: Node, option: str, given: str, *more: str) -> str:
    said = node.cli("serve", "--base-port", str(node.base_port), option, "0", *more, stdin=given, check=False)
    assert said.returncode != 0
    return said.stderr


def kill_kms(node: Node) -> None:
    """Kill kms and wait until another one serves, without anybody being asked."""
    before = node.processes()["kms-0"]
    os.kill(before, signal.SIGKILL)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        ready = [event["instance_started"] for event in node.events("process_ready")]
        if sum(name.startswith("kms-0.") for name in ready) > 1 and node.processes().get("kms-0") != before:
            return
        time.sleep(0.05)
    raise AssertionError("kms did not come back:\n" + node.tail())


def test_a_node_sealed_by_shares_opens_with_any_three_and_stays_closed_with_two(node: Node) -> None:
    node.tenant("sealed.example")
    earlier = hold_ceremony(node, "first")
    given = hold_ceremony(node, "second")
    assert not (node.data / "state/kms/root.key").exists()
    shown = node.json("key", "show")
    assert (shown["kind"], shown["threshold"]) == ("shares", 3)
    assert [holder["name"] for holder in shown["holders"]] == list(NAMES)
    kill_kms(node)
    node.user("alice@sealed.example", "a long password")
    node.stop()

    assert "Cid, Dan, Eve" in refused(node, "--shares-fd", "".join(given[:2]))
    assert "another ceremony" in refused(node, "--shares-fd", "".join([*given[:2], earlier[2]]))
    swapped = given[3].split()
    swapped[20], swapped[21] = swapped[21], swapped[20]
    assert "Dan" in refused(node, "--shares-fd", "".join([*given[:2], " ".join(swapped)]))
    assert "第 4 份" in refused(
        node, "--shares-fd", "".join([*given[:2], " ".join(swapped)]), "--lang", "zh-CN"
    )
    assert "--shares-fd" in node.cli("serve", check=False).stderr

    node.opens, node.passphrase = "--shares-fd", "".join([given[4], given[0], given[2]])
    node.start()
    node.user("bob@sealed.example", "a long password")
    found = {
        item["check"]: item["verdict"] for item in node.json("doctor", "--base-port", str(node.base_port))
    }
    assert found["root key"] == "ok"
    right = node.cli("key", "check-share", "--shares-fd", "0", stdin=given[3])
    assert "Dan (number 4)" in right.stdout
    wrong = node.cli("key", "check-share", "--shares-fd", "0", stdin=earlier[3], check=False)
    assert wrong.returncode == 1
    log = node.log.read_text()
    for share in given:
        assert " ".join(share.split()[4:8]) not in log


def test_passphrase_token_and_back_and_what_opened_before_does_not(tmp_path: Path) -> None:
    with new_node(start=False, config="") as node:
        hsm = SoftHsm(node.directory / "hsm").make()
        hsm.token("card", PIN, KMS_UID if os.geteuid() == 0 else None)
        keys = f'[keys.pkcs11]\nmodule = "{MODULE}"\ntoken = "card"\npaths = ["{hsm.directory}"]\n'
        (node.data / "postkeep.toml").write_text(keys)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SOFTHSM2_CONF", str(hsm.conf))
            _go_round(node)


def _go_round(node: Node) -> None:
    node.start()
    node.tenant("round.example")
    said = node.json("key", "reseal", "--to", "passphrase", "--passphrase-fd", "0", stdin=PASSPHRASE)
    assert said == {"old": "file", "new": "passphrase"}
    short = node.cli("key", "reseal", "--to", "passphrase", "--passphrase-fd", "0", stdin="x", check=False)
    assert "12" in short.stderr
    wrong = node.cli("key", "reseal", "--to", "pkcs11", "--pin-fd", "0", stdin="999999", check=False)
    assert (wrong.returncode, "PIN" in wrong.stderr) == (1, True)
    assert node.json("key", "show")["kind"] == "passphrase"
    kill_kms(node)
    node.json("key", "reseal", "--to", "pkcs11", "--pin-fd", "0", stdin=PIN)
    shown = node.json("key", "show")
    assert (shown["kind"], shown["token"]["token"]) == ("pkcs11", "card")
    kill_kms(node)
    node.tenant("second.example")
    node.stop()
    said_of_pin = refused(node, "--pin-fd", "999999")
    assert "PIN" in said_of_pin
    # A token locks itself after a few: a wrong PIN is tried once.
    assert len(re.findall(r'"instance_ended":"kms-0[^"]*".*"process_ended"', said_of_pin)) == 1
    assert "--pin-fd" in refused(node, "--passphrase-fd", PASSPHRASE)
    node.opens, node.passphrase = "--pin-fd", PIN
    node.start()
    assert "second.example" in node.cli("domain", "list").stdout
    node.cli("key", "reseal", "--to", "file")
    assert "development" in node.cli("key", "show").stdout
    node.stop()
    node.passphrase = ""
    node.start()
    assert "round.example" in node.cli("domain", "list").stdout
    for path in node.directory.rglob("*"):
        if path.is_file():
            assert PASSPHRASE.encode() not in path.read_bytes()
    notes = [entry["note"] for entry in entries(node, "key.seal")]
    assert [note for note in notes if note.startswith("done")] == [
        "done file passphrase",
        "done passphrase pkcs11",
        "done pkcs11 file",
    ]


def entries(node: Node, event: str) -> list[dict[str, str]]:
    """Read the events of one name from the ledger's own files, as the command line shows them."""
    shown = node.json("ledger", "show", "--count", "500")
    return [
        entry["event"] if isinstance(entry["event"], dict) else entry
        for entry in shown
        if event in json.dumps(entry)
    ]


class Tty:
    """A command on a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["LANG"] = "C.UTF-8"
            os.execv(PROGRAM[0], [*PROGRAM, *arguments])
        self.said = ""

    def expect(self, pattern: str, seconds: float = 30) -> "re.Match[str]":
        """Wait until the terminal shows it; what came before is dropped."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.said)):
            assert time.monotonic() < end, f"{pattern!r} did not come: {self.said[-1500:]}"
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.said += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    assert re.search(pattern, self.said), f"ended without {pattern!r}: {self.said[-1500:]}"
        self.before, self.said = self.said[: found.start()], self.said[found.end() :]
        return found

    def send(self, line: str) -> None:
        os.write(self.fd, line.encode() + b"\n")

    def end(self) -> int:
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return code


def test_a_ceremony_and_a_start_at_the_terminal(node: Node) -> None:
    tty = Tty("key", "ceremony", "--threshold", "2", "--shares", "2", "--data", str(node.data))
    papers = []
    for number, name in enumerate(("Ann", "Bob"), start=1):
        tty.expect(f"Name of holder {number} of 2: ")
        tty.send(name)
        tty.expect(f"press Enter for share {number}")
        tty.send("")
        tty.expect("Check code: [0-9a-f]{8}")
        words = dict(re.findall(r"(\d+) ([a-z]{4,})", tty.before))
        papers.append([words[str(position)] for position in range(1, 34)])
        tty.send("")
        for _ in range(3):
            tty.send(papers[-1][int(tty.expect(r"Word (\d+): ")[1]) - 1])
    tty.expect("sealed by shares now")
    assert tty.end() == 0
    node.stop()

    tty = Tty("serve", "--base-port", str(node.base_port), "--data", str(node.data))
    tty.expect("2 are needed. Holders: Ann, Bob")
    tty.expect("Word 1: ")
    for position, word in enumerate(papers[1], start=1):
        tty.send(word[:4])
        tty.expect(f"Word {position + 1}: " if position < 33 else "Bob's share is right")
    tty.expect("Word 1: ")
    tty.send(" ".join(papers[0]))
    tty.expect('"event":"ready"')
    assert node.json("key", "show")["kind"] == "shares"
    os.kill(tty.pid, signal.SIGTERM)
    assert tty.end() == 0


def test_under_dual_control_the_seal_changes_only_once_two_others_have_approved(node: Node) -> None:
    for name in ("ann", "bob"):
        role = ("--role", "approver", "--password-stdin")
        node.cli("staff", "create", name, *role, stdin=f"the password of {name}\n")
        node.cli("--as", name, "--password-stdin", "request", "list", stdin=f"the password of {name}\n")
    node.cli("dual-control", "on")
    reseal = ("key", "reseal", "--to", "passphrase", "--passphrase-fd", "0")
    asked = node.cli(*reseal, stdin=PASSPHRASE, check=False)
    assert asked.returncode == 6
    assert node.json("key", "show")["kind"] == "file"
    request = re.search(r"approve ([0-9a-f]{32})", asked.stderr + asked.stdout)
    assert request is not None
    for name, code in (("ann", 6), ("bob", 0)):
        said = f"the password of {name}\n"
        node.cli("--as", name, "--password-stdin", "approve", request[1], stdin=said)
        # another kind of seal is another request
        other = node.cli("key", "reseal", "--to", "pkcs11", "--pin-fd", "0", stdin=PIN, check=False)
        assert other.returncode != 0
        assert node.cli(*reseal, stdin=PASSPHRASE, check=False).returncode == code
    assert node.json("key", "show")["kind"] == "passphrase"
    assert node.cli(*reseal, stdin="yet another one", check=False).returncode == 6
    custody = ("tenant", "custody", "none.example", "--back")
    node.tenant("none.example")
    assert node.cli(*custody, check=False).returncode == 6
