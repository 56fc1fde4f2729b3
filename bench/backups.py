"""How long backups take and how large they are: `bench/backups.py [--messages N] [--kind four|mixed] [--s3]`.

Makes a node, fills it with the load generator, and takes by the wall clock: a full backup, an incremental
one with nothing new, one after a hundredth more mail, a full one while mail arrives (and what arrived
meanwhile), `verify` with 100 samples, and a restore onto an empty directory. Prints one line of JSON per
step as it ends, and a Markdown table. 100,000 messages of `four` take less than ten minutes on two cores.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench import corpus, loadgen
from tests.node_process import PROGRAM, Node, new_node
from tests.s3_server import BUCKET, s3_bucket

CONNECTIONS = 8
PER_CONNECTION = 100
SECONDS_MAX = 1200
SAMPLES = 100
LOAD = 1_000_000
"""Messages of the load beside a backup: more than arrive meanwhile; it is stopped then."""
ADDRESSES = tuple(f"user{number}@bench.example" for number in range(10))


class Table:
    """What was taken, step by step."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, ...]] = []

    def add(self, step: str, seconds: float, **more: Any) -> None:
        """Take down a step, and print it as JSON."""
        print(json.dumps({"step": step, "seconds": round(seconds, 2), **more}), flush=True)
        sizes = [f"{more[name] / 1e6:,.1f}" if name in more else "" for name in ("read", "moved")]
        note = ", ".join(f"{key} {value}" for key, value in more.items() if key not in {"read", "moved"})
        self._rows.append((step, f"{seconds:.1f}", *sizes, note))

    def show(self) -> None:
        """Print the table."""
        print("\n| step | seconds | MB read | MB sent or fetched | |\n|---|---:|---:|---:|---|")
        for row in self._rows:
            print("| " + " | ".join(row) + " |")


def fill(node: Node, mail: Path, count: int, run_id: str) -> float:
    """Send messages; return the seconds."""
    begun = time.monotonic()
    loadgen.run(
        node.ports["smtp"],
        ADDRESSES,
        mail,
        connections=CONNECTIONS,
        count=count,
        starttls=False,
        run_id=run_id,
        per_connection=PER_CONNECTION,
    )
    return time.monotonic() - begun


@contextlib.contextmanager
def arriving(node: Node, mail: Path) -> Iterator[None]:
    """Have mail arrive as fast as it is taken, beside a block."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as recipients:
        recipients.write("\n".join(ADDRESSES) + "\n")
        recipients.flush()
        given = {"port": node.ports["smtp"], "connections": CONNECTIONS, "count": LOAD, "corpus": mail}
        given |= {"recipients": recipients.name, "run": "beside", "per-connection": PER_CONNECTION}
        options = [word for name, value in given.items() for word in (f"--{name}", str(value))]
        sender = subprocess.Popen([str(loadgen.compile_it()), *options], stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            sender.kill()
            sender.wait()


@contextlib.contextmanager
def target(*, s3: bool) -> Iterator[tuple[str, str]]:
    """The section of a configuration, and the target's name."""
    if s3:
        with s3_bucket() as bucket:
            yield bucket.section, f"s3://{BUCKET}/node"
        return
    with tempfile.TemporaryDirectory(prefix="pkb-", dir="/tmp") as directory:
        Path(directory).chmod(0o711)
        yield f'[backup]\ntarget = "{directory}/target"\n', f"{directory}/target"


def run(*arguments: str) -> tuple[float, Any]:
    """Run a command; return the seconds and its answer."""
    begun = time.monotonic()
    done = subprocess.run(
        [*PROGRAM, *arguments, "--json"], capture_output=True, text=True, check=False, timeout=SECONDS_MAX
    )
    if done.returncode:
        raise SystemExit(f"{arguments}: {done.stderr or done.stdout}")
    return time.monotonic() - begun, json.loads(done.stdout)


def make(table: Table, node: Node, step: str, *options: str) -> None:
    """Make a backup."""
    seconds, job = run("backup", "create", *options, "--data", str(node.data))
    table.add(
        step, seconds, read=job["bytes_total"], moved=job["bytes_shipped"], objects=job["objects_shipped"]
    )


def messages(node: Node) -> int:
    """Return how many messages the node has taken, by its log."""
    return len(node.events("accepted"))


def measure(table: Table, node: Node, mail: Path, count: int, place: tuple[str, str]) -> None:
    """Take every step on a filled node."""
    make(table, node, "full")
    make(table, node, "incremental, nothing new")
    fill(node, mail, max(1, count // 100), "more")
    make(table, node, "incremental, a hundredth more")
    before = messages(node)
    with arriving(node, mail):
        make(table, node, "full, while mail arrives", "--full")
        arrived = messages(node) - before
    table.add("(mail that arrived meanwhile)", 0.0, messages=arrived)
    make(table, node, "incremental, after it")
    seconds, report = run("backup", "verify", "--samples", str(SAMPLES), "--data", str(node.data))
    opened = report["samples"]["opened"]
    table.add("verify", seconds, objects=report["objects"], opened=opened, messages=report["messages"])
    section, name = place
    with tempfile.TemporaryDirectory(prefix="pkr-", dir="/tmp") as directory:
        Path(directory).chmod(0o711)
        (Path(directory) / "restore.toml").write_text(section.partition("target =")[0])
        options = ["--config", f"{directory}/restore.toml", "--data", f"{directory}/var"]
        root_key = node.data / "state/kms/root.key"
        seconds, said = run("backup", "restore", "--from", name, "--root-key", str(root_key), *options)
        table.add("restore", seconds, moved=said["bytes_fetched"])


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--kind", choices=tuple(corpus.DISTINCT), default="four")
    parser.add_argument("--s3", action="store_true")
    given = parser.parse_args()
    table = Table()
    mail = corpus.write(given.kind, loadgen.BUILD)
    with target(s3=given.s3) as place, new_node(config=place[0]) as node:
        node.tenant("bench.example")
        for address in ADDRESSES:
            node.user(address, "a long enough word")
        seconds = fill(node, mail, given.messages, "fill")
        table.add("(fill)", seconds, messages=given.messages, kind=given.kind)
        measure(table, node, mail, given.messages, place)
    table.show()


if __name__ == "__main__":
    main()
