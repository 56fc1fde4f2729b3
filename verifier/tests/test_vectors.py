"""The Merkle trees and notes of other implementations, reproduced.

Facts taken (records, hashes, keys, signatures) from the tests of Go's golang.org/x/mod: sumdb/note (the keys
and the note of "PeterNeumann" and "EnochRoot"), sumdb (a tree of package hashes with two signed heads that
contradict each other), sumdb/tlog (a proof from Google's Certificate Transparency log Argon 2020).
"""

import base64
import json
from pathlib import Path

import pytest
from verifier.tests import made_ledger as made

from postkeep_verifier.merkle import leaf_hash, root_from_inclusion, root_of
from postkeep_verifier.note import Key, NoteError, parse_key, parse_note, verified_by
from postkeep_verifier.tree import tile_path

PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
SUMDB = "localhost.localdev/sumdb+00000c67+AcTrnkbUA+TU4heY3hkjiSES/DSQniBqIeQ/YppAUtK6"
TEXT = "golang.org/x/text v0.0.0-20170915032832-14c0d48ead0c"
MODULES = [
    [
        "rsc.io/quote v1.5.2 h1:w5fcysjrx7yqtD/aO+QwRjYZOKnaM9Uh2b40tElTs3Y=",
        "rsc.io/quote v1.5.2/go.mod h1:LzX7hefJvL54yjefDEDHNONDjII0t9xZLPXsUe+TKr0=",
        "rsc.io/quote v1.5.2 h2:xyzzy",
    ],
    [
        f"{TEXT} h1:qgOY6WgZOaTkIIMiVjBQcw93ERBE4m30iBm00nkL0i8=",
        f"{TEXT}/go.mod h1:NqM8EUOU14njkJ3fqMW+pc6Ldnwhi/IjpwHt7yyuwOQ=",
    ],
    [
        "rsc.io/sampler v1.3.0 h1:7uVkIFmeBqHfdjD+gZwtXXI+RODJ2Wc4O7MPEh/QiW4=",
        "rsc.io/sampler v1.3.0/go.mod h1:T1hPZKmBbMNahiBKFy5HrXp6adAjACjK9JXDnKaTXpA=",
    ],
    ["rsc.io/Quote v1.5.2 h1:uppercase!="],
]
SIGNED = {  # the last records, the root, the signature: one history and a fork of it
    ("v1.5.2",): (
        "nWzN20+pwMt62p7jbv1/NlN95ePTlHijabv5zO/s36w=",
        "AAAMZ5/2FVAdMH58kmnz/0h299pwyskEbzDzoa2/YaPdhvLya4YWDFQQxu2TQb5GpwAH4NdWnTwuhILafisyf3CNbgg=",
    ),
    ("v1.5.3", "v1.5.4"): (
        "wc4SkQt52o5W2nQ8To2ARs+mWuUJjss+sdleoiqxMmM=",
        "AAAMZ6oRNswlEZ6ZZhxrCvgl1MBy+nusq4JU+TG6Fe2NihWLqOzb+y2c2kzRLoCr4tvw9o36ucQEnhc20e4nA4Qc/wc=",
    ),
}


@pytest.mark.parametrize("versions", SIGNED)
def test_the_tree_of_package_hashes_has_the_root_that_its_log_signed(versions: tuple[str, ...]) -> None:
    records = MODULES + [[f"rsc.io/pkg1 {version} h1:hash!="] for version in versions]
    tree = root_of([[leaf_hash(("\n".join(record) + "\n").encode()) for record in records]])
    root, signature = SIGNED[versions]
    assert tree == base64.b64decode(root)
    text = f"go.sum database tree\n{len(records)}\n{root}\n"
    note = parse_note(f"{text}\n\u2014 localhost.localdev/sumdb {signature}\n".encode())
    assert verified_by(note, parse_key(SUMDB)) == 0
    assert note[:3] == ("go.sum database tree", len(records), tree)


def test_a_proof_of_a_public_certificate_log_leads_to_the_root_that_it_signed() -> None:
    told = json.loads((Path(__file__).parent / "argon2020.json").read_bytes())
    leaf, root = base64.b64decode(told["leaf"]), base64.b64decode(told["root"])
    proof = [base64.b64decode(step) for step in told["proof"]]
    assert root_from_inclusion(told["index"], leaf, told["size"], proof) == root
    assert root_from_inclusion(told["index"] + 1, leaf, told["size"], proof) != root


def test_keys_are_read_as_go_reads_them() -> None:
    for vkey, name in ((PETER, "PeterNeumann"), (ENOCH, "EnochRoot"), (SUMDB, "localhost.localdev/sumdb")):
        key = parse_key(vkey)
        assert (key.name, key.id.hex()) == (name, vkey.split("+")[1])


def test_a_key_that_was_mangled_anywhere_is_refused() -> None:
    for start in range(len(PETER) + 1):
        for end in range(start + 1, len(PETER) + 1):
            if (start, end) != (0, len(PETER)):
                with pytest.raises(NoteError):
                    parse_key(PETER[start:end])
    for place in range(len(PETER)):
        changed = PETER[:place] + chr(ord(PETER[place]) + 1) + PETER[place + 1 :]
        with pytest.raises(NoteError):
            parse_key(changed)
    for bad in (  # the wrong length, and an unknown kind, both with the right id
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ):
        with pytest.raises(NoteError):
            parse_key(bad)


@pytest.mark.parametrize("point", [0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18])
@pytest.mark.parametrize("sign", [0, 1])
def test_a_key_that_anybody_can_sign_with_is_refused(point: int, sign: int) -> None:
    public = (point | sign << 255).to_bytes(32, "little")
    with pytest.raises(NoteError, match="small order"):
        parse_key(made.vkey("x", made.ED25519, public))


def test_tiles_have_the_paths_that_go_gives_them() -> None:
    assert tile_path(5, 123456078) == "tile/5/x123/x456/078"
    assert tile_path(0, 1, 5) == "tile/0/001.p/5"
    assert tile_path("entries", 3057500) == "tile/entries/x003/x057/500"


def test_the_witness_signature_of_c2sp_is_taken_apart_as_specified() -> None:
    """The example of C2SP tlog-cosignature (its key is not published): name, key id and time."""
    line = (
        "\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dl"
        "rDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
    )
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    ((name, key_id, signature),) = parse_note(f"{text}\n{line}".encode()).signatures
    assert (name, key_id.hex()) == ("witness.example.com/w1", "8d66cf3f")
    assert int.from_bytes(signature[:8], "big") == 1679315147
    assert len(signature) == 8 + 64


@pytest.mark.parametrize("which", ["published", "signed_by_go"])
def test_foreign_mldsa44_signatures_are_believed_and_altered_ones_refused(which: str) -> None:
    """Type 0x06 as others make it: `made_by` in the file says who, and how."""
    vector = json.loads((Path(__file__).parent / "mldsa44_notes.json").read_text("utf-8"))[which]
    key, note = parse_key(vector["vkey"]), vector["note"].encode()
    assert verified_by(parse_note(note), key) == vector["time"]
    text, _, line = vector["note"].rpartition("\n\n")
    head, _, encoded = line.strip().rpartition(" ")
    for place in (4, 11, 12, 1300, 2400, 2431):  # the time, then the signature; its last octets are hints
        octets = bytearray(base64.b64decode(encoded))
        octets[place] ^= 1
        altered = f"{text}\n\n{head} {base64.b64encode(octets).decode()}\n"
        with pytest.raises(NoteError, match="not valid"):
            verified_by(parse_note(altered.encode()), key)
    with pytest.raises(NoteError, match="not valid"):
        verified_by(parse_note(note.replace(b"\n1\n", b"\n2\n", 1)), key)


def test_every_signature_of_a_head_is_believed_only_as_it_was_made() -> None:
    """Ed25519, ML-DSA-44 and a witness's, each flipped in one place: refused, never passed over."""
    head = made.checkpoint(5, bytes(32), witnessed_at=1_800_000_002)
    keys = [parse_key(text) for text in (*made.KEYS, made.WITNESS_VKEY)]
    assert [verified_by(parse_note(head), key) for key in keys] == [0, 1_800_000_001, 1_800_000_002]
    text, _, lines = head.decode().rpartition("\n\n")
    for number, key in enumerate(keys):
        changed = lines.splitlines(keepends=True)
        name, encoded = changed[number].rsplit(" ", 1)
        signature = bytearray(base64.b64decode(encoded))
        signature[-3] ^= 1
        changed[number] = f"{name} {base64.b64encode(signature).decode()}\n"
        with pytest.raises(NoteError, match="not valid"):
            verified_by(parse_note(f"{text}\n\n{''.join(changed)}".encode()), key)
        bigger = head.replace(b"\n5\n", b"\n6\n", 1)
        with pytest.raises(NoteError, match="not valid"):
            verified_by(parse_note(bigger), key)
        assert verified_by(parse_note(head), Key(key.name + "x", key.kind, key.public)) is None


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 100, 257])
def test_inclusion_proofs_lead_to_the_root_and_nothing_else_does(size: int) -> None:
    leaves = made.leaves_of(str(n).encode() for n in range(size))
    root = made.root(leaves)
    for index in {0, size // 2, size - 1}:
        proof = proof_of(index, leaves)
        assert root_from_inclusion(index, leaves[index], size, proof) == root
        assert root_from_inclusion(index, leaves[index - 1], size, proof) != root or size == 1
        assert root_from_inclusion(index, leaves[index], size, [*proof, root]) is None
        for place in range(len(proof)):
            wrong = [*proof[:place], bytes(32), *proof[place + 1 :]]
            assert root_from_inclusion(index, leaves[index], size, wrong) != root
    assert root_from_inclusion(size, leaves[0], size, []) is None


def proof_of(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 9162 section 2.1.3.1, as it stands there."""
    if len(leaves) == 1:
        return []
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    if index < half:
        return [*proof_of(index, leaves[:half]), made.root(leaves[half:])]
    return [*proof_of(index - half, leaves[half:]), made.root(leaves[:half])]
