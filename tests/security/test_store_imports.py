"""T2: the packs and the rows of the vault are opened by the vault and by nothing else of the source."""

import ast
from pathlib import Path

import postkeep

ROOT = Path(postkeep.__file__).parent

STORES = ("postkeep.stores.packs", "postkeep.stores.vault_", "postkeep.stores.sql.vault")
"""The blob store, and the SQL of the vault's database."""

INSIDE = ("services/vault/", "node/wiring/vault.py", "stores/")

QUEUE_ROWS = {"services/queue/service.py": {"postkeep.stores.vault_queue", "postkeep.stores.packs"}}
"""The outbound queue is a part of the vault's process: its methods run there and nowhere else."""


def opened(path: Path) -> set[str]:
    """List the modules of the vault's stores that a file imports or names, in whatever form."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)
    return {
        name if name.count(".") < 3 else ".".join(name.split(".")[:3])
        for name in names
        if name.startswith(STORES)
    }


def test_no_code_outside_the_vault_opens_its_packs_or_its_rows() -> None:
    files = [path for path in ROOT.rglob("*.py") if not str(path.relative_to(ROOT)).startswith(INSIDE)]
    assert len(files) > 100
    trespasses = {
        name: found - QUEUE_ROWS.get(name, set())
        for path in files
        if (name := str(path.relative_to(ROOT))) and (found := opened(path))
    }
    assert {name: found for name, found in trespasses.items() if found} == {}


def test_the_check_finds_what_it_looks_for(tmp_path: Path) -> None:
    path = tmp_path / "sample.py"
    for sample in (
        "from postkeep.stores.packs import PackStore",
        "from postkeep.stores import vault_messages",
        "import postkeep.stores.vault_queue",
        "def f():\n    from postkeep.stores.vault_deposits import store",
        "import importlib\nimportlib.import_module('postkeep.stores.packs')",
        "load_migrations('postkeep.stores.sql.vault')",
    ):
        path.write_text(sample)
        assert opened(path), sample
    path.write_text("from postkeep.services.vault.client import VaultClient")
    assert opened(path) == set()
