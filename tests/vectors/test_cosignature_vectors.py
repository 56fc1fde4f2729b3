"""Signatures of types 0x04 and 0x06: what others have made is believed, and the layout is pinned (A1, A3).

The cosigned checkpoint is the one printed in C2SP tlog-cosignature; its keys are not printed there, so its
octets pin the layout only. The message that ML-DSA-44 signs is put together here by hand from the format's
text, and the signature is checked by the library directly; two notes are signed by others' programs.
"""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from postkeep.base.errors import IntegrityError
from postkeep.crypto import cosignature, note
from postkeep.crypto.verifier_key import parse_verifier_key

FOREIGN = Path("verifier/tests/mldsa44_notes.json")

CHECKPOINT = note.Checkpoint("example.com/behind-the-sofa", 20852163, bytes(range(32)))
KEY = Ed25519PrivateKey.from_private_bytes(b"ledger key for tests, 32 octets.")
PUBLIC_KEY = KEY.public_key().public_bytes_raw()
MLDSA_KEY = MLDSA44PrivateKey.from_seed_bytes(bytes(range(32)))
MLDSA_PUBLIC = MLDSA_KEY.public_key().public_bytes_raw()
TIME = 1679315147
PRINTED = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGz"
    "Gku9nTo+zyWE+xeMcTOAYQ8=\n"
    "\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1n"
    "PZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)


def made() -> bytes:
    return cosignature.sign_checkpoint(
        CHECKPOINT, (PUBLIC_KEY, KEY.sign), (MLDSA_PUBLIC, MLDSA_KEY.sign), TIME
    )


def test_the_printed_cosigned_checkpoint_has_the_time_that_its_page_names() -> None:
    (signature,) = note.note_signatures(PRINTED.encode(), "witness.example.com/w1", bytes.fromhex("8d66cf3f"))
    assert len(signature) == 8 + 64
    assert int.from_bytes(signature[:8], "big") == TIME
    assert note.parse_checkpoint(note.peek_note(PRINTED.encode())).size == 20852163


@pytest.mark.parametrize("which", ["published", "signed_by_go"])
def test_foreign_mldsa44_signatures_are_believed_and_altered_ones_refused(which: str) -> None:
    """A1, A3: a note of torchwood's and one that Go's own ML-DSA signed; the file says how they were made."""
    vector = json.loads(FOREIGN.read_text("utf-8"))[which]
    key, signed = parse_verifier_key(vector["vkey"]), vector["note"].encode()
    checkpoint = note.parse_checkpoint(note.peek_note(signed))
    time = cosignature.check_cosignature(signed, checkpoint, key.name, key.kind, key.public)
    assert time == vector["time"]
    text, _, line = vector["note"].rpartition("\n\n")
    head, _, encoded = line.strip().rpartition(" ")
    for place in (4, 11, 12, 1300, 2400, 2431):
        octets = bytearray(base64.b64decode(encoded))
        octets[place] ^= 1
        altered = f"{text}\n\n{head} {base64.b64encode(octets).decode()}\n".encode()
        with pytest.raises(IntegrityError, match="is not valid"):
            cosignature.check_cosignature(altered, checkpoint, key.name, key.kind, key.public)
    other = note.Checkpoint(checkpoint.origin, 2, checkpoint.root)
    with pytest.raises(IntegrityError, match="is not valid"):
        cosignature.check_cosignature(signed, other, key.name, key.kind, key.public)


def test_a_checkpoint_carries_both_signatures_in_the_documented_octets() -> None:
    text, _, lines = made().partition(b"\n\n")
    assert text + b"\n" == note.format_checkpoint(CHECKPOINT)
    first, second = lines.splitlines()
    head = "\u2014 example.com/behind-the-sofa ".encode()
    plain = base64.b64decode(first.removeprefix(head))
    quantum = base64.b64decode(second.removeprefix(head))
    assert len(plain) == 4 + 64
    assert len(quantum) == 4 + 8 + 2420
    KEY.public_key().verify(plain[4:], text + b"\n")
    message = (
        b"subtree/v1\n\0\x1bexample.com/behind-the-sofa"
        + TIME.to_bytes(8, "big")
        + b"\x1bexample.com/behind-the-sofa"
        + bytes(8)
        + (20852163).to_bytes(8, "big")
        + bytes(range(32))
    )
    MLDSA44PublicKey.from_public_bytes(MLDSA_PUBLIC).verify(quantum[12:], message)
    assert int.from_bytes(quantum[4:12], "big") == TIME


def test_verifier_keys_name_their_kind() -> None:
    for public, kind in ((PUBLIC_KEY, note.ED25519), (MLDSA_PUBLIC, cosignature.MLDSA44)):
        name, identity, encoded = note.verifier_key("example.com/log", public, kind).split("+", 2)
        assert name == "example.com/log"
        assert bytes.fromhex(identity) == note.key_id(name, public, kind)
        assert base64.b64decode(encoded) == bytes([kind]) + public
    # The verifier key that Go's documentation of package note prints.
    peter = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    assert (
        note.verifier_key("PeterNeumann", peter[1:])
        == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    )


def test_both_signatures_are_needed_where_both_keys_are_known() -> None:
    whole = made()
    origin = CHECKPOINT.origin
    assert cosignature.open_both(whole, origin, PUBLIC_KEY, MLDSA_PUBLIC) == CHECKPOINT
    alone = note.sign_note(note.format_checkpoint(CHECKPOINT), origin, PUBLIC_KEY, KEY.sign)
    with pytest.raises(IntegrityError, match="no signature of this kind"):
        cosignature.open_both(alone, origin, PUBLIC_KEY, MLDSA_PUBLIC)
    # A note from before the second key stays good, and any note is good for who knows Ed25519 only.
    assert cosignature.open_both(alone, origin, PUBLIC_KEY, MLDSA_PUBLIC, required=False) == CHECKPOINT
    assert note.open_checkpoint(whole, origin, PUBLIC_KEY) == CHECKPOINT


def test_a_wrong_second_signature_is_refused_even_where_it_is_not_needed() -> None:
    lines = made().decode().splitlines(keepends=True)
    raw = bytearray(base64.b64decode(lines[-1].split(" ")[2]))
    for place in (5, 40, len(raw) - 1):
        bad = raw.copy()
        bad[place] ^= 1
        line = f"\u2014 {CHECKPOINT.origin} {base64.b64encode(bad).decode()}\n"
        broken = "".join([*lines[:-1], line]).encode()
        with pytest.raises(IntegrityError, match="is not valid"):
            cosignature.open_both(broken, CHECKPOINT.origin, PUBLIC_KEY, MLDSA_PUBLIC, required=False)


def test_a_signature_of_another_size_root_or_signer_is_not_taken_over() -> None:
    lines = note.note_lines(made())
    for other in (
        note.Checkpoint(CHECKPOINT.origin, CHECKPOINT.size + 1, CHECKPOINT.root),
        note.Checkpoint(CHECKPOINT.origin, CHECKPOINT.size, bytes(32)),
    ):
        text = note.format_checkpoint(other)
        moved = note.add_lines(note.sign_note(text, other.origin, PUBLIC_KEY, KEY.sign), lines[1:])
        with pytest.raises(IntegrityError, match="is not valid"):
            cosignature.open_both(moved, other.origin, PUBLIC_KEY, MLDSA_PUBLIC)


@pytest.mark.parametrize("kind", [cosignature.COSIGNATURE_ED25519, cosignature.MLDSA44])
def test_a_witness_signs_beside_the_log(kind: int) -> None:
    name = "witness.example.com/w1"
    if kind == cosignature.MLDSA44:
        public = MLDSA_PUBLIC
        line = cosignature.mldsa_line(CHECKPOINT, name, MLDSA_PUBLIC, MLDSA_KEY.sign, TIME)
    else:
        public = PUBLIC_KEY
        message = f"cosignature/v1\ntime {TIME}\n".encode() + note.format_checkpoint(CHECKPOINT)
        identity = note.key_id(name, PUBLIC_KEY, kind)
        line = note.signature_line(name, identity, TIME.to_bytes(8, "big") + KEY.sign(message))
    whole = note.add_lines(made(), [line, line])
    assert len(note.note_lines(whole)) == 3
    assert cosignature.check_cosignature(whole, CHECKPOINT, name, kind, public) == TIME
    with pytest.raises(IntegrityError, match="no signature"):
        cosignature.check_cosignature(made(), CHECKPOINT, name, kind, public)


@pytest.mark.parametrize(
    "line", [b"", b"\xff", "\u2014 a b\n\u2014 c d".encode(), b"- w AAAAAAAA", "\u2014 w !".encode()]
)
def test_a_malformed_line_is_not_added(line: bytes) -> None:
    with pytest.raises(IntegrityError):
        note.add_lines(made(), [line])
