"""How long the offline verifier takes for a ledger of ten million entries (A8: at most 120 s on two cores).

    python bench/verifier.py [--entries 10000000] [--jobs 2] [--keep DIR] [--own]

Makes a ledger of realistic entries (sessions that sign in, are given keys and read; deposits), as a
directory in the layout of C2SP tlog-tiles, then times `postkeep-verify` on it as a program of its own.
"""

import argparse
import base64
import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:1] = [str(ROOT), str(ROOT / "verifier" / "src")]

from verifier.tests import made_ledger as made  # noqa: E402

from postkeep_verifier.merkle import perfect_root, root_of  # noqa: E402

SESSION = 20  # entries of a session: a ticket, a sign-in, a key, seventeen accesses
TENANTS = 1_000
START_MS = 1_800_000_000_000


def session(number: int) -> Iterator[bytes]:
    """Write the entries of one session; sessions follow each other, a second apart."""
    now = START_MS + 1000 * number
    numbers = (number % TENANTS, number, number, number)
    ids = [sha256(b"%d %d" % (kind, one)).hexdigest()[:32] for kind, one in enumerate(numbers)]
    of = (
        f'"tenant":"{ids[0]}","principal":"{ids[1]}","module":"imap","instance":"imap-0.aa",'
        f'"session":"{ids[2]}","ticket":"{ids[3]}"'
    )
    own, reads = 2 * number, 17 * number

    def entry(event: str, source: str, count: int, rest: str) -> bytes:
        head = f'{{"event":"{event}","time_ms":{now},"source":"{source}","number":{count},{of}'
        return f"{head},{rest}}}".encode()

    digest = f'"count":1,"digest":"{sha256(ids[1].encode()).hexdigest()}"'
    yield entry("ticket.issue", "authority-0.aa", own + 1, '"count":300,"note":"user"')
    yield entry("sign_in", "authority-0.aa", own + 2, '"method":"imap"')
    for read in range(17):
        if read == 1:
            yield entry("key.release", "kms-0.aa", number + 1, f'"method":"kms.open_epochs",{digest}')
        rest = f'"method":"vault.content","mailbox":"{ids[1]}","category":"content",{digest}'
        yield entry("mail.read", "vault-0.aa", reads + read + 1, rest)


def write_stretch(log: Path, first: int, count: int) -> list[bytes]:
    """Write the bundles and level-0 tiles of `count` entries from bundle `first` on; return their roots."""
    begin = first * 256
    whole = itertools.chain.from_iterable(map(session, itertools.count(begin // SESSION)))
    entries = itertools.islice(whole, begin % SESSION, begin % SESSION + count)
    roots = []
    for number in range(first, first + count // 256):
        part = list(itertools.islice(entries, 256))
        leaves = made.leaves_of(part)
        data = b"".join(len(entry).to_bytes(2, "big") + entry for entry in part)
        made.put(log / made.path_of("entries", number), data)
        made.put(log / made.path_of(0, number), b"".join(leaves))
        roots.append(perfect_root(leaves))
    return roots


def write_ledger(directory: Path, entries: int, jobs: int) -> int:
    """Write a ledger of about that many entries; return how many it has."""
    log, bundles, step = directory / "log", entries // 256, 256
    starts = range(0, bundles, step)
    with ProcessPoolExecutor(jobs) as pool:
        counts = [min(step, bundles - start) * 256 for start in starts]
        parts = pool.map(write_stretch, itertools.repeat(log), starts, counts)
        row = [root for part in parts for root in part]
    level = 1
    ends: list[list[bytes]] = [[]]
    while row:
        ends.append(row[len(row) // 256 * 256 :])
        for start in range(0, len(row), 256):
            part = row[start : start + 256]
            made.put(log / made.path_of(level, start // 256, len(part)), b"".join(part))
        row = [perfect_root(row[i : i + 256]) for i in range(0, len(row) - 255, 256)]
        level += 1
    made.put(log / "checkpoint", made.checkpoint(bundles * 256, root_of(ends)))
    return bundles * 256


def cpu_seconds() -> float:
    """Return what processes that have ended have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(what: str, command: list[str]) -> None:
    """Run a verification as a program of its own and print what it took; it must find nothing."""
    before = cpu_seconds()
    begun = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "verifier" / "src")}
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, env=environment
    )
    took = time.monotonic() - begun
    assert done.returncode == 0, done.stdout[:2000] + done.stderr[:2000]
    entries = json.loads(done.stdout)["entries"]
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"{what}: {entries} entries in {took:.1f} s, {1e6 * took / entries:.2f} us each")
    print(f"CPU {cpu_seconds() - before:.1f} s, largest process so far {largest} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--keep", type=Path, help="leave the ledger here, and use it if it is there")
    parser.add_argument("--own", action="store_true", help="time postkeep ledger verify too (one process)")
    given = parser.parse_args()
    place = given.keep or Path(tempfile.mkdtemp(prefix="pk-verifier-"))
    try:
        if not (place / "log" / "checkpoint").exists():
            begun = time.monotonic()
            made_entries = write_ledger(place, given.entries, given.jobs)
            print(f"made {made_entries} entries in {time.monotonic() - begun:.1f} s")
        keys = [option for key in made.KEYS for option in ("--key", key)]
        program = ["-m", "postkeep_verifier", str(place), *keys, "--json", f"-j{given.jobs}"]
        timed(f"postkeep-verify, {given.jobs} processes", program)
        if given.own:
            public = base64.b64decode(made.KEYS[0].split("+", 2)[2])[1:].hex()
            own = ["ledger", "verify", "--offline", str(place), "--key", public, "--json"]
            timed("postkeep ledger verify", ["-c", "from postkeep.node.cli import main; main()", *own])
    finally:
        if given.keep is None:
            shutil.rmtree(place)


if __name__ == "__main__":
    main()
