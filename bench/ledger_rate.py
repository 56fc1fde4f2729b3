"""Durable events a second (A5): `python bench/ledger_rate.py`. A ledger process, four sources in another.

Everything is real: the channel with its MACs, the journal, one fdatasync per group. Each source has one
batch of 512 under way, as a busy trail has. Then single records, 2,000 a second, each waited for: first while
tenants' logs catch up with what came before, then steadily, with tenants' heads anchored every five seconds.
"""

import asyncio
import gc
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from postkeep.base.clock import SystemClock
from postkeep.model.audit import AuditEvent, EventName
from postkeep.services.ledger.api import Append
from postkeep.services.ledger.client import LedgerClient
from postkeep.services.ledger.journal import Journal
from postkeep.services.ledger.service import LedgerService
from postkeep.services.ledger.tenants import TenantBook
from postkeep.services.ledger.trail import Trail
from postkeep.stores.ledger_log import LedgerLog
from postkeep.tickets.channel import Link, Server
from postkeep.tickets.identity import Anchors, ModuleIdentity
from postkeep.tickets.mint import Mint
from postkeep.tickets.revocations import RevocationView

BUILD = Path(__file__).parent / "build"
"""On the disk that the tree is on, as /tmp may be in memory."""
SOURCES = 4
BATCH = 256
EVENTS = 200_000
RECORDS_PER_SECOND = 2_000
RECORDS = 6_000  # while tenants' logs are behind
STEADY_RECORDS = 24_000
TENANT = "019aa5b6c0de7f01" * 2
PERSON = "019aa5b6c0de7f02" * 2
ANCHOR_SECONDS = 5.0  # seconds; with a node's default of 30 the steady records would hardly see an anchor
GC_THRESHOLDS = (20_000, 20, 20)  # what a node's modules run with


def measure(directory: Path | None = None) -> dict[str, float]:
    """Return events a second, and the ledger's CPU microseconds per event."""
    BUILD.mkdir(exist_ok=True)
    path = directory or Path(tempfile.mkdtemp(dir=BUILD, prefix="ledger-"))
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    key = Ed25519PrivateKey.generate()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("fork").Process(target=_serve, args=(path, key, theirs))
    server.start()
    ours.recv()
    seconds = uvloop.run(_send(path, key))
    ours.send("half time")
    cpu = ours.recv()
    behind = sorted(uvloop.run(_record(path, key, "kms-1.aaaa", RECORDS)))
    ours.send("catch up")
    ours.recv()
    steady = sorted(uvloop.run(_record(path, key, "kms-2.aaaa", STEADY_RECORDS)))
    ours.send("stop")
    server.join()
    shutil.rmtree(path)
    return {
        "events_per_second": EVENTS / seconds,
        "server_cpu_us": cpu / EVENTS * 1e6,
        "record_p50_ms": steady[len(steady) // 2] * 1e3,
        "record_p99_ms": steady[len(steady) * 99 // 100] * 1e3,
        "behind_p50_ms": behind[len(behind) // 2] * 1e3,
        "behind_p99_ms": behind[len(behind) * 99 // 100] * 1e3,
    }


def _identity(key: Ed25519PrivateKey, module: str, instance: str) -> tuple[ModuleIdentity, Anchors]:
    anchors = Anchors()
    anchors.trust("authority", key.public_key().public_bytes_raw())
    identity = ModuleIdentity(module, instance)
    identity.ticket = Mint(key.sign).module(module, instance, identity.thumbprint)[1]
    return identity, anchors


def _serve(path: Path, key: Ed25519PrivateKey, parent: Connection) -> None:
    async def run() -> None:
        identity, anchors = _identity(key, "ledger", "ledger-1.aaaa")
        log = LedgerLog(path / "ledger")
        journal = Journal(log, "ledger-1.aaaa", SystemClock())
        await journal.open()
        tenants = TenantBook(path / "ledger", log, journal, ANCHOR_SECONDS)
        await tenants.open()
        following = asyncio.create_task(tenants.run())
        service = LedgerService(log, journal, "bench/ledger", anchors, tenants)
        server = Server(identity, anchors, "ledger", service.handlers(), RevocationView(), lambda _: None)
        await server.serve_unix(path / "ledger.sock")
        before = resource.getrusage(resource.RUSAGE_SELF)
        parent.send(os.getpid())
        await asyncio.get_running_loop().run_in_executor(None, parent.recv)
        after = resource.getrusage(resource.RUSAGE_SELF)
        parent.send(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        await asyncio.get_running_loop().run_in_executor(None, parent.recv)
        await tenants.catch_up()
        parent.send("caught up")
        await asyncio.get_running_loop().run_in_executor(None, parent.recv)
        await server.close()
        following.cancel()
        await tenants.close()
        await journal.close()

    uvloop.run(run())


async def _send(path: Path, key: Ed25519PrivateKey) -> float:
    async def source(number: int) -> None:
        identity, anchors = _identity(key, "imap", f"imap-{number}.aaaa")
        link = Link(identity, anchors, "ledger", path / "ledger.sock")
        client = LedgerClient(link)
        for first in range(1, EVENTS // SOURCES, BATCH):
            batch = [_event(identity.instance, n) for n in range(first, first + BATCH)]
            await client.append(Append(batch))
        await link.close()

    began = time.perf_counter()
    await asyncio.gather(*(source(number) for number in range(SOURCES)))
    return time.perf_counter() - began


async def _record(path: Path, key: Ed25519PrivateKey, instance: str, count: int) -> list[float]:
    """Record single events at a steady rate; return how long each took to be durable, in seconds."""
    identity, anchors = _identity(key, "kms", instance)
    link = Link(identity, anchors, "ledger", path / "ledger.sock")
    trail = Trail(identity.instance, link, SystemClock())
    waits: list[float] = []

    async def one() -> None:
        began = time.perf_counter()
        await trail.record(EventName.KEY_RELEASE, tenant=TENANT, principal=PERSON, method="kms.open_epochs")
        waits.append(time.perf_counter() - began)

    began, tasks = time.perf_counter(), []
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / RECORDS_PER_SECOND - time.perf_counter()))
        tasks.append(asyncio.create_task(one()))
    await asyncio.gather(*tasks)
    await trail.close()
    await link.close()
    return waits


def _event(source: str, number: int) -> AuditEvent:
    return AuditEvent(
        EventName.READ,
        1_800_000_000_000 + number,
        source,
        number,
        tenant=TENANT,
        principal=PERSON,
        session="019aa5b6c0de7f03" * 2,
        ticket="019aa5b6c0de7f04" * 2,
        module="imap",
        method="vault.content",
        mailbox="019aa5b6c0de7f05" * 2,
        category="content",
        count=12,
        digest="7f" * 32,
    )


if __name__ == "__main__":
    figures = measure()
    print(
        f"{figures['events_per_second']:,.0f} durable events/s, {figures['server_cpu_us']:.1f} us of CPU each"
    )
    print(f"single records: p50 {figures['record_p50_ms']:.1f} ms, p99 {figures['record_p99_ms']:.1f} ms")
    print(
        f"while tenants' logs catch up: p50 {figures['behind_p50_ms']:.1f} ms,"
        f" p99 {figures['behind_p99_ms']:.1f} ms"
    )
