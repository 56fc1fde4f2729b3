"""K1: HPKE against the vectors of draft-ietf-hpke-pq, and our raw forms of keys against theirs."""

import hashlib
import json
from importlib.resources import files
from typing import Any

import pytest
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from postkeep.base.errors import IntegrityError, InvalidInputError
from postkeep.crypto import hpke

MLKEM768_X25519 = 0x647A


def load_vectors() -> list[dict[str, Any]]:
    path = files("cryptography_vectors") / "HPKE" / "hpke-pq-test-vectors.json"
    vectors: list[dict[str, Any]] = json.loads(path.read_text())
    return [v for v in vectors if v["kem_id"] == MLKEM768_X25519 and v["kdf_id"] == 1 and v["mode"] == 0]


def seeds_of(vector: dict[str, Any]) -> bytes:
    # The draft keeps one seed of 32 bytes and expands it; we keep the two seeds that it expands to.
    return hashlib.shake_256(bytes.fromhex(vector["skRm"])).digest(hpke.PRIVATE_KEY_BYTES)


def test_our_suite_is_the_hybrid_with_aes() -> None:
    assert KEM.MLKEM768_X25519.enc_length() == hpke.ENCAPSULATION_BYTES
    key = hpke.PrivateKey(hpke.new_private_seeds())
    sealed = hpke.seal(hpke.load_public_key(key.public_bytes), b"info", b"x" * 32)
    other = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    assert other.decrypt(sealed, key._key, b"info") == b"x" * 32


@pytest.mark.parametrize("vector", load_vectors())
def test_our_private_form_gives_the_vectors_public_key_and_opens_its_ciphertexts(
    vector: dict[str, Any],
) -> None:
    key = hpke.PrivateKey(seeds_of(vector))
    assert key.public_bytes == bytes.fromhex(vector["pkRm"])
    suite = Suite(
        KEM.MLKEM768_X25519,
        KDF.HKDF_SHA256,
        {1: AEAD.AES_128_GCM, 2: AEAD.AES_256_GCM, 3: AEAD.CHACHA20_POLY1305}[vector["aead_id"]],
    )
    first = vector["encryptions"][0]
    sealed = bytes.fromhex(vector["enc"] + first["ct"])
    decrypt = openssl.hpke._decrypt_with_aad  # the vectors use AAD, we do not
    info, aad = bytes.fromhex(vector["info"]), bytes.fromhex(first["aad"])
    assert decrypt(suite, sealed, key._key, info, aad) == bytes.fromhex(first["pt"])


def test_there_is_a_vector_for_our_kem_and_kdf() -> None:
    assert load_vectors()


@pytest.mark.parametrize("change", ["info", "enc", "tag", "short", "key"])
def test_what_was_changed_does_not_open(change: str) -> None:
    key = hpke.PrivateKey(hpke.new_private_seeds())
    sealed = bytearray(hpke.seal(hpke.load_public_key(key.public_bytes), b"info", b"secret"))
    info = b"info"
    if change == "info":
        info = b"inf0"
    elif change == "enc":
        sealed[3] ^= 1
    elif change == "tag":
        sealed[-1] ^= 1
    elif change == "short":
        del sealed[1000:]
    else:
        key = hpke.PrivateKey(hpke.new_private_seeds())
    with pytest.raises(IntegrityError):
        key.open(bytes(sealed), info)


@pytest.mark.parametrize("raw", [b"", bytes(1215), b"\xff" * 1216])
def test_what_is_not_a_public_key_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInputError):
        hpke.load_public_key(raw)


def test_a_private_key_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(IntegrityError):
        hpke.PrivateKey(bytes(95))
