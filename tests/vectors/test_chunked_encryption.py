"""K1: C2SP's own vectors for chunked encryption, and an independent, slow reading of its specification."""

import base64
import hashlib
import json
import zlib
from importlib.resources import files
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from postkeep.base.errors import IntegrityError
from postkeep.crypto import chunked

Vector = dict[str, Any]


def load_vectors() -> list[Vector]:
    path = files("cryptography_vectors") / "chunked-encryption" / "vectors.json"
    vectors: list[Vector] = json.loads(path.read_text())["vectors"]
    return [vector for vector in vectors if vector["aead"] == "AEAD_AES_256_GCM"]


VECTORS = load_vectors()


def ciphertext_of(vector: Vector) -> bytes:
    data = base64.b64decode(vector["ciphertext"] or "")
    return zlib.decompress(data) if vector.get("compressed") else data


def context_of(vector: Vector) -> bytes:
    return str(vector["context"]).encode()


def named(vector: Vector) -> str:
    return str(vector["name"])


def slow_seal(key: bytes, ctx: bytes, salt: bytes, data: bytes) -> bytes:
    info = b"c2sp.org/chunked-encryption@v1+" + b"AEAD_AES_256_GCM" + b"\x00" + salt + ctx
    material = HKDFExpand(hashes.SHA256(), 32 + 12 + 32, info).derive(key)
    cipher = AESGCM(material[:32])
    out = salt + material[44:]
    number = 0
    while True:
        chunk, data = data[:16384], data[16384:]
        counter = number.to_bytes(12, "big")
        nonce = bytes(a ^ b for a, b in zip(material[32:44], counter, strict=True))
        out += cipher.encrypt(nonce, chunk, None)
        number += 1
        if len(chunk) < 16384:
            return out


def test_the_published_vectors_for_our_cipher_are_all_there() -> None:
    assert len(VECTORS) >= 25
    assert {vector["expect"] for vector in VECTORS} == {"success", "failure"}


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["expect"] == "success"], ids=named)
def test_a_good_vector_opens_and_seals_to_the_same_bytes(vector: Vector) -> None:
    key, ctx, sealed = bytes.fromhex(vector["key"]), context_of(vector), ciphertext_of(vector)
    plain = chunked.open_all(key, ctx, sealed)
    assert len(plain) == vector["payload_length"]
    assert hashlib.sha256(plain).hexdigest() == vector["payload_sha256"]
    assert chunked._seal(key, ctx, sealed[:24], plain) == sealed
    assert chunked.sealed_length(len(plain)) == len(sealed)


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["expect"] == "failure"], ids=named)
def test_a_bad_vector_is_refused(vector: Vector) -> None:
    with pytest.raises(IntegrityError):
        chunked.open_all(bytes.fromhex(vector["key"]), context_of(vector), ciphertext_of(vector))


@pytest.mark.parametrize("length", [0, 1, 16383, 16384, 16385, 32767, 32768, 32769, 100_000])
def test_sealing_agrees_with_a_slow_reading_of_the_specification(length: int) -> None:
    key, salt = bytes(range(32)), bytes(range(24))
    data = hashlib.shake_128(b"data").digest(length)
    expected = slow_seal(key, b"ctx", salt, data)
    assert chunked._seal(key, b"ctx", salt, data) == expected
    assert chunked.open_all(key, b"ctx", expected) == data
