"""What a large mailbox costs the vault: CPU of this process and of PostgreSQL, by operation.

Run on an otherwise quiet machine, with a PostgreSQL of its own:

    python -m bench.mailbox_rows postgresql://postkeep@/bench?host=/run/pg 4242 [messages]

4242 is the postmaster's process number: all its children are counted. The database is emptied first.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
from tests.integration.vault.conftest import MX, Person, Vault, message, running_vault

from postkeep.base.ids import new_id
from postkeep.services.vault import api, rows_api
from postkeep.services.vault.pages_api import FetchPages, NewPage, PageKind, PutPages

TENANT = new_id()
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = 24_000  # octets of a sealed page: 128 messages of some 190


def _server_seconds(postmaster: int) -> float:
    """Return the CPU seconds of a PostgreSQL: of its children, and of those that have ended."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == postmaster:
            ticks += int(fields[11]) + int(fields[12])
        elif int(entry.name) == postmaster:
            ticks += int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])
    return ticks / TICKS


class Meter:
    """Prints what one operation costs."""

    def __init__(self, postmaster: int) -> None:
        self._postmaster = postmaster

    async def run(self, name: str, units: int, work: Callable[[], Awaitable[object]], times: int = 1) -> None:
        """Run `work` so many times and print the microseconds of CPU for each of its units."""
        own, server, wall = time.process_time(), _server_seconds(self._postmaster), time.monotonic()
        for _ in range(times):
            await work()
        own, wall = time.process_time() - own, time.monotonic() - wall
        server = _server_seconds(self._postmaster) - server
        each = 1e6 / (units * times)
        print(
            f"{name:36} us: vault {own * each:9.2f}  postgres {server * each:9.2f}  wall {wall * each:9.2f}"
        )


async def _fill(vault: Vault, ann: Person, messages: int, meter: Meter) -> bytes:
    box = b""

    async def deposit() -> None:
        nonlocal box
        deposits = [message(TENANT, [ann.placement()], size=300) for _ in range(500)]
        answer = await vault.call("deposit", MX, api.DepositBatch(deposits, ann.epochs))
        box = answer.results[0].placed[0].mailbox

    await meter.run("deposit, 500 at once", 500, deposit, messages // 500)
    return box


async def _measure(vault: Vault, ann: Person, inbox: bytes, messages: int, meter: Meter) -> None:
    name, who = ann.principal, ann.grant
    archive = (await vault.boxes(ann))["archive"].id

    async def rows() -> None:
        low = 1
        while low <= messages:
            found = await vault.call("rows", who, rows_api.FetchRows(name, inbox, [(low, messages)]))
            low += len(found)

    def store(low: int, high: int, flag: str, mode: str = "add") -> Awaitable[api.Stored]:
        return vault.call("store_flags", who, api.StoreFlags(name, inbox, [(low, high)], mode, (flag,)))

    async def page(block: int) -> NewPage:
        uids = range(max(1, block * 128), block * 128 + 128)
        packed = b"".join(uid.to_bytes(4, "little") for uid in uids)
        return NewPage(
            PageKind.FETCH, block, packed, new_id(), ann.epoch, 1, os.urandom(96), os.urandom(PAGE_BYTES)
        )

    async def put() -> None:
        for start in range(0, messages // 128, 64):
            blocks = range(start, min(start + 64, messages // 128))
            made = [await page(block) for block in blocks]
            await vault.call("put_pages", who, PutPages(name, inbox, made, []))

    async def pages() -> None:
        block, more = 0, True
        while more:
            found = await vault.call("pages", who, FetchPages(name, inbox, PageKind.FETCH, [(block, 10**6)]))
            block, more = found.pages[-1].block + 1, found.more

    async def append(count: int) -> None:
        deposits = [message(TENANT, [ann.placement(mailbox=archive)], size=300) for _ in range(count)]
        await vault.call("append", who, api.Append(deposits, []))

    await meter.run("select", 1, lambda: vault.call("select", who, rows_api.OpenMailbox(name, inbox)), 100)
    await meter.run("rows, all", messages, rows, 3)
    known = (await vault.boxes(ann))["inbox"].highest_modseq
    await meter.run(
        "updates, nothing", 1, lambda: vault.call("updates", who, rows_api.Updates(name, inbox, known)), 200
    )
    await meter.run("store \\Seen on 10,000", 10_000, lambda: store(1, 10_000, "\\Seen"))
    await meter.run("store \\Flagged on 10,000", 10_000, lambda: store(1, 10_000, "\\Flagged"))
    await meter.run("store a keyword on 10,000", 10_000, lambda: store(1, 10_000, "Work"))
    await meter.run("store on 1", 1, lambda: store(20_000, 20_000, new_id().hex(), "replace"), 100)
    await meter.run(
        "updates, 10,000", 10_000, lambda: vault.call("updates", who, rows_api.Updates(name, inbox, known)), 5
    )
    await meter.run("put pages, a message", messages, put)
    await meter.run("pages, a message", messages, pages, 3)
    copy = api.CopyMessages(name, inbox, archive, [(1, 10_000)])
    await meter.run("copy of 10,000", 10_000, lambda: vault.call("copy", who, copy))
    move = api.CopyMessages(name, inbox, archive, [(30_001, 40_000)], move=True)
    await meter.run("move of 10,000", 10_000, lambda: vault.call("copy", who, move))
    await store(10_001, 20_000, "\\Deleted")
    await meter.run("expunge of 10,000", 10_000, lambda: vault.call("expunge", who, api.Expunge(name, inbox)))
    await meter.run("append of 1", 1, lambda: append(1), 200)
    await meter.run("append of 200 at once", 200, lambda: append(200), 5)
    await meter.run(
        "select, with gaps", 1, lambda: vault.call("select", who, rows_api.OpenMailbox(name, inbox)), 100
    )


async def main(dsn: str, postmaster: int, messages: int) -> None:
    """Fill a mailbox and measure."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()
    meter, ann = Meter(postmaster), Person(TENANT)
    with tempfile.TemporaryDirectory() as directory:
        async with running_vault(dsn, Path(directory)) as vault:
            inbox = await _fill(vault, ann, messages, meter)
            await vault.stores.pool.execute("VACUUM ANALYZE")
            await _measure(vault, ann, inbox, messages, meter)
            assert await vault.problems() == []


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 100_000))
