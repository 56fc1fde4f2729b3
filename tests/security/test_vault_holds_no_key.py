"""The vault and everything it imports of ours know no key and no way to open anything."""

import ast
from pathlib import Path

import postkeep

ROOT = Path(postkeep.__file__).parent
# The channel proves who speaks: it signs and checks, and never sees mail.
CHANNEL = ("postkeep.tickets",)
FORBIDDEN = (
    "postkeep.services.kms.service",
    "postkeep.services.kms.client",
    "postkeep.stores.kms",
    "postkeep.crypto",
    "cryptography",
)
HARMLESS = ("postkeep.crypto.context", "postkeep.crypto.fingerprint")
"""How fields are joined, and marks to recognise a destroyed secret by: neither opens anything."""
START = ("services/vault/service.py", "services/vault/client.py", "services/queue/service.py")


def imported_modules(path: Path) -> set[str]:
    """Every module that a file imports, wherever in the file that stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def file_of(module: str) -> Path | None:
    path = ROOT.parent / Path(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def reachable(start: list[Path]) -> dict[Path, set[str]]:
    """Files reached by imports from `start`, without looking into the channel."""
    found: dict[Path, set[str]] = {}
    waiting = list(start)
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[path] = imported_modules(path)
        for name in found[path]:
            file = file_of(name) if name.startswith("postkeep.") else None
            if file is not None and not name.startswith(CHANNEL):
                waiting.append(file)
    return found


def test_the_vault_imports_nothing_that_holds_keys_or_opens() -> None:
    files = reachable([ROOT / name for name in START])
    assert ROOT / "stores" / "slots.py" in files
    assert ROOT / "services" / "vault" / "reading.py" in files
    offences = {
        f"{path.relative_to(ROOT)}: {name}"
        for path, names in files.items()
        for name in names
        if name.startswith(FORBIDDEN) and name != "postkeep.crypto" and not name.startswith(HARMLESS)
    }
    assert offences == set()


def test_the_search_for_forbidden_imports_would_find_one(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text("def f():\n    from postkeep.crypto import message\n")
    assert any(name.startswith(FORBIDDEN) for name in imported_modules(file))


def test_no_row_of_the_vault_has_a_column_for_wraps() -> None:
    for path in (ROOT / "stores" / "sql" / "vault").glob("*.sql"):
        columns = [line.split() for line in path.read_text("utf-8").splitlines() if line.startswith("    ")]
        assert not [column for column in columns if column and "wrap" in column[0].lower()]
