"""Cross rule 5: whom and what a decision is about is compared as a normalised whole, never by a pattern.

What loses to quoting, suffixes, case or look-alike characters is not there to lose: the code that decides has
no such comparison (but for those named here), and addresses and domains have one form.
"""

import ast
from collections import Counter
from pathlib import Path

import pytest

from postkeep.base.address import parse_address, parse_domain
from postkeep.base.errors import InvalidInputError

SOURCE = Path(__file__).parents[2] / "src" / "postkeep"
DECIDING = ("tickets", "services/authority", "services/kms", "services/vault", "services/directory", "model")
ALIKE = {"startswith", "endswith", "fnmatch", "fnmatchcase", "search", "match", "findall"}
ALLOWED = {
    "tickets/rules.py": 1,  # method names of our own, sorted by keeper before anything is served
    "services/kms/ending.py": 1,  # a row that this process wrote
    "services/kms/service.py": 1,  # names of our own keys; which one is looked up whole
}
"""Calls that look at a part of a text where something is decided, and why each may."""


def calls(path: Path) -> int:
    """Count calls that compare parts of texts; compiled patterns for the form of input have no such name."""
    return sum(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ALIKE
        and not (isinstance(node.func.value, ast.Name) and node.func.value.id.isupper())
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
    )


def test_nothing_that_decides_compares_by_likeness() -> None:
    found: Counter[str] = Counter()
    for package in DECIDING:
        for path in (SOURCE / package).rglob("*.py"):
            found[str(path.relative_to(SOURCE))] += calls(path)
    assert {name: count for name, count in found.items() if count} == ALLOWED


@pytest.mark.parametrize(
    "text",
    [
        "Alice@Example.COM",
        '"alice"@example.com',
        '"al\\ice"@example.com',
        "alice@example.com.",
        "alice@\uff45xample.com",  # a full-width letter
    ],
)
def test_other_ways_to_write_one_address_are_that_address(text: str) -> None:
    assert parse_address(text).key == parse_address("alice@example.com").key


@pytest.mark.parametrize(
    "text",
    [
        "alice@example.com.evil.org",
        "alice@notexample.com",
        "alice@evil-example.com",
        '"alice@example.com"@evil.org',
        "alice@ex\u0430mple.com",  # Cyrillic a
        "\u0430lice@example.com",
        "alice@examp1e.com",
        "alice+x@example.com",
        "alice\u200b@example.com",  # a space of no width
    ],
)
def test_what_looks_like_an_address_is_another(text: str) -> None:
    assert parse_address(text).key != parse_address("alice@example.com").key


@pytest.mark.parametrize(
    "text",
    [
        "fa\u00df.example",
        "\u03b2\u03cc\u03bb\u03bf\u03c2.example",
        "a\u200db.example",
        "x.org..",
        "a\u3002\u3002b",
    ],
)
def test_a_domain_that_would_be_taken_for_another_is_refused(text: str) -> None:
    """IDNA 2003 makes fass of fa\u00df, 2008 does not: whoever owns the one must not get the other's mail."""
    with pytest.raises(InvalidInputError):
        parse_domain(text)
    assert parse_domain("xn--fa-hia.example") == "xn--fa-hia.example"
