"""How long backups take and how large they are: `bench/backups.py [--messages N] [--kind four|mixed] [--s3]`.

Makes a node, fills it over SMTP, and times: a full backup, an incremental one with nothing new, one after
a hundredth more mail, `verify`, and a restore onto an empty directory. Prints one line of JSON per step:
seconds by the wall clock, and octets sent to or fetched from the target.
"""

import argparse
import contextlib
import json
import random
import smtplib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench.corpus import make_all
from tests.node_process import PROGRAM, Node, new_node
from tests.s3_server import BUCKET, s3_bucket

SENDERS = 4


def fill(node: Node, count: int, kind: str, seed: int) -> float:
    begun = time.monotonic()
    corpus = make_all(kind)

    def send(number: int) -> None:
        rnd = random.Random(seed * 100 + number)
        with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=60) as client:
            for _ in range(number, count, SENDERS):
                name = f"Message-ID: <{rnd.getrandbits(64):x}@b.example>\r\n".encode()
                client.sendmail("a@b.example", ["alice@bench.example"], name + rnd.choice(corpus))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - begun


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


def tell(step: str, seconds: float, **more: object) -> None:
    print(json.dumps({"step": step, "seconds": round(seconds, 2), **more}), flush=True)


def make(node: Node, step: str) -> None:
    begun = time.monotonic()
    job = node.json("backup", "create")
    tell(
        step,
        time.monotonic() - begun,
        read=job["bytes_total"],
        sent=job["bytes_shipped"],
        objects=job["objects_shipped"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--kind", choices=("four", "mixed"), default="four")
    parser.add_argument("--s3", action="store_true")
    given = parser.parse_args()
    with target(s3=given.s3) as (section, place), new_node(config=section) as node:
        node.tenant("bench.example")
        node.user("alice@bench.example", "a long enough word")
        tell("fill", fill(node, given.messages, given.kind, 1), messages=given.messages, kind=given.kind)
        make(node, "full")
        make(node, "nothing new")
        fill(node, max(1, given.messages // 100), given.kind, 2)
        make(node, "a hundredth more")
        begun = time.monotonic()
        report = node.json("backup", "verify", "--samples", "100")
        tell(
            "verify",
            time.monotonic() - begun,
            objects=report["objects"],
            opened=report["samples"]["opened"],
            ok=report["ok"],
        )
        with tempfile.TemporaryDirectory(prefix="pkr-", dir="/tmp") as directory:
            Path(directory).chmod(0o711)
            options = [
                "--root-key",
                str(node.data / "state/kms/root.key"),
                "--data",
                f"{directory}/var",
                "--json",
            ]
            if given.s3:
                config = Path(directory).with_suffix(".toml")
                config.write_text(section)
                options += ["--config", str(config)]
            begun = time.monotonic()
            done = subprocess.run(
                [*PROGRAM, "backup", "restore", "--from", place, *options],
                capture_output=True,
                text=True,
                check=True,
            )
            tell("restore", time.monotonic() - begun, fetched=json.loads(done.stdout)["bytes_fetched"])


if __name__ == "__main__":
    main()
