"""TM-14, K10: a node comes back from its target and the root key's holders alone: by passphrase, by shares,
by a token; and a backup from before a rotation of the root key with what opens today's.

One node, whose root key is sealed anew and rotated between backups. What opened it before opens nothing in
the target any more.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.test_backups import ALICE, ONE_WORKER, PASSWORD, contains_once, directory, inbox, send
from tests.e2e.test_root_custody import KMS_UID, PASSPHRASE, PIN, hold_ceremony
from tests.node_process import PROGRAM, Node, free_base_port, new_node
from tests.softhsm import MODULE, SoftHsm

pytestmark = pytest.mark.e2e


def bring_back(
    into: Path, target: Path, option: str, given: str, *more: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            *PROGRAM,
            "backup",
            "restore",
            "--from",
            str(target),
            "--data",
            str(into / "var"),
            option,
            "0",
            *more,
        ],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "LANG": "C.UTF-8"},
    )


def refused(target: Path, option: str, given: str, *more: str) -> str:
    """Return why; nothing is left of the attempt."""
    with directory() as into:
        said = bring_back(into, target, option, given, *more)
        assert said.returncode != 0
        assert not any((into / "var").iterdir())
        return said.stderr


def comes_back(target: Path, option: str, given: str, *more: str, says: str) -> None:
    with directory() as into:
        said = bring_back(into, target, option, given, *more)
        assert said.returncode == 0, said.stderr
        assert says.format(into / "var") in said.stdout
        assert (into / "var" / "initialised").exists()


@contextmanager
def brought_back(target: Path, option: str, given: str, *more: str) -> Iterator[tuple[Node, dict[str, Any]]]:
    with directory() as into:
        said = bring_back(into, target, option, given, "--json", *more)
        assert said.returncode == 0, said.stderr
        node = Node(into, free_base_port(), passphrase=given, opens=option)
        try:
            node.start()
            yield node, json.loads(said.stdout)
        finally:
            if node.process is not None and node.process.poll() is None:
                node.stop()


def sealed_forms(target: Path) -> list[str]:
    return sorted(path.name for path in (target / "root").iterdir())


def test_passphrase_shares_and_token_each_bring_the_node_back_also_to_before_a_rotation() -> None:
    with directory() as target, new_node(start=False) as node:
        hsm = SoftHsm(node.directory / "hsm").make()
        hsm.token("card", PIN, KMS_UID if os.geteuid() == 0 else None)
        token = f'[keys.pkcs11]\nmodule = "{MODULE}"\ntoken = "card"\npaths = ["{hsm.directory}"]\n'
        (node.data / "postkeep.toml").write_text(f'{ONE_WORKER}{token}[backup]\ntarget = "{target}"\n')
        restore_toml = node.directory / "restore.toml"
        restore_toml.write_text(ONE_WORKER + token)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SOFTHSM2_CONF", str(hsm.conf))
            node.start()
            _go_round(node, target, restore_toml)


def _go_round(node: Node, target: Path, restore_toml: Path) -> None:
    node.tenant("backup.example")
    node.user(ALICE, PASSWORD)
    one = send(node, ALICE, "one")
    node.json("key", "reseal", "--to", "passphrase", "--passphrase-fd", "0", stdin=PASSPHRASE)
    first = node.json("backup", "create")["backup"]
    assert sealed_forms(target) == ["root.sealed"]
    assert "passphrase" in refused(target, "--passphrase-fd", "a wrong passphrase")
    comes_back(target, "--passphrase-fd", PASSPHRASE, says="is restored to {}; its rows are of")

    shares = hold_ceremony(node, "papers")
    node.cli("key", "rotate", "root", "--wait")
    two = send(node, ALICE, "two")
    node.json("backup", "create")
    assert sealed_forms(target) == ["root.shares"]
    assert "Cid, Dan, Eve" in refused(target, "--shares-fd", "".join(shares[:2]))
    three = "".join([shares[4], shares[0], shares[2]])
    checked = node.cli("backup", "verify", "--id", first, "--shares-fd", "0", "--json", stdin=three)
    assert json.loads(checked.stdout)["samples"]["opened"] == 1
    with brought_back(target, "--shares-fd", three, "--id", first) as (copy, said):
        assert said["root_rotated_since"]
        notes = [entry.get("note", "") for entry in copy.json("ledger", "show", "--count", "100")]
        assert any(note.startswith(first) and note.endswith("root key of today") for note in notes)
        found = inbox(copy, ALICE)
        assert contains_once(found, one)
        assert not any(part.endswith(two) for part in found)

    node.json("key", "reseal", "--to", "pkcs11", "--pin-fd", "0", stdin=PIN)
    node.json("backup", "create")
    assert sealed_forms(target) == ["root.pkcs11"]
    assert "PIN" in refused(target, "--pin-fd", "999999", "--config", str(restore_toml))
    config = ("--config", str(restore_toml), "--lang", "zh-CN")
    comes_back(target, "--pin-fd", PIN, *config, says="已恢复到 {}")
