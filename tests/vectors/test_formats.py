"""Our own formats, frozen: what an earlier build wrote must open, derived values must not move."""

import io
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from postkeep.crypto import directory_key, export_file, hpke, message, passphrase
from postkeep.crypto.chunked import HEAD_BYTES
from postkeep.crypto.context import context
from postkeep.crypto.epoch import EpochReader, EpochRewrapper, chain_starts, open_seed
from postkeep.crypto.wrap import Wrapper, subkey
from postkeep.services.export.members import MemberReader
from postkeep.services.export.sealed_file import SealedReader

TENANT, PRINCIPAL, BODY, EPOCH, ITEM, BOX = (bytes([n]) * 16 for n in range(6))
SEED = bytes(range(32))
SAMPLES = json.loads(Path(__file__).with_name("formats.json").read_text())


@pytest.fixture(params=sorted(SAMPLES))
def sample(request: pytest.FixtureRequest) -> dict[str, bytes]:
    return {name: bytes.fromhex(text) for name, text in SAMPLES[request.param].items()}


def test_contexts_and_statements_keep_their_bytes(sample: dict[str, bytes]) -> None:
    assert context("purpose", b"bytes", "text", 7) == sample["context"]
    assert sample["context"] == (
        b"postkeep/1" + b"\x00\x07purpose"
        b"b\x00\x00\x00\x05bytes" + b"s\x00\x00\x00\x04text" + b"i\x00\x00\x00\x00\x00\x00\x00\x07"
    )
    assert directory_key.public_key_statement(TENANT, PRINCIPAL, 1, b"key") == sample["statement"]


def test_a_principals_key_pair_and_its_epochs_open(sample: dict[str, bytes]) -> None:
    key = hpke.PrivateKey(sample["private_seeds"])
    assert key.public_bytes == sample["public_key"]
    assert open_seed(key, TENANT, PRINCIPAL, EPOCH, sample["sealed_epoch"]) == SEED
    rewrapper = EpochRewrapper(sample["private_seeds"], TENANT, PRINCIPAL, 1)
    assert rewrapper.open(EPOCH, sample["rewrapped_epoch"]) == SEED
    assert sample["sealed_epoch"][0] == 1
    assert sample["rewrapped_epoch"][0] == 2


def test_chains_start_and_step_as_before(sample: dict[str, bytes]) -> None:
    starts = chain_starts(SEED)
    assert starts == {"content": sample["chain_content"], "metadata": sample["chain_metadata"]}
    reader = EpochReader(EPOCH, starts)
    assert reader.wrap_key("content", 2) == sample["step_content_2"]


def test_a_message_and_a_name_open(sample: dict[str, bytes]) -> None:
    for category, wrap_key, key in (("content", b"1" * 32, b"c" * 32), ("metadata", b"2" * 32, b"m" * 32)):
        path = (TENANT, BODY, PRINCIPAL, EPOCH, 5)
        assert message.unwrap_key(category, sample["wraps"], wrap_key, *path) == key
    assert message.open_content(b"c" * 32, TENANT, BODY, sample["content"]) == b"content"
    assert message.open_summary(b"m" * 32, TENANT, BODY, sample["summary"]) == b"summary"
    assert message.open_envelope(b"m" * 32, TENANT, BODY, ITEM, sample["envelope"]) == b"envelope"
    name = message.open_name(b"2" * 32, TENANT, PRINCIPAL, BOX, EPOCH, 5, sample["name"])
    assert name == "Entw\u00fcrfe"
    place = (TENANT, PRINCIPAL, BOX, 1, EPOCH, 5)
    assert message.open_entries(b"2" * 32, *place, sample["entries"]) == b"entries"


def test_search_texts_pages_and_segments_open(sample: dict[str, bytes]) -> None:
    assert message.open_text(b"c" * 32, TENANT, BODY, sample["text"]) == b"text"
    assert message.open_page(b"m" * 32, TENANT, BODY, 2, BOX, sample["page"]) == b"page"
    sealed = sample["segment"]
    where = (sealed[:HEAD_BYTES], len(sealed), HEAD_BYTES, sealed[HEAD_BYTES:])
    assert message.open_segment_span(b"c" * 32, TENANT, BODY, BOX, *where) == b"segment"


def test_wrapped_keys_and_passphrases_open(sample: dict[str, bytes]) -> None:
    assert Wrapper(b"k" * 32).unwrap(sample["wrapped"], b"path") == b"secret"
    assert subkey(b"k" * 32, b"path", b"s" * 32) == sample["subkey"]
    assert passphrase.unseal(b"word", sample["passphrase"], b"path") == b"secret"


@pytest.mark.parametrize("name", ["export_by_passphrase", "export_by_key"])
def test_an_export_opens(sample: dict[str, bytes], name: str) -> None:
    def opens(kind: int) -> Callable[[bytes], bytes]:
        if kind == export_file.PASSPHRASE:
            return export_file.by_passphrase(b"word")
        key = hpke.PrivateKey(sample["private_seeds"])
        return lambda sealed: key.open(sealed, context("export file key", sha256(key.public_bytes).digest()))

    reader = SealedReader(io.BytesIO(sample[name]), opens)
    members = MemberReader(reader.read)
    member = members.next()
    assert member is not None
    octets = bytearray()
    members.octets(member, octets.extend)
    assert (member.name, bytes(octets)) == ("export.json", b"{}")
    assert members.next() is None
    reader.finish()
