"""A node as its operator sees it: starts, survives, stops, keeps its modules apart, answers commands."""

import imaplib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from tests.node_process import PROGRAM, Node, new_node, run_program

from postkeep.protocols.sasl.bearer import write_oauthbearer

pytestmark = pytest.mark.e2e
ROOT = os.geteuid() == 0


def _wait(condition: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def _greeting(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.settimeout(10)
        return sock.recv(200)


def test_the_ready_line_keeps_the_contract_and_comes_in_five_seconds(node: Node) -> None:
    seconds = node.ready_seconds
    if seconds > 5.0:  # something else keeps this machine busy: the better of two counts
        with new_node() as another:
            seconds = another.ready_seconds
    assert seconds <= 5.0
    assert list(node.ports) == ["smtp", "submission", "submissions", "imap", "imaps", "https", "ops", "ssh"]
    announced: dict[str, int | None] = {**node.ports}
    served = {name: number - node.base_port for name, number in announced.items() if number is not None}
    assert served == {"smtp": 0, "submission": 1, "submissions": 2, "imap": 3, "imaps": 4}
    assert Path(node.ca).read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_every_port_answers_when_ready_is_said(node: Node) -> None:
    assert _greeting(node.ports["smtp"]).startswith(b"220 ")
    assert _greeting(node.ports["submission"]).startswith(b"220 ")
    assert _greeting(node.ports["imap"]).startswith(b"* OK")


def test_a_start_tells_who_is_ready_and_of_nothing_that_passes(node: Node) -> None:
    lines = [json.loads(line) for line in node.log.read_text().splitlines()]
    start = lines[: max(at for at, line in enumerate(lines[:20]) if line["event"] == "process_ready")]
    told = {(line["level"], line["event"]) for line in start}
    assert told == {("info", "process_ready"), ("warning", "root_key_in_file")}
    assert len({line["instance_started"] for line in start if line["level"] == "info"}) >= 10


@pytest.mark.skipif(not ROOT, reason="only root gives modules users of their own")
def test_each_module_runs_as_its_own_user_without_rights(node: Node) -> None:
    owners: dict[str, int] = {}
    for slot, pid in node.processes().items():
        status = Path(f"/proc/{pid}/status").read_text()
        uids = re.search(r"^Uid:\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)", status, re.MULTILINE)
        assert uids is not None
        assert len(set(uids.groups())) == 1
        assert uids.group(1) != "0"
        assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
        assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
        assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)
        owners[slot.partition("-")[0]] = int(uids.group(1))
    assert len(set(owners.values())) == len(owners) == 10
    for module, uid in owners.items():
        state = (node.data / "state" / module).stat()
        assert (state.st_uid, state.st_mode & 0o777) == (uid, 0o700)


def test_no_process_leaves_a_core_or_lets_itself_be_traced(node: Node) -> None:
    for pid in node.processes().values():
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"Max core file size\s+0\s+0", limits)
        if ROOT:
            assert Path(f"/proc/{pid}/mem").stat().st_uid == 0


@pytest.mark.parametrize(
    "slot", ["imap-0", "mx-0", "vault-0", "kms-0", "authority-0", "ledger-0", "steward-0"]
)
def test_a_killed_module_comes_back_and_the_node_works_again(node: Node, slot: str) -> None:
    before = node.processes()[slot]
    ready = len(node.events("process_ready"))
    os.kill(before, signal.SIGKILL)
    _wait(lambda: node.processes().get(slot, before) != before)
    _wait(lambda: len(node.events("process_ready")) > ready)
    name = f"after-{slot}-{before}.example"
    _wait(lambda: node.cli("tenant", "create", name, check=False).returncode == 0, 20)
    assert name in node.cli("domain", "list").stdout
    assert _greeting(node.ports["imap"]).startswith(b"* OK")


def test_metrics_of_every_process_stand_on_one_page(node: Node) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{node.base_port + 20}/metrics", timeout=5) as answer:
        page = answer.read().decode()
    for slot in node.processes():
        assert f'instance="{slot}"' in page


def test_the_doctor_finds_a_running_node_sound(node: Node) -> None:
    findings = {found["check"]: found for found in node.json("doctor", "--base-port", str(node.base_port))}
    assert findings["node"]["verdict"] == "ok"
    assert "kms" in findings["node"]["finding"]
    assert findings["ports"]["verdict"] == "ok"
    assert findings["ledger"]["verdict"] == "ok"
    assert not [found for found in findings.values() if found["verdict"] == "bad"]


def _sign_in_with_a_token(node: Node, address: str) -> None:
    def sign_in(token: str) -> str:
        tls = ssl.create_default_context(cafile=node.ca)
        with imaplib.IMAP4_SSL("localhost", node.ports["imaps"], ssl_context=tls, timeout=60) as client:
            try:
                return client.authenticate("OAUTHBEARER", lambda _: write_oauthbearer(token, address))[0]
            except imaplib.IMAP4.error:
                return "NO"

    made = node.json("token", "create", address, "laptop", "--protocol", "imap", "--days", "2")
    assert sign_in(made["token"]) == "OK"
    (listed,) = node.json("token", "list", address)
    assert (listed["name"], listed["protocols"], listed["token"]) == ("laptop", ["imap"], "")
    assert listed["expires_ms"] - listed["created_ms"] == 2 * 86_400_000
    assert listed["last_used_ms"]
    shown = node.cli("token", "create", address, "phone", "--lang", "zh-CN").stdout
    assert "令牌仅显示一次" in shown
    assert "pkt_" in shown
    assert "pkt_" not in node.cli("token", "list", address).stdout
    refused = node.cli("token", "create", address, "x", "--days", "401", check=False)
    assert refused.returncode != 0
    assert "1 to 400 days" in refused.stderr
    node.cli("token", "delete", address, made["id"])
    assert sign_in(made["token"]) == "NO"
    again = node.cli("token", "delete", address, made["id"], check=False)
    assert again.returncode != 0


def test_commands_go_through_the_life_of_a_company(node: Node) -> None:
    node.tenant("life.example")
    made = node.user("ann@life.example", "correct horse 1")
    assert made["address"] == "ann@life.example"
    node.cli("user", "quota", "ann@life.example", "1G")
    node.cli("alias", "create", "a@life.example", "ann@life.example")
    node.cli("group", "create", "all@life.example", "--member", "ann@life.example")
    node.cli("domain", "add", "life.example", "life2.example")
    shown = node.json("user", "show", "ann@life.example")
    assert shown["quota_bytes"] == 2**30
    assert shown["aliases"] == ["a@life.example"]
    assert node.json("group", "show", "all@life.example")["members"] == ["ann@life.example"]
    secret = node.json("app-password", "create", "ann@life.example", "phone")
    assert len(secret["password"]) >= 16
    assert node.json("app-password", "list", "ann@life.example")[0]["password"] == ""
    node.cli("app-password", "delete", "ann@life.example", secret["id"])
    _sign_in_with_a_token(node, "ann@life.example")
    node.cli("user", "disable", "ann@life.example")
    assert node.json("user", "show", "ann@life.example")["status"] == "disabled"
    node.cli("user", "delete", "ann@life.example", "--yes")
    assert node.cli("user", "show", "ann@life.example", check=False).returncode == 1
    node.cli("tenant", "delete", "life.example", "--yes")
    assert "life.example" not in node.cli("tenant", "list").stdout
    node.tenant("life.example")


def test_administrative_acts_stand_in_the_ledger_without_names(node: Node) -> None:
    node.tenant("recorded.example")
    node.user("nobodyknowsthisname@recorded.example", "correct horse 2")
    entries = node.json("ledger", "show", "--count", "200")
    notes = [entry["note"] for entry in entries if entry["event"] == "admin" and "note" in entry]
    assert "tenant_create" in notes
    assert "user_create" in notes
    assert "nobodyknowsthisname" not in json.dumps(entries)
    assert node.cli("ledger", "verify").returncode == 0


def test_a_command_asks_a_running_node_without_importing_what_nodes_are_made_of(node: Node) -> None:
    arguments = [*PROGRAM[1:], "tenant", "list", "--data", str(node.data)]
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert {"postkeep", "cryptography"} <= imported
    assert not imported & {"argon2", "asyncpg", "cedarpy", "dns", "obstore", "structlog", "uvloop"}


def test_errors_say_what_to_do_in_both_languages(node: Node, tmp_path: Path) -> None:
    stopped = run_program(["tenant", "list", "--data", str(tmp_path)])
    assert stopped.returncode == 3
    assert f"postkeep serve --data {tmp_path}" in stopped.stderr
    chinese = run_program(["--lang", "zh-CN", "tenant", "list", "--data", str(tmp_path)])
    assert "没有运行" in chinese.stderr
    as_json = run_program(["tenant", "list", "--data", str(tmp_path), "--json"])
    assert json.loads(as_json.stderr)["error"]["code"] == "not_running"
    unknown = node.cli("user", "create", "x@nowhere.example", "--no-password", check=False)
    assert unknown.returncode == 1
    assert "postkeep tenant create nowhere.example" in unknown.stderr
    assert node.cli("tenant", "create", "no domain", check=False).returncode == 1
    assert node.cli("nonsense", check=False).returncode == 2


def test_a_second_node_in_the_same_directory_is_refused(node: Node) -> None:
    second = run_program(["serve", "--data", str(node.data), "--base-port", str(node.base_port + 30)])
    assert second.returncode == 1
    assert "running" in second.stderr


def test_a_taken_port_is_named(node: Node) -> None:
    with new_node(start=False) as other:
        result = other.cli("serve", "--base-port", str(node.base_port), check=False)
        assert result.returncode == 1
        assert str(node.base_port) in result.stderr


def test_stopping_is_orderly_and_quick_and_a_kill_loses_nothing() -> None:
    with new_node() as own:
        own.tenant("kept.example")
        children = list(own.processes().values())
        assert own.stop(signal.SIGTERM) <= 10.0
        assert own.process is not None
        assert own.process.returncode == 0
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
        own.start()
        own.tenant("also.example")
        children = list(own.processes().values())
        own.stop(signal.SIGKILL)
        _wait(lambda: not [pid for pid in children if Path(f"/proc/{pid}").exists()], 5)
        own.start()
        domains = own.cli("domain", "list").stdout
        assert "kept.example" in domains
        assert "also.example" in domains
        assert own.cli("ledger", "verify").returncode == 0
        assert own.cli("init", check=False).returncode == 1
    assert not own.data.exists()


def test_a_node_sealed_with_a_passphrase_opens_with_it_alone() -> None:
    with new_node(config='[keys]\nroot = "passphrase"\n', passphrase="open sesame 1") as own:
        own.tenant("sealed.example")
        own.stop()
        wrong = own.cli(
            "serve", "--base-port", str(own.base_port), "--passphrase-fd", "0", stdin="wrong\n", check=False
        )
        assert wrong.returncode == 1
        assert "kms" in wrong.stderr
        own.start()
        assert "sealed.example" in own.cli("domain", "list").stdout
        for path in own.directory.rglob("*"):
            if path.is_file():
                assert b"open sesame" not in path.read_bytes()


def test_a_data_directory_below_a_closed_one_and_with_a_long_path_works() -> None:
    with new_node(below="closed-to-others/" + "a-very-long-name-for-a-directory/" * 3) as own:
        own.tenant("deep.example")
        assert "deep.example" in own.cli("domain", "list").stdout


def test_a_certificate_of_the_operators_own_is_used_although_only_root_can_read_it(tmp_path: Path) -> None:
    ca = trustme.CA()
    made = ca.issue_cert("mail.own.example")
    certificate, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    key.chmod(0o600)
    with new_node(config=f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n') as own:
        context = ssl.create_default_context()
        ca.configure_trust(context)
        with (
            socket.create_connection(("127.0.0.1", own.ports["imaps"]), 10) as plain,
            context.wrap_socket(plain, server_hostname="mail.own.example") as secured,
        ):
            assert secured.recv(200).startswith(b"* OK")


def handshake(node: Node, curve: str) -> str | None:
    """Connect offering one curve only; return the protocol spoken."""
    context = ssl.create_default_context(cafile=node.ca)
    context.set_ecdh_curve(curve)
    with (
        socket.create_connection(("localhost", node.ports["imaps"]), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        return secure.version()


def test_tls_is_spoken_over_the_curves_of_the_intermediate_profile_and_no_others(node: Node) -> None:
    assert [handshake(node, curve) for curve in ("prime256v1", "secp384r1")] == ["TLSv1.3"] * 2
    with pytest.raises(ssl.SSLError):
        handshake(node, "secp521r1")
