"""The ledger of a stopped node, tampered with on its disk: the command line says so (TM-7, A2)."""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.node_process import Node, new_node

pytestmark = pytest.mark.e2e


class Kept(NamedTuple):
    """A stopped node, its ledger as it is, and as it was some entries before."""

    node: Node
    earlier: Path
    now: Path

    def verify(self, *arguments: str) -> tuple[int, str]:
        done = self.node.cli("ledger", "verify", "--json", *arguments, check=False)
        return done.returncode, " ".join(json.loads(done.stdout)["findings"])

    def restore(self, copy: Path) -> None:
        place = self.node.data / "state" / "ledger"
        shutil.rmtree(place)
        shutil.copytree(copy, place)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    copies = tmp_path_factory.mktemp("ledger")
    with new_node() as node:
        ledger = node.data / "state" / "ledger"
        node.tenant("first.example")
        time.sleep(2.5)  # a checkpoint is signed every second
        node.stop()
        shutil.copytree(ledger, copies / "earlier")
        node.start()
        node.tenant("second.example")
        time.sleep(2.5)
        node.stop()
        shutil.copytree(ledger, copies / "now")
        yield Kept(node, copies / "earlier", copies / "now")


def test_a_whole_ledger_is_said_to_be_whole(kept: Kept) -> None:
    kept.restore(kept.now)
    assert kept.verify() == (0, "")


def test_a_ledger_put_back_to_an_earlier_state_as_a_whole_is_noticed(kept: Kept) -> None:
    kept.restore(kept.earlier)
    code, findings = kept.verify()
    assert code != 0
    assert findings
    # Nothing in the copy itself is wrong: without knowing of something later nobody could tell.
    code, _ = kept.verify("--offline", str(kept.earlier))
    assert code == 0
    later = kept.now / "log" / "checkpoint"
    code, findings = kept.verify("--offline", str(kept.earlier), "--known", str(later))
    assert code != 0
    assert findings


def test_a_flipped_bit_is_named_by_its_entry(kept: Kept) -> None:
    kept.restore(kept.now)
    segments = kept.node.data / "state" / "ledger" / "segments"
    segment = max(segments.iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    code, findings = kept.verify()
    assert code != 0
    assert any(character.isdigit() for character in findings)


def test_a_ledger_in_a_place_of_its_own_is_found_there() -> None:
    """TM-36: each category may have a disk of its own; what looks at the ledger looks there."""
    place = Path(tempfile.mkdtemp(prefix="pk-ledger-", dir="/tmp"))
    place.chmod(0o755)
    try:
        with new_node(config=f'[categories.audit]\ndirectory = "{place / "log"}"\n') as node:
            node.tenant("apart.example")
            time.sleep(2.5)  # a checkpoint is signed every second
            assert not (node.data / "state" / "ledger" / "log").exists()
            report = node.json("ledger", "verify")
            assert report["ok"]
            assert report["entries"] > 10
            assert node.cli("ledger", "key").stdout.count("+") >= 4
            assert "mx-0" in node.cli("ledger", "sources").stdout
            assert "The ledger is whole" in node.cli("ledger", "verify").stdout
            found = json.loads(node.cli("doctor", "--json", check=False).stdout)
            (told,) = [one for one in found if one["check"] == "ledger"]
            assert told["verdict"] == "ok", told
            assert "whole" in str(told)
    finally:
        shutil.rmtree(place)
