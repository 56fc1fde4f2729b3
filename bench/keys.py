"""K9: the key store at size. `python bench/keys.py [--principals 100000] [--generations 8] [--tenants 100]`.

Builds a key store in bulk in a PostgreSQL cluster of its own, with the settings that nodes have, and measures
in one process, as kms is one:

* memory (RSS) of the process before the store is used, and after every principal has been opened once;
* the time to open an epoch of a principal that is not in memory, and of one that is: p50, p99;
* the time to wrap every key row anew, by rotating the `secret` key of every tenant.

The newest generation of each principal is a true key pair; the older ones are random octets of the same
sizes, wrapped in the same way, as wrapping does not look inside.
"""

import argparse
import contextlib
import os
import pwd
import random
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvloop

from postkeep.base.clock import SystemClock
from postkeep.base.ids import new_id
from postkeep.base.secret import Secret
from postkeep.crypto.epoch import EpochRewrapper
from postkeep.model.audit import EventName
from postkeep.model.categories import Category
from postkeep.node.postgres.binaries import find_binaries
from postkeep.node.postgres.cluster import Cluster
from postkeep.node.postgres.settings import ADMINISTRATOR, server_settings
from postkeep.services.kms.api import SealedEpoch
from postkeep.services.kms.epochs import EpochOpener
from postkeep.services.kms.hierarchy import Hierarchy
from postkeep.services.kms.principals import new_pair, wrap_seeds
from postkeep.services.kms.root import unseal_root
from postkeep.services.kms.root_change import RootCustody, RootSeals
from postkeep.services.kms.root_generations import open_root_keys
from postkeep.services.kms.rotation import Rotations
from postkeep.services.kms.rotation_parts import RotationParts
from postkeep.services.kms.signing import NamedKeys, open_signing_keys
from postkeep.services.kms.tenants import NoCustodians, TenantKeys
from postkeep.services.kms.witness import StoreWitness
from postkeep.stores.kms_installation import KmsInstallationRows
from postkeep.stores.kms_keys import KmsKeyRows
from postkeep.stores.kms_rotations import KmsRotationRows
from postkeep.stores.postgres import Pool, load_migrations, migrate, open_pool
from postkeep.stores.slots import ErasableSlots

BUILD_ROWS = 2_000
OPENED_WARM = 10_000
PUBLIC_BYTES, SEED_BYTES = 1216, 96


class Silent:
    """A ledger that is always there: what it costs is measured by `ledger_rate.py`."""

    async def record(self, event: EventName, **fields: Any) -> int:
        """Take an event."""
        del event, fields
        return 0


@contextlib.contextmanager
def database(directory: Path) -> Iterator[str]:
    """Run PostgreSQL as nodes do, but for its logins; give its DSN."""
    user = pwd.getpwnam("nobody")
    uid = user.pw_uid if os.geteuid() == 0 else None
    directory.chmod(0o755)
    socket = directory / "run"
    socket.mkdir(mode=0o777)
    socket.chmod(0o777)
    cluster = Cluster(directory / "pg", socket, uid)
    binaries = find_binaries()
    cluster.create(binaries)
    (directory / "pg" / "postgresql.conf").write_text(server_settings(socket))
    (directory / "pg" / "pg_hba.conf").write_text("local all all trust\n")
    server = subprocess.Popen(
        [str(binaries.postgres), "-D", str(directory / "pg")],
        stderr=subprocess.DEVNULL,
        cwd="/",
        user=uid,
        group=uid,
        extra_groups=None if uid is None else [],
    )
    try:
        while "ready" not in _text(directory / "pg" / "postmaster.pid"):
            time.sleep(0.05)
        yield f"postgresql://{ADMINISTRATOR}@/postgres?host={socket}"
    finally:
        server.terminate()
        server.wait()


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@contextlib.asynccontextmanager
async def opened(dsn: str, directory: Path) -> AsyncIterator[tuple[Pool, RotationParts, Any]]:
    """Open the store, as kms does."""
    clock = SystemClock()
    pool = await open_pool(dsn)
    try:
        async with pool.acquire() as connection:
            await migrate(connection, "kms", load_migrations("postkeep.stores.sql.kms"))
        installation, rows = KmsInstallationRows(pool), KmsKeyRows(pool)
        seals = RootSeals(directory)
        root = await unseal_root(seals.current(Secret(b"")), installation)
        custody = RootCustody(seals, root, Secret(b""), lambda _step, _secret: None)
        with ErasableSlots(directory / "keys.slots", 32) as slots:
            witness = StoreWitness(directory, rows, slots)
            await witness.check()
            roots = await open_root_keys(root, installation, slots)
            named = NamedKeys(roots, installation, clock)
            signing = await open_signing_keys(named, clock)
            tenants = TenantKeys(roots, rows, slots, NoCustodians(), clock)
            keys = Hierarchy(tenants, rows, slots, signing, witness=witness, clock=clock)
            yield (
                pool,
                RotationParts(
                    custody,
                    roots,
                    named,
                    installation,
                    tenants,
                    keys,
                    rows,
                    KmsRotationRows(pool),
                    slots,
                    witness,
                    clock,
                ),
                signing,
            )
    finally:
        await pool.close()


async def build(dsn: str, directory: Path, arguments: argparse.Namespace) -> list[tuple[bytes, bytes]]:
    """Fill the store; return (tenant, principal) of all."""
    made: list[tuple[bytes, bytes]] = []
    async with opened(dsn, directory) as (pool, parts, signing):
        for number in range(arguments.tenants):
            tenant = new_id()
            await parts.hierarchy.provision_tenant(tenant)
            await parts.tenants.load(tenant)
            parent = parts.tenants.newest(tenant, Category.SECRET)
            assert parent is not None
            count = arguments.principals // arguments.tenants
            principals = [new_id() for _ in range(count)]
            made += [(tenant, principal) for principal in principals]
            wanted = [
                (principal, generation)
                for principal in principals
                for generation in range(1, arguments.generations + 1)
            ]
            for start in range(0, len(wanted), BUILD_ROWS):
                part = wanted[start : start + BUILD_ROWS]
                slots = parts.slots.put_many(secrets := [os.urandom(32) for _ in part])
                rows = []
                for (principal, generation), secret, slot in zip(part, secrets, slots, strict=True):
                    if generation == arguments.generations:
                        row = new_pair(
                            parent,
                            tenant,
                            principal,
                            generation,
                            secret,
                            slot,
                            signing.directory.sign,
                            0,
                            queue=False,
                        )
                        rows.append(row)
                    else:
                        public, seeds = os.urandom(PUBLIC_BYTES), os.urandom(SEED_BYTES)
                        rows.append(
                            wrap_seeds(
                                parent,
                                tenant,
                                principal,
                                generation,
                                secret,
                                slot,
                                seeds,
                                public,
                                queue=False,
                            )
                        )
                await _copy(pool, rows)
            parts.slots.sync()
            print(f"\rbuilt {number + 1} of {arguments.tenants} tenants", end="", flush=True)
        await pool.execute("ANALYZE")
    print()
    return made


async def _copy(pool: Pool, rows: Sequence[Any]) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.copy_records_to_table(
            "principal_keys",
            records=[
                (
                    r.tenant,
                    r.principal,
                    r.generation,
                    r.queue,
                    r.slot,
                    r.public_key,
                    r.signature,
                    r.created_ms,
                )
                for r in rows
            ],
            columns=(
                "tenant",
                "principal",
                "generation",
                "queue",
                "slot",
                "public_key",
                "signature",
                "created_ms",
            ),
        )
        await connection.copy_records_to_table(
            "principal_wraps",
            records=[(r.tenant, r.principal, r.generation, r.parent, r.wrapped) for r in rows],
            columns=("tenant", "principal", "generation", "parent", "wrapped"),
        )


def resident_mb() -> float:
    """The memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


async def measure_opening(
    dsn: str, directory: Path, people: list[tuple[bytes, bytes]], generation: int
) -> list[tuple[str, str, str]]:
    """Open everybody once, then some again."""
    async with opened(dsn, directory) as (_pool, parts, _signing):
        before = resident_mb()
        random.shuffle(people)
        cold = [await _open_one(parts, tenant, principal, generation) for tenant, principal in people]
        after = resident_mb()
        recent = people[-OPENED_WARM:]
        warm = [await _open_one(parts, tenant, principal, generation) for tenant, principal in recent]
    return [
        (
            f"kms after opening {len(people):,} principals, RSS, MB (before: {before:.0f})",
            f"{after:.0f}",
            "<= 300",
        ),
        ("an epoch of a principal not in memory, p50 / p99, ms", _percentiles(cold), "p99 <= 2"),
        ("an epoch of a principal in memory, p50 / p99, ms", _percentiles(warm), "p99 <= 2"),
    ]


async def _open_one(parts: RotationParts, tenant: bytes, principal: bytes, generation: int) -> float:
    begun = time.perf_counter()
    keys = await parts.hierarchy.principal(principal)
    half = keys.generations[generation]
    taken = time.perf_counter() - begun
    epoch = new_id()
    rewrapper = EpochRewrapper(half.seeds.reveal(), tenant, principal, generation)
    sealed = rewrapper.rewrap(epoch, b"s" * 32)
    begun = time.perf_counter()
    (opened_epoch,) = await EpochOpener(keys, (Category.CONTENT, Category.METADATA)).open_all(
        [SealedEpoch(epoch, sealed)]
    )
    assert not opened_epoch.error
    return taken + time.perf_counter() - begun


def _percentiles(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    return f"{ordered[len(ordered) // 2] * 1e3:.2f} / {ordered[len(ordered) * 99 // 100] * 1e3:.2f}"


async def measure_rotation(
    dsn: str, directory: Path, tenants: list[bytes], rows: int
) -> list[tuple[str, str, str]]:
    """Wrap everything anew."""
    async with opened(dsn, directory) as (pool, parts, _signing):
        rotations = Rotations(parts, Silent(), 0)
        begun, cpu = time.perf_counter(), time.process_time()
        for tenant in tenants:
            await rotations.begin("category", {}, tenant=tenant, category="secret")
        assert not await rotations.advance()
        taken, cpu = time.perf_counter() - begun, time.process_time() - cpu
        left = await pool.fetchval("SELECT count(*) FROM principal_wraps WHERE parent = 1")
        assert left == 0
    return [
        (
            f"{rows:,} key rows wrapped anew, s (CPU of kms: {cpu:.0f} s; {rows / taken:,.0f} rows/s)",
            f"{taken:.1f}",
            "<= 60",
        )
    ]


def main() -> None:
    """Build, measure, print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--principals", type=int, default=100_000)
    parser.add_argument("--generations", type=int, default=8)
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument(
        "--directory", type=Path, default=None, help="where the store is built; default: /tmp"
    )
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="pk-keys-", dir=arguments.directory or "/tmp"))
    try:
        with database(work) as dsn:
            store = work / "store"
            store.mkdir()
            people = uvloop.run(build(dsn, store, arguments))
            figures = uvloop.run(measure_opening(dsn, store, people, arguments.generations))
            tenants = sorted({tenant for tenant, _ in people})
            rows = len(people) * arguments.generations
            figures += uvloop.run(measure_rotation(dsn, store, tenants, rows))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for what, figure, aim in figures:
        print(f"| {what} | {figure} | {aim} |")


if __name__ == "__main__":
    main()
