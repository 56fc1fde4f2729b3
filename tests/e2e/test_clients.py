"""Programs that people use, against a running node: each reads, some write, none is told anything special."""

import imaplib
import shlex
import shutil
import smtplib
import ssl
import subprocess
from pathlib import Path

import imapclient
import pytest
from tests.corpus import messages
from tests.node_process import Node

pytestmark = [pytest.mark.e2e, pytest.mark.peer]

USER, PASSWORD = "erin@clients.example", "what a nice pass"
MESSAGES = 60


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


@pytest.fixture(scope="module")
def node(node: Node) -> Node:
    node.tenant("clients.example")
    node.user(USER, PASSWORD)
    with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=60) as client:
        for sample in messages(MESSAGES, seed=21):
            client.sendmail("s@elsewhere.example", [USER], sample.data)
    return node


def tls(node: Node) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=node.ca)


def run(arguments: list[str], cwd: Path, stdin: str = "") -> str:
    done = subprocess.run(
        arguments, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=120, check=False,
        env={"HOME": str(cwd), "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "TERM": "dumb"},
    )  # fmt: skip
    assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
    return done.stdout


def maildir_files(directory: Path) -> list[Path]:
    return [path for part in ("new", "cur") for path in (directory / part).glob("*")]


MBSYNC = """IMAPAccount a
Host localhost
Port {port}
User {user}
Pass "{password}"
SSLType IMAPS
CertificateFile {ca}

IMAPStore far
Account a

MaildirStore near
Path {dir}/mail/
Inbox {dir}/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
Sync All
SyncState *
"""


@needs("mbsync")
def test_mbsync_mirrors_both_ways(node: Node, tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    config = tmp_path / "rc"
    config.write_text(
        MBSYNC.format(port=node.ports["imaps"], user=USER, password=PASSWORD, ca=node.ca, dir=tmp_path)
    )
    run(["mbsync", "-c", str(config), "-a"], tmp_path)
    here = maildir_files(tmp_path / "mail" / "INBOX")
    assert len(here) >= MESSAGES
    drafts = tmp_path / "mail" / "Drafts"
    (drafts / "cur" / "1.local:2,DS").write_bytes(b"Subject: a draft from mbsync\n\nwritten offline\n")
    run(["mbsync", "-c", str(config), "-a"], tmp_path)
    with imaplib.IMAP4_SSL("localhost", node.ports["imaps"], ssl_context=tls(node)) as client:
        client.login(USER, PASSWORD)
        assert client.select("Drafts")[1] == [b"1"]
        _, found = client.fetch("1", "(BODY[TEXT])")
        assert isinstance(found[0], tuple)
        assert b"written offline" in found[0][1]
        client.store("1", "+FLAGS", "(\\Deleted)")
        client.expunge()
    run(["mbsync", "-c", str(config), "-a"], tmp_path)
    assert maildir_files(drafts) == []


@needs("offlineimap")
def test_offlineimap_reads_everything(node: Node, tmp_path: Path) -> None:
    config = tmp_path / "rc"
    config.write_text(
        f"""[general]
accounts = a
metadata = {tmp_path}/meta
ui = basic
[Account a]
localrepository = l
remoterepository = r
[Repository l]
type = Maildir
localfolders = {tmp_path}/mail
[Repository r]
type = IMAP
remotehost = localhost
remoteport = {node.ports["imaps"]}
remoteuser = {USER}
remotepass = {PASSWORD}
ssl = yes
sslcacertfile = {node.ca}
readonly = True
"""
    )
    run(["offlineimap", "-c", str(config), "-o"], tmp_path)
    assert len(maildir_files(tmp_path / "mail" / "INBOX")) >= MESSAGES


@pytest.mark.parametrize("program", ["neomutt", "mutt"])
def test_mutt_and_neomutt_open_the_mailbox_and_copy_a_message(
    node: Node, tmp_path: Path, program: str
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    config = tmp_path / "rc"
    config.write_text(
        f"""set folder=imaps://localhost:{node.ports["imaps"]}/
set imap_user="{USER}"
set imap_pass="{PASSWORD}"
set spoolfile=+INBOX
set ssl_force_tls=yes
set ssl_verify_host=yes
set certificate_file={node.ca}
set mbox_type=Maildir
set copy=no
set confirmappend=no confirmcreate=no
set quit=yes
"""
    )
    keys = f"push <copy-message>{tmp_path}/out<enter><exit>"
    run(["script", "-qec", shlex.join([program, "-F", str(config), "-e", keys]), "/dev/null"], tmp_path)
    assert len(maildir_files(tmp_path / "out")) == 1


@needs("curl")
def test_curl_lists_searches_and_fetches(node: Node, tmp_path: Path) -> None:
    base = f"imaps://localhost:{node.ports['imaps']}"
    login = f'user = "{USER}:{PASSWORD}"\ncacert = "{node.ca}"\nsilent\nshow-error\n'
    assert "INBOX" in run(["curl", "--config", "-", base + "/"], tmp_path, login)
    found = run(["curl", "--config", "-", base + "/INBOX", "--request", "SEARCH ALL"], tmp_path, login)
    assert len(found.split()) >= MESSAGES + 2
    fetched = run(["curl", "--config", "-", base + "/INBOX;UID=1;SECTION=HEADER"], tmp_path, login)
    assert fetched.startswith("Return-Path:")


def test_imaplib_files_and_flags(node: Node) -> None:
    with imaplib.IMAP4_SSL("localhost", node.ports["imaps"], ssl_context=tls(node)) as client:
        client.login(USER, PASSWORD)
        assert client.create('"Work/2026"')[0] == "OK"
        assert (
            client.append('"Work/2026"', "(\\Flagged)", "", b"Subject: kept\r\n\r\nfor later\r\n")[0] == "OK"
        )
        client.select('"Work/2026"')
        assert client.search(None, "FLAGGED")[1] == [b"1"]
        assert client.search("UTF-8", "TEXT", "later")[1] == [b"1"]
        assert client.rename('"Work/2026"', '"Done"')[0] == "OK"
        assert client.delete('"Done"')[0] == "OK"


def test_imapclient_sees_structure_and_waits_in_idle(node: Node) -> None:
    client = imapclient.IMAPClient("localhost", port=node.ports["imaps"], ssl_context=tls(node))
    client.login(USER, PASSWORD)
    state = client.select_folder("INBOX")
    rows = client.fetch(
        client.search(), ["ENVELOPE", "BODYSTRUCTURE", "RFC822.SIZE", "FLAGS", "INTERNALDATE"]
    )
    assert len(rows) == state[b"EXISTS"]
    assert all(row[b"RFC822.SIZE"] > 0 and row[b"BODYSTRUCTURE"] for row in rows.values())
    client.idle()
    with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=30) as sender:
        sender.sendmail("s@elsewhere.example", [USER], b"Subject: wake up\r\n\r\nnow\r\n")
    pushed = client.idle_check(timeout=10)
    client.idle_done()
    assert any(item[1] == b"EXISTS" for item in pushed)
    client.logout()


@needs("swaks")
def test_swaks_submits_with_every_mechanism(node: Node, tmp_path: Path) -> None:
    for mechanism in ("PLAIN", "LOGIN"):
        run(
            ["swaks", "--server", "localhost", "--port", str(node.ports["submissions"]), "--tls-on-connect",
             "--tls-ca-path", node.ca, "--tls-verify", "--auth", mechanism, "--auth-user", USER,
             "--auth-password", PASSWORD, "--from", USER, "--to", USER, "--body", f"by {mechanism}"],
            tmp_path,
        )  # fmt: skip
