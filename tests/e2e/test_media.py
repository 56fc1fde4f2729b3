"""Media by the command line: refusals that help, and a record that is signed and stands in the ledger."""

import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from tests.node_process import Node

from postkeep.crypto.context import context

REFUSED = 1
BY = ("--by", "Bob", "--witness", "Ann", "--witness", "Eve", "--tool", "nvme-cli 2.3")


def says(node: Node, *words: str, code: int = 0, lang: str = "en") -> str:
    result = node.cli("--lang", lang, "media", *words, check=False)
    assert result.returncode == code, result.stderr
    return result.stdout + result.stderr


@pytest.mark.parametrize(
    ("words", "english", "chinese"),
    [
        (("add", "B-1", "--type", "floppy", "--serial", "1"), "The media are:", "没有该介质类型"),
        (("show", "B-9"), "postkeep media list", "没有该资产编号"),
        (("sanitise", "A-0", "--method", "purge", "--technique", "degauss", "--tool", "t", "--by", "Bob",
          "--witness", "Ann"), "--witness NAME --witness NAME", "两名不同的见证人"),
    ],
)  # fmt: skip
def test_bad_input_about_media_says_what_to_do(
    node: Node, words: tuple[str, ...], english: str, chinese: str
) -> None:
    held = ("--category", "content", "--encrypted", "always")
    if words[0] == "sanitise":
        says(node, "add", "A-0", "--type", "hdd", "--serial", "S0", *held)
        assert "postkeep media sanitise A-0" in says(node, "withdraw", "A-0", "--reason", "old")
    more = held if words[0] == "add" else ()
    assert english in says(node, *words, *more, code=REFUSED)
    assert chinese in says(node, *words, *more, code=REFUSED, lang="zh-CN")


def test_a_drive_is_withdrawn_sanitised_verified_and_released_with_a_signed_record(
    node: Node, tmp_path: Path
) -> None:
    kind = ("--type", "ssd-nvme", "--serial", "S1", "--category", "content", "--encrypted", "always")
    says(node, "add", "A-17", *kind, "--site", "dc1", "--rack", "r4")
    says(node, "withdraw", "A-17", "--reason", "worn out")
    degauss = ("sanitise", "A-17", "--method", "purge", "--technique", "degauss", *BY)
    assert "sanitize-block-erase" in says(node, *degauss, code=REFUSED)
    assert "postkeep media methods" in says(node, *degauss, code=REFUSED, lang="zh-CN")
    erase = ("sanitise", "A-17", "--method", "purge", "--technique", "cryptographic-erase", *BY)
    assert "--certificate" in says(node, *erase, code=REFUSED)
    assert "no certificate" in says(node, *erase, "--certificate", "ab" * 16, code=REFUSED)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"a picture of the drive")
    block = ("sanitise", "A-17", "--method", "purge", "--technique", "sanitize-block-erase", *BY)
    says(node, *block, "--photo", str(photo))
    assert "does not verify" in says(node, "verify", "A-17", "--by", "bob", "--tool", "dd", code=REFUSED)
    says(node, "verify", "A-17", "--by", "Carl", "--tool", "read every block")
    assert "ask for destroy" in says(node, "release", "A-17", "--to", "leave", code=REFUSED)
    says(node, "release", "A-17", "--to", "reuse")
    shown = says(node, "show", "A-17", lang="zh-CN")
    assert "已放行" in shown
    assert "Ann, Eve" in shown
    assert f"照片 sha256 {hashlib.sha256(photo.read_bytes()).hexdigest()}" in shown
    assert "位置      dc1/r4" in shown

    out = tmp_path / "record.json"
    says(node, "record", "A-17", "--out", str(out))
    document = json.loads(out.read_text())
    signed = context("certificate", document["record"].encode())
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(document["public_keys"])[:32])
    key.verify(bytes.fromhex(document["ed25519"]), signed)
    asset = json.loads(document["record"])["asset"]
    assert [entry["act"] for entry in asset["history"]] == [
        "register",
        "withdraw",
        "sanitise",
        "verify",
        "release",
    ]
    assert asset["history"][2]["photo"] == hashlib.sha256(photo.read_bytes()).hexdigest()
    told = json.loads(node.cli("ledger", "show", "--count", "200", "--json").stdout)
    digests = [event["digest"] for event in told if event["event"] == "media"]
    own = [entry["digest"] for entry in asset["history"]]
    assert [digest for digest in digests if digest in own] == own
