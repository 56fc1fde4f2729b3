"""A6: the ledger through crashes and full disks: the acknowledged stays, nothing doubles or is skipped."""

import random
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from tests.ledger_sample import PUBLIC_KEY, events

from postkeep.services.ledger.finding import FindingCode
from postkeep.services.ledger.verify import verify_directory
from postkeep.stores.ledger_log import LedgerLog
from postkeep.stores.ledger_segments import encode_frame

APPENDER = """
import asyncio, sys
from pathlib import Path
from postkeep.base.clock import SystemClock
from postkeep.services.ledger.journal import Journal
from postkeep.stores import ledger_segments
from postkeep.stores.ledger_log import LedgerLog
from tests.ledger_sample import events

ledger_segments.SEGMENT_BYTES_MAX = 100_000

async def source(journal, name):
    number = 1
    while True:
        index = await journal.append(name, events(37, first=number, source=name))
        sys.stdout.write(f"{name} {number + 36} {index + 36}\\n")
        sys.stdout.flush()
        number += 37

async def main():
    log = LedgerLog(Path(sys.argv[1]))
    journal = Journal(log, sys.argv[2] + ".ledger", SystemClock())
    await journal.open()
    await asyncio.gather(*(source(journal, f"{sys.argv[2]}.{n}") for n in range(3)))

asyncio.run(main())
"""


def test_what_was_acknowledged_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    draw = random.Random(9)
    acknowledged: dict[str, tuple[int, int]] = {}
    for round_number in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", APPENDER, str(tmp_path), f"round-{round_number}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        lines = [child.stdout.readline()]
        time.sleep(draw.uniform(0.02, 0.25))
        child.kill()
        lines += child.stdout.read().splitlines()
        child.stdout.close()
        child.wait()
        for line in lines:
            if len(parts := line.split()) == 3:
                acknowledged[parts[0]] = (int(parts[1]), int(parts[2]))
        report = verify_directory(tmp_path, PUBLIC_KEY)
        assert {f.code for f in report.findings} == {FindingCode.NO_CHECKPOINT}, report.findings
        assert report.lost == []
    log = LedgerLog(tmp_path)
    log.open()
    assert len(acknowledged) == 24
    for source, (number, index) in acknowledged.items():
        (entry,) = log.read(index, 1)
        told = msgspec.json.decode(entry)
        assert (told["source"], told["number"]) == (source, number)
    assert len(list((tmp_path / "segments").glob("*.segment"))) < 10
    log.close()


@pytest.mark.parametrize("left", [1, 4, 5, 11, 12, 23, 24, 25, 400, -1])
def test_a_last_write_that_was_cut_short_is_no_damage(tmp_path: Path, left: int) -> None:
    segment, frame = _log_with_a_last_frame(tmp_path)
    segment.write_bytes(segment.read_bytes()[: -len(frame)] + frame[:left])
    report = verify_directory(tmp_path, PUBLIC_KEY)
    assert {f.code for f in report.findings} == {FindingCode.NO_CHECKPOINT}
    assert (report.entries, report.torn_bytes) == (10, len(frame[:left]))


@pytest.mark.parametrize("place", [0, 11, 15, 60, -1])
def test_a_last_write_that_is_whole_and_altered_is_damage(tmp_path: Path, place: int) -> None:
    segment, frame = _log_with_a_last_frame(tmp_path)
    altered = bytearray(frame)
    altered[place] ^= 1
    segment.write_bytes(segment.read_bytes()[: -len(frame)] + altered)
    report = verify_directory(tmp_path, PUBLIC_KEY)
    assert FindingCode.FILE_DAMAGED in {f.code for f in report.findings}
    assert (report.first_bad_index, report.torn_bytes) == (10, 0)


def _log_with_a_last_frame(directory: Path) -> tuple[Path, bytes]:
    """Write ten entries, then one frame of three more; return the segment and that frame."""
    entries = [msgspec.json.encode(event) for event in events(13)]
    log = LedgerLog(directory)
    log.open()
    log.append(entries[:10])
    log.append(entries[10:])
    log.close()
    return directory / "segments" / f"{0:020d}.segment", encode_frame(10, entries[10:])


DISK_FULL = """
import asyncio, resource, sys
from pathlib import Path
from postkeep.base.clock import SystemClock
from postkeep.base.errors import UnavailableError
from postkeep.model.audit import EventName
from postkeep.services.ledger.trail import Trail
from tests.ledger_sample import served

async def main():
    async with served(Path(sys.argv[1])) as world:
        trail = Trail("", world.link("kms", "kms-1.aa"), SystemClock())
        await trail.record(EventName.KEY_RELEASE, count=0)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        loop = asyncio.get_running_loop()
        refused = 0
        for n in range(400):
            began = loop.time()
            try:
                await trail.record(EventName.KEY_RELEASE, count=n)
            except UnavailableError:
                assert loop.time() - began < 1.2, loop.time() - began
                refused += 1
                if refused == 2:
                    break
        assert refused == 2
        assert world.log.size < 400
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        index = await trail.record(EventName.KEY_RELEASE, count=1)
        entries = world.log.read(0, index + 1)
        assert len(entries) == index + 1
        numbers = [int(entry.split(b'"number":')[1].split(b",")[0].rstrip(b"}")) for entry in entries]
        assert numbers == list(range(1, index + 2)), numbers
        await trail.close()

asyncio.run(main())
"""


def test_a_full_disk_refuses_records_in_time_and_leaves_no_gap(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", DISK_FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = verify_directory(tmp_path / "ledger", PUBLIC_KEY)
    assert {f.code for f in report.findings} == {FindingCode.NO_CHECKPOINT}, report.findings
    assert report.lost == []
