"""T2: private keys are handled in kms and nowhere else; no other module of the source can even name them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import postkeep

ROOT = Path(postkeep.__file__).parent

KMS_ONLY_MODULES = (
    "postkeep.stores.kms_keys",
    "postkeep.stores.kms_installation",
    "postkeep.services.kms.hierarchy",
    "postkeep.services.kms.root",
    "postkeep.services.kms.root_change",
    "postkeep.services.kms.root_desk",
    "postkeep.services.kms.root_generations",
    "postkeep.services.kms.root_shares",
    "postkeep.services.kms.root_token",
    "postkeep.services.kms.tenants",
    "postkeep.services.kms.custodians",
    "postkeep.services.kms.custody_desk",
    "postkeep.services.kms.signing",
    "postkeep.services.kms.tls",
    "postkeep.services.kms.epochs",
    "postkeep.services.kms.service",
    "postkeep.services.kms.opening",
)
"""The inside of kms: others use its `api` and its `client`."""

KMS_ONLY_NAMES = {"PrivateKey", "new_private_seeds", "open_seed", "EpochRewrapper", "unseal"}
"""What opens: principals' private keys, epoch seeds, the root key."""

INSIDE = ("services/kms/", "node/wiring/kms.py", "stores/kms_", "crypto/")

AWAY_FROM_THE_NODE = ("services/backup/checking.py", "services/backup/replaying.py", "node/backups/")
"""Checking and restoring a backup: a command of its own, on a copy, for whoever has brought the root key."""

WITNESS = ("services/witness/sealing.py",)
"""A witness opens its own two seeds, with its own passphrase, where no node's keys are."""


def imports_of(path: Path) -> Iterator[str]:
    """Every dotted name that a file imports, `from a import b` as `a.b`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def attributes_of(path: Path) -> Iterator[str]:
    """Every `module.name` that a file uses, for modules of ours that it imports whole."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def trespasses(path: Path) -> list[str]:
    found = [
        name
        for name in imports_of(path)
        if any(name == m or name.startswith(m + ".") for m in KMS_ONLY_MODULES)
    ]
    found += [
        name
        for name in imports_of(path)
        if name.startswith("postkeep.crypto.") and name.rpartition(".")[2] in KMS_ONLY_NAMES
    ]
    return found + [
        name
        for name in attributes_of(path)
        if name.partition(".")[0] in {"hpke", "epoch", "epochs", "passphrase"}
        and name.rpartition(".")[2] in KMS_ONLY_NAMES
    ]


def test_no_module_outside_kms_imports_what_handles_private_keys() -> None:
    sources = [
        path
        for path in ROOT.rglob("*.py")
        if not str(path.relative_to(ROOT)).startswith((*INSIDE, *AWAY_FROM_THE_NODE, *WITNESS))
    ]
    assert len(sources) > 50
    assert {str(path.relative_to(ROOT)): trespasses(path) for path in sources if trespasses(path)} == {}


def test_the_check_finds_what_it_looks_for(tmp_path: Path) -> None:
    samples = [
        "from postkeep.services.kms.hierarchy import Hierarchy",
        "from postkeep.stores import kms_keys",
        "import postkeep.services.kms.root",
        "from postkeep.crypto.epoch import open_seed",
        "from postkeep.crypto import hpke\nhpke.PrivateKey(b'')",
    ]
    for sample in samples:
        path = tmp_path / "sample.py"
        path.write_text(sample)
        assert trespasses(path), sample
    path.write_text("from postkeep.services.kms.client import KmsClient")
    assert trespasses(path) == []
