"""Substring search in one mailbox, with an empty database that may make others beside it:

    python -m bench.search postgresql://postkeep@/bench?host=/run/pg [messages]

Everything runs in this process, as in the integration tests: real keepers on real channels, IMAP over a
socket. It says what a body search costs by texts, then by segments on a fresh connection (cold) and again
with other needles (warm), and what the segments take. CPU is that of all modules but PostgreSQL.
"""

import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

import asyncpg
from tests.imap_client import ImapClient, of, signed_in
from tests.imap_world import ALICE, World, run, running

from postkeep.protocols.imap.commands import Search
from postkeep.protocols.imap.search import Body
from postkeep.services.vault.search_api import BLOCK_SHIFT

DEPOSITS = 500
"""Messages handed to the vault at once."""
COLD = ("quarterly 4711", "发票号码")
WARM = ("shipment 0815", "合同编号", "reminder 17", "付款通知")


def mail(number: int, dice: random.Random) -> bytes:
    """Write some 4 KB: words as common as in real mail, a Chinese paragraph in every fourth message."""
    words = [f"w{int(dice.paretovariate(0.8)) % 20_000}" for _ in range(500)]
    chosen = dice.choice((*COLD, *WARM)) if number % 500 == 0 else ""
    chinese = "".join(
        chr(0x4E00 + int(dice.paretovariate(0.9)) % 3000) for _ in range(300 if number % 4 == 0 else 0)
    )
    body = " ".join(words) + f"\r\n{chosen}\r\n{chinese}\r\n"
    head = f"From: p{number % 300}@example.net\r\nSubject: mail {number}\r\nMIME-Version: 1.0\r\n"
    return f"{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{body}".encode()


async def clocked(client: ImapClient, needle: str) -> str:
    wall, cpu = time.perf_counter(), time.process_time()
    (answer,) = of(await client.run(Search(Body(needle))), "SEARCH")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return f"{needle!r}: {len(answer.values)} found, {wall * 1000:.0f} ms, CPU {cpu * 1000:.0f} ms"


async def measure(world: World, messages: int) -> None:
    alice = await world.person(ALICE)
    dice = random.Random(7)
    for start in range(0, messages, DEPOSITS):
        await world.deliver(
            alice, *(mail(number, dice) for number in range(start, min(start + DEPOSITS, messages)))
        )
    client = await signed_in(world, "INBOX")
    print("by texts:     ", await clocked(client, COLD[0]))
    rows = await asyncpg.connect(world.vault_dsn)
    began, full = time.perf_counter(), messages >> BLOCK_SHIFT
    while await rows.fetchval("SELECT count(*) FROM segments") < full:  # noqa: ASYNC110 - rows have no event
        await asyncio.sleep(0.5)
    octets = await rows.fetchval("SELECT sum(length) FROM bodies JOIN segments USING (tenant, body)") or 0
    seconds = time.perf_counter() - began
    print(f"{full} segments of {octets:,} octets made within {seconds:.0f} s after it")
    await rows.close()
    await client.close()
    client = await signed_in(world, "INBOX")
    for needle in COLD:
        print("cold, then warm:", await clocked(client, needle))
    for needle in WARM:
        print("warm:           ", await clocked(client, needle))
    await client.close()


def main() -> None:
    dsn, messages = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10_000

    async def whole() -> None:
        with tempfile.TemporaryDirectory() as directory:
            async with running(dsn, Path(directory)) as world:
                await measure(world, messages)

    run(whole)


if __name__ == "__main__":
    main()
