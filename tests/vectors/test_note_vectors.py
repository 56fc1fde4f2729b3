"""Notes and checkpoints that other implementations have made, and every way in which one may be wrong."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from postkeep.base.errors import IntegrityError
from postkeep.crypto import note

CHECKPOINT_TEXT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"

# The verifier key and the note that Go's documentation of package note prints.
NAME = "PeterNeumann"
PUBLIC_KEY = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:]
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
LINE = (
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2"
    "pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_a_note_of_another_implementation_is_believed() -> None:
    assert note.key_id(NAME, PUBLIC_KEY).hex() == "c74f20a3"
    assert note.open_note((TEXT + "\n" + LINE).encode(), NAME, PUBLIC_KEY) == TEXT.encode()


def test_signatures_of_unknown_keys_are_passed_over() -> None:
    other = "\u2014 EnochRoot af4VnZKXJWIdcDjMTvEiWLHuIxVbLIgpRoZQWsRJzNYVl8DW0Fmf/6jp\n"
    assert note.open_note((TEXT + "\n" + other + LINE).encode(), NAME, PUBLIC_KEY) == TEXT.encode()
    with pytest.raises(IntegrityError, match="not signed by the key expected"):
        note.open_note((TEXT + "\n" + other).encode(), NAME, PUBLIC_KEY)


def test_the_printed_checkpoint_is_read_and_written_alike() -> None:
    checkpoint = note.parse_checkpoint(CHECKPOINT_TEXT.encode())
    assert checkpoint.origin == "example.com/behind-the-sofa"
    assert checkpoint.size == 20852163
    assert checkpoint.root == base64.b64decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")
    assert note.format_checkpoint(checkpoint) == CHECKPOINT_TEXT.encode()
    assert note.parse_checkpoint(CHECKPOINT_TEXT.encode() + b"an extension\n") == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n1\n",
        CHECKPOINT_TEXT[:-1],
        CHECKPOINT_TEXT.replace("20852163", "020852163"),
        CHECKPOINT_TEXT.replace("20852163", "-1"),
        CHECKPOINT_TEXT.replace("20852163", "1" * 20),
        CHECKPOINT_TEXT.replace("20852163", "\u0661"),
        CHECKPOINT_TEXT.replace("q2I=", "q2J="),
        CHECKPOINT_TEXT.replace("q2I=", "q2I"),
        CHECKPOINT_TEXT.replace("CsUY", ""),
        CHECKPOINT_TEXT + "\n",
        "\n" + CHECKPOINT_TEXT,
        "x" * 256 + "\n1\n" + CHECKPOINT_TEXT.split("\n")[2] + "\n",
    ],
)
def test_a_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(IntegrityError):
        note.parse_checkpoint(text.encode())


@pytest.mark.parametrize(
    "whole",
    [
        TEXT,
        TEXT + "\n",
        TEXT + "\n" + LINE[:-1],
        TEXT + "\n" + LINE.replace("\u2014 ", "- "),
        TEXT + "\n" + LINE.replace("x08go", "x08gp"),
        TEXT + "\n" + LINE.replace("nAM=", "nAN="),
        TEXT + "\n" + LINE.replace("ZJku", "ZJkv"),
        TEXT + "\n" + LINE * 65,
        TEXT.replace("the answer", "no answer") + "\n" + LINE,
        TEXT.replace(" is", "\tis") + "\n" + LINE,
        TEXT + "\n" + "\u2014 PeterNeumann x08goA==\n",
        TEXT + "\n" + "\u2014 Peter+Neumann x08goA==\n",
        TEXT + "\n" + LINE + "x" * note.NOTE_BYTES_MAX,
    ],
)
def test_a_malformed_or_altered_note_is_refused(whole: str) -> None:
    with pytest.raises(IntegrityError):
        note.open_note(whole.encode(), NAME, PUBLIC_KEY)


def test_a_note_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(IntegrityError, match="UTF-8"):
        note.open_note(b"\xff\n\n" + LINE.encode(), NAME, PUBLIC_KEY)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_what_is_signed_here_is_believed_here_and_under_no_other_name(size: int, root: bytes) -> None:
    key = Ed25519PrivateKey.generate()
    public_key = key.public_key().public_bytes_raw()
    checkpoint = note.Checkpoint("mail.example.com/ledger", size, root)
    signed = note.sign_note(note.format_checkpoint(checkpoint), checkpoint.origin, public_key, key.sign)
    assert note.open_checkpoint(signed, checkpoint.origin, public_key) == checkpoint
    with pytest.raises(IntegrityError):
        note.open_checkpoint(signed, "mail.example.com/other", public_key)
    with pytest.raises(IntegrityError):
        note.open_checkpoint(signed, checkpoint.origin, bytes(32))
    place = signed.index(b"\n") + 1
    with pytest.raises(IntegrityError):
        note.open_checkpoint(signed[:place] + b"1" + signed[place:], checkpoint.origin, public_key)


def test_a_checkpoint_of_another_log_is_refused_even_under_the_right_key() -> None:
    key = Ed25519PrivateKey.generate()
    public_key = key.public_key().public_bytes_raw()
    text = note.format_checkpoint(note.Checkpoint("another/log", 1, bytes(32)))
    signed = note.sign_note(text, "mail.example.com/ledger", public_key, key.sign)
    with pytest.raises(IntegrityError, match="another log"):
        note.open_checkpoint(signed, "mail.example.com/ledger", public_key)


def test_nothing_that_is_no_checkpoint_is_written() -> None:
    for checkpoint in (
        note.Checkpoint("", 1, bytes(32)),
        note.Checkpoint("a\nb", 1, bytes(32)),
        note.Checkpoint("a", -1, bytes(32)),
        note.Checkpoint("a", 1, bytes(31)),
    ):
        with pytest.raises(ValueError, match="no checkpoint"):
            note.format_checkpoint(checkpoint)
    with pytest.raises(ValueError, match="newline"):
        note.sign_note(b"no newline", "name", bytes(32), lambda _: b"")
