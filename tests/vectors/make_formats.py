"""Makes `formats.json`: one sample of each stored format of ours, for `test_formats.py`.

Run it only for a new version of a format, and add to the file: samples of released versions stay, because
data in those versions stays.
"""

import io
import json
from pathlib import Path

from postkeep.crypto import directory_key, export_file, hpke, message, passphrase
from postkeep.crypto.context import context
from postkeep.crypto.epoch import EpochReader, EpochRewrapper, EpochStep, chain_starts, seal_seed
from postkeep.crypto.wrap import Wrapper, subkey
from postkeep.services.export.members import MemberWriter
from postkeep.services.export.sealed_file import SealedWriter

IDS = {
    name: bytes([n]) * 16 for n, name in enumerate(("tenant", "principal", "body", "epoch", "item", "box"))
}
TENANT, PRINCIPAL, BODY, EPOCH, ITEM, BOX = IDS.values()


def make() -> dict[str, str]:
    """Return the samples, hexadecimal."""
    seeds = hpke.new_private_seeds()
    public = hpke.PrivateKey(seeds).public_bytes
    seed = bytes(range(32))
    keys = message.MessageKeys(b"c" * 32, b"m" * 32)
    step = EpochStep(5, b"1" * 32, b"2" * 32)
    samples = {
        "context": context("purpose", b"bytes", "text", 7),
        "private_seeds": seeds,
        "public_key": public,
        "sealed_epoch": seal_seed(public, TENANT, PRINCIPAL, 1, EPOCH, seed),
        "rewrapped_epoch": EpochRewrapper(seeds, TENANT, PRINCIPAL, 1).rewrap(EPOCH, seed),
        "chain_content": chain_starts(seed)["content"],
        "chain_metadata": chain_starts(seed)["metadata"],
        "step_content_2": EpochReader(EPOCH, chain_starts(seed)).wrap_key("content", 2),
        "wraps": message.wrap_keys(keys, step, TENANT, BODY, PRINCIPAL, EPOCH),
        "content": message.seal_content(keys, TENANT, BODY, b"content"),
        "text": message.seal_text(keys, TENANT, BODY, b"text"),
        "page": message.seal_page(keys, TENANT, BODY, 2, BOX, b"page"),
        "segment": message.seal_segment(keys, TENANT, BODY, BOX, b"segment"),
        "summary": message.seal_summary(keys, TENANT, BODY, b"summary"),
        "envelope": message.seal_envelope(keys, TENANT, BODY, ITEM, b"envelope"),
        "name": message.seal_name(step, TENANT, PRINCIPAL, BOX, EPOCH, "Entw\u00fcrfe"),
        "entries": message.seal_entries(step, TENANT, PRINCIPAL, BOX, 1, EPOCH, b"entries"),
        "wrapped": Wrapper(b"k" * 32).wrap(b"secret", b"path"),
        "subkey": subkey(b"k" * 32, b"path", b"s" * 32),
        "passphrase": passphrase.seal(b"word", b"secret", b"path", passphrase.Cost(1, 64, 1)),
        "export_by_passphrase": _export(export_file.seal_with_passphrase(b"word")),
        "export_by_key": _export(export_file.seal_to(public)),
        "statement": directory_key.public_key_statement(TENANT, PRINCIPAL, 1, b"key"),
    }
    return {name: value.hex() for name, value in samples.items()}


def _export(sealed: export_file.Sealed) -> bytes:
    file = io.BytesIO()
    writer = SealedWriter(file, sealed)
    members = MemberWriter(writer.write)
    members.add("export.json", b"{}")
    members.end()
    writer.finish()
    return file.getvalue()


if __name__ == "__main__":
    target = Path(__file__).with_name("formats.json")
    target.write_text(json.dumps({"1": make()}, indent=1) + "\n")
