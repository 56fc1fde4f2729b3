"""What the verifier's tests share."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from verifier.tests.made_ledger import KEYS

from postkeep_verifier.cli import main

Verify = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]) -> Verify:
    """Run the program on a directory; return its exit code and its answer."""

    def go(directory: Path, *options: str, keys: list[str] = KEYS) -> tuple[int, dict[str, Any]]:
        given = [option for key in keys for option in ("--key", key)]
        code = main([str(directory), *given, "--json", "-j1", *options])
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return code, answer

    return go


def kinds(answer: dict[str, Any]) -> list[tuple[str, int | None]]:
    """List what was found: kind and entry."""
    return [(finding["kind"], finding["index"]) for finding in answer["findings"]]
