"""The documents say nothing that isn't there: files they name exist, and every promised row has its test."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "bench" / "README.md"])
_TOPS = "src|tests|docs|bench|deploy|faces|services|crypto|protocols|tickets|stores|node"
_PATH = re.compile(rf"`((?:{_TOPS})/[\w./*-]+)`")
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)\)")
_MADE = "bench/build/"
"""What the bench writes when it is run."""
_PACKAGES = ("faces/", "services/", "crypto/", "protocols/", "tickets/", "stores/", "node/")


def resolve(name: str) -> bool:
    """Whether a path that a document names is there; packages may be named without `src/postkeep/`."""
    root = ROOT / "src" / "postkeep" if name.startswith(_PACKAGES) else ROOT
    places = [root / name, root / (name + ".py")]
    return any(place.exists() for place in places) or bool(list(root.glob(name)))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_a_document_names_is_there(document: Path) -> None:
    text = document.read_text("utf-8")
    missing = [name for name in _PATH.findall(text) if not name.startswith(_MADE) and not resolve(name)]
    missing += [name for name in _LINK.findall(text) if not (document.parent / name).exists()]
    assert missing == []


def test_every_row_of_the_threat_model_is_cited_by_a_test() -> None:
    model = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
    rows = re.findall(r"^\| (TM-\d+) \|", model, re.MULTILINE)
    tests = "\n".join(path.read_text("utf-8") for path in ROOT.glob("tests/**/*.py"))
    cited = set(re.findall(r"TM-\d+", tests))
    assert len(rows) == len(set(rows)) > 20
    assert sorted(set(rows) - cited) == []


def test_every_line_of_what_fails_closed_and_what_goes_on_has_a_test() -> None:
    """Cross rule 4 of the acceptance: one table, and a test per line that says which line it holds."""
    model = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
    table = model.partition("## What fails closed, what goes on")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (TM-\d+) \|.*\|([^|]+)\|$", table, re.MULTILINE)
    assert len(rows) >= 9
    for name, files in rows:
        found = re.findall(r"`([^`]+)`", files)
        assert found, name
        assert any(re.search(rf"\b{name}\b", (ROOT / file).read_text("utf-8")) for file in found), name


def test_every_cross_rule_names_files_that_cite_it() -> None:
    model = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
    rows = re.findall(r"^\| rule (\d) \|[^|]+\|([^|]+)\|$", model, re.MULTILINE)
    assert [number for number, _ in rows] == list("123456")
    for number, files in rows:
        for file in re.findall(r"`([^`]+)`", files):
            assert f"ross rule {number}" in (ROOT / file).read_text("utf-8"), (number, file)


def test_every_acceptance_check_names_files_that_cite_it() -> None:
    model = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
    rows = re.findall(r"^\| ([TKDA]\d+) \|[^|]+\|([^|]+)\|$", model, re.MULTILINE)
    expected = {"T": 10, "K": 10, "D": 6, "A": 8}
    assert sorted(name for name, _ in rows) == sorted(
        f"{kind}{number}" for kind, count in expected.items() for number in range(1, count + 1)
    )
    for name, files in rows:
        for file in re.findall(r"`([^`]+)`", files):
            assert re.search(rf"\b{name}\b", (ROOT / file).read_text("utf-8")), (name, file)
