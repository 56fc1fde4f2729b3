"""Cross rule 6: what reaches for a primitive has known answers, and our own lines stay few."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CRYPTO = ROOT / "src" / "postkeep" / "crypto"
PRIMITIVES = {"cryptography", "argon2", "hmac", "hashlib", "shamir_mnemonic"}
ELSEWHERE = {"shares": "tests/vectors/test_slip39_vectors.py"}
"""Where the known answers are the library's, as a share of ours has random octets in it."""
OWN_LINES_MAX = 1_800
"""Lines in all of `crypto`, without empty ones and comments: a reviewer reads them all."""


def imported(path: Path) -> set[str]:
    """Return every name that a file imports, whole and by its last part."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def constructions() -> list[str]:
    """Return the modules that use a primitive, directly or by another of our modules that does."""
    reach = {path.stem: imported(path) for path in CRYPTO.glob("*.py")}
    found = {name for name, names in reach.items() if {one.partition(".")[0] for one in names} & PRIMITIVES}
    while True:
        more = {name for name, names in reach.items() if {f"postkeep.crypto.{one}" for one in found} & names}
        if more <= found:
            return sorted(found - {"__init__"})
        found |= more


@pytest.mark.parametrize("name", constructions())
def test_every_construction_has_known_answers(name: str) -> None:
    if name in ELSEWHERE:
        assert (ROOT / ELSEWHERE[name]).exists()
        return
    tests = [
        path for path in (ROOT / "tests" / "vectors").glob("test_*.py") if path.name != Path(__file__).name
    ]
    assert any(f"postkeep.crypto.{name}" in imported(path) for path in tests), f"no vectors for {name}"


def test_the_cryptography_stays_short_enough_to_be_read() -> None:
    lines = [
        line
        for path in CRYPTO.glob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if line.strip() and not line.strip().startswith("#")
    ]
    assert len(lines) <= OWN_LINES_MAX
