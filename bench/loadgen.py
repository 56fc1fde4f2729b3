"""Compiles and runs the load generator."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BUILD = HERE / "build"


def compile_it() -> Path:
    """Compile `load/load.c`, if it is newer than the program."""
    source, program = HERE / "load" / "load.c", BUILD / "load"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(exist_ok=True)
        command = ["gcc", "-O2", "-Wall", "-o", str(program), str(source), "-lssl", "-lcrypto"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"gcc and libssl-dev are needed for the load generator:\n{done.stderr}")
    return program


def run(
    port: int,
    addresses: tuple[str, ...],
    corpus: Path,
    *,
    connections: int,
    count: int,
    starttls: bool,
    run_id: str,
    per_connection: int,
) -> dict[str, Any]:
    """Send `count` messages; return what the generator reports."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as recipients:
        recipients.write("\n".join(addresses) + "\n")
        recipients.flush()
        command = [str(compile_it()), "--port", str(port), "--connections", str(connections)]
        command += ["--count", str(count), "--corpus", str(corpus), "--recipients", recipients.name]
        command += ["--run", run_id, "--per-connection", str(per_connection)]
        command += ["--starttls"] if starttls else []
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=1200)
    if not done.stdout:
        raise RuntimeError(f"the load generator failed: {done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    if done.returncode:
        raise RuntimeError(f"not every message was accepted: {result}")
    return result
