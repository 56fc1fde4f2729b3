"""K10, TM-24: a company that holds a key of its own can switch its mail dark, and nothing else with it."""

import contextlib
import imaplib
import json
import os
import smtplib
import ssl
import time

import pytest
from tests.e2e.test_backups import directory
from tests.node_process import Node, new_node
from tests.openbao import OpenBao, key_server
from tests.softhsm import MODULE, SoftHsm
from tests.transit_server import TransitServer

from postkeep.node.supervisor.plan import MODULES, UID_BASE_DEFAULT

PASSWORD = "a long password"
LEASE_SECONDS = 2.0
CUSTODY_UID = UID_BASE_DEFAULT + next(module.uid_offset for module in MODULES if module.name == "custody")
PIN = "13571357"


def deliver(node: Node, address: str, subject: str) -> None:
    with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=20) as smtp:
        smtp.sendmail("bob@elsewhere.example", [address], f"Subject: {subject}\r\n\r\nhello\r\n")


def subjects(node: Node, address: str) -> list[str]:
    """Read all subjects over IMAP; imaplib.IMAP4.error where that is refused."""
    context = ssl.create_default_context(cafile=node.ca)
    context.check_hostname = False
    imap = imaplib.IMAP4_SSL("127.0.0.1", node.ports["imaps"], ssl_context=context)
    try:
        imap.login(address, PASSWORD)
        imap.select("INBOX")
        status, found = imap.fetch("1:*", "(BODY[HEADER.FIELDS (SUBJECT)])")
        if status != "OK":
            raise imaplib.IMAP4.error(found)
        return [item[1].decode().strip() for item in found if isinstance(item, tuple)]
    finally:
        imap.shutdown()


def wait_until_dark(node: Node, address: str) -> None:
    end = time.monotonic() + 10 * LEASE_SECONDS
    while True:
        try:
            subjects(node, address)
        except imaplib.IMAP4.error:
            return
        assert time.monotonic() < end, "still readable"
        time.sleep(0.2)


def secret_file(node: Node, name: str, secret: str) -> str:
    path = node.directory / name
    path.write_text(secret + "\n")
    path.chmod(0o600)
    return str(path)


def test_a_company_switches_its_mail_dark_and_on_again_at_its_key_server() -> None:
    with key_server() as server:
        config = f'[custody]\ntransit = ["{server.url}"]\nlease_seconds = {LEASE_SECONDS}\n'
        with directory() as target, new_node(config=f'{config}[backup]\ntarget = "{target}"\n') as node:
            _switch_dark(node, server)


def _switch_dark(node: Node, server: TransitServer | OpenBao) -> None:
    for domain in ("dark.example", "light.example"):
        node.tenant(domain)
        node.user(f"alice@{domain}", PASSWORD)
        deliver(node, f"alice@{domain}", "first")
    ca = node.directory / "customer-ca.pem"
    ca.write_text(server.ca_pem)
    place = ["--transit", server.url, "--key", "mail", "--ca-file", str(ca), "--secret-file"]
    wrong = node.cli(
        "tenant", "custody", "dark.example", *place, secret_file(node, "bad", "hvs.no"), check=False
    )
    assert wrong.returncode == 4
    elsewhere = [place[0], "https://127.0.0.1:1", *place[2:], secret_file(node, "token", server.token)]
    said = node.cli("tenant", "custody", "dark.example", *elsewhere, check=False).stderr
    assert "[custody]" in said
    node.cli("tenant", "custody", "dark.example", *place, secret_file(node, "token", server.token))
    assert node.json("tenant", "custody", "dark.example")["kind"] == "transit"
    assert subjects(node, "alice@dark.example") == ["Subject: first"]
    server.rotate("mail")
    assert "opens" in node.cli("tenant", "custody", "dark.example", "--check").stdout

    node.json("backup", "create")
    counted = node.json("backup", "verify")["samples"]
    assert (counted["opened"], counted["company_holds"], counted["failed"]) == (2, 0, [])

    server.refuses = True
    wait_until_dark(node, "alice@dark.example")
    _verify_in_the_dark(node)
    refused = node.cli("tenant", "custody", "dark.example", "--check", check=False)
    assert refused.returncode == 4
    assert "company's own key" in refused.stderr
    deliver(node, "alice@dark.example", "while dark")
    assert subjects(node, "alice@light.example") == ["Subject: first"]

    server.refuses = False
    end = time.monotonic() + 20
    while True:
        with contextlib.suppress(imaplib.IMAP4.error):
            assert subjects(node, "alice@dark.example") == ["Subject: first", "Subject: while dark"]
            break
        assert time.monotonic() < end
        time.sleep(0.2)

    node.cli("tenant", "custody", "dark.example", "--back")
    server.delete("mail")
    time.sleep(LEASE_SECONDS * 1.5)
    assert len(subjects(node, "alice@dark.example")) == 2
    assert node.json("tenant", "custody", "dark.example")["kind"] == ""
    for path in (node.data / "state").rglob("*"):
        if path.is_file():
            assert server.token.encode() not in path.read_bytes()


def _verify_in_the_dark(node: Node) -> None:
    """TM-14, TM-25: what only its company can open is not counted as damaged, nor as proved."""
    said = node.cli("backup", "verify")
    assert "1 more can't be opened here: their company holds the key" in said.stdout
    assert "1 opened" in said.stdout
    said = node.cli("backup", "verify", "--lang", "zh-CN", "--json")
    counted = json.loads(said.stdout)
    assert counted["ok"]
    assert (counted["samples"]["opened"], counted["samples"]["company_holds"]) == (1, 1)


def test_a_company_holds_its_key_in_a_token_and_takes_it_away() -> None:
    with new_node(start=False) as node, pytest.MonkeyPatch.context() as patch:
        hsm = SoftHsm(node.directory / "hsm").make()
        hsm.token("purse", PIN, CUSTODY_UID if os.geteuid() == 0 else None)
        (node.data / "postkeep.toml").write_text(
            f'[custody]\nmodules = ["{MODULE}"]\npaths = ["{hsm.directory}"]\n'
            f"lease_seconds = {LEASE_SECONDS}\n"
        )
        patch.setenv("SOFTHSM2_CONF", str(hsm.conf))
        node.start()
        node.tenant("token.example")
        node.user("alice@token.example", PASSWORD)
        deliver(node, "alice@token.example", "one")
        pin = secret_file(node, "pin", PIN)
        place = ["--pkcs11", str(MODULE), "--token", "purse", "--key", "mail", "--secret-file", pin]
        node.cli("tenant", "custody", "token.example", *place)
        assert subjects(node, "alice@token.example") == ["Subject: one"]
        hsm.change_pin("purse", PIN, "99887766")
        wait_until_dark(node, "alice@token.example")
        hsm.change_pin("purse", "99887766", PIN)
        assert "opens" in node.cli("tenant", "custody", "token.example", "--check").stdout
        assert subjects(node, "alice@token.example") == ["Subject: one"]
        hsm.delete_key("purse", PIN, "mail")
        said = node.cli("tenant", "custody", "token.example", "--check", check=False)
        assert said.returncode == 4
        with pytest.raises(imaplib.IMAP4.error):
            subjects(node, "alice@token.example")
        deliver(node, "alice@token.example", "sealed all the same")
