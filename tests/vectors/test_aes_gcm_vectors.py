"""K1: AES-256-GCM as installed, against NIST's vectors: the one cipher everything here stands on."""

from importlib.resources import files

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def load(name: str) -> list[dict[str, str]]:
    """Read the blocks of a CAVP response file."""
    path = files("cryptography_vectors") / "ciphers" / "AES" / "GCM" / name
    blocks: list[dict[str, str]] = []
    current: dict[str, str] = {}
    for line in path.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("["):
            current[key.strip()] = value.strip()
        elif line.strip() == "FAIL":
            current["fail"] = "yes"
        elif not line.strip() and "Key" in current:
            blocks.append(current)
            current = {}
    return [block for block in blocks if len(block["IV"]) == 24 and len(block["Tag"]) == 32]


def run(block: dict[str, str]) -> bytes:
    cipher = AESGCM(bytes.fromhex(block["Key"]))
    sealed = bytes.fromhex(block["CT"] + block["Tag"])
    return cipher.decrypt(bytes.fromhex(block["IV"]), sealed, bytes.fromhex(block["AAD"]))


def test_nist_ciphertexts_open_and_altered_ones_do_not() -> None:
    blocks = load("gcmDecrypt256.rsp")
    good = [block for block in blocks if "fail" not in block]
    bad = [block for block in blocks if "fail" in block]
    assert len(good) > 100
    assert len(bad) > 100
    for block in good:
        assert run(block) == bytes.fromhex(block["PT"])
    for block in bad:
        with pytest.raises(InvalidTag):
            run(block)


def test_nist_plaintexts_seal_to_the_published_ciphertexts() -> None:
    blocks = load("gcmEncryptExtIV256.rsp")
    assert len(blocks) > 100
    for block in blocks:
        cipher = AESGCM(bytes.fromhex(block["Key"]))
        plain, aad = bytes.fromhex(block["PT"]), bytes.fromhex(block["AAD"])
        sealed = cipher.encrypt(bytes.fromhex(block["IV"]), plain, aad)
        assert sealed.hex() == block["CT"] + block["Tag"]
