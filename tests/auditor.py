"""The auditors' program, as somebody elsewhere runs it: on a copy, with public keys and nothing else."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def audit(directory: Path, keys: Iterable[str], *options: str) -> tuple[int, Any]:
    """Verify a copy of a ledger, or what a company was given; return the exit code and the answer."""
    given = [part for key in keys for part in ("--key", key)]
    done = subprocess.run(
        [sys.executable, "-m", "postkeep_verifier", str(directory), *given, "--json", "-j1", *options],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path("verifier/src").resolve())},
    )
    return done.returncode, json.loads(done.stdout or f'"{done.stderr}"')


def copy_ledger(ledger: Path, target: Path) -> Path:
    """Copy a ledger that may be growing, in the order that docs/verifying.md names."""
    shutil.rmtree(target, ignore_errors=True)
    if (ledger / "tenants").is_dir():
        shutil.copytree(ledger / "tenants", target / "tenants")
    (target / "log").mkdir(parents=True)
    shutil.copy(ledger / "log" / "checkpoint", target / "log")
    shutil.copytree(ledger / "log" / "tile", target / "log" / "tile")
    return target
