"""D2, TM-21: a copy of everything, made before, opens nothing with the keys that are left afterwards.

The attacker of this test has more than any real one: all files of the node from before the destruction (rows,
packs, the root key), all of its files from afterwards, and our own code. The slots are all that differs: with
those from before every message opens, which shows that the attacker knows how.
"""

import asyncio
import contextlib
import os
import shutil
import smtplib
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.node_process import new_node

from postkeep.base.clock import SystemClock
from postkeep.base.errors import PostkeepError
from postkeep.base.secret import Secret
from postkeep.crypto.epoch import EpochReader
from postkeep.crypto.message import open_content, open_summary, unwrap_key
from postkeep.model.categories import Category
from postkeep.node.postgres.cluster import PORT, Cluster
from postkeep.node.postgres.settings import ADMINISTRATOR
from postkeep.node.supervisor.plan import UID_BASE_DEFAULT
from postkeep.services.kms.api import SealedEpoch
from postkeep.services.kms.epochs import EpochOpener
from postkeep.services.kms.hierarchy import Hierarchy
from postkeep.services.kms.principals import PrincipalKeys
from postkeep.services.kms.root import unseal_root
from postkeep.services.kms.root_change import RootSeals
from postkeep.services.kms.root_generations import open_root_keys
from postkeep.services.kms.signing import NamedKeys, open_signing_keys
from postkeep.services.kms.tenants import NoCustodians, TenantKeys
from postkeep.services.kms.witness import StoreWitness
from postkeep.stores.kms_installation import KmsInstallationRows
from postkeep.stores.kms_keys import KmsKeyRows
from postkeep.stores.packs import Location, Packs
from postkeep.stores.slots import ErasableSlots

pytestmark = pytest.mark.e2e

PASSWORD = "nothing left to open 1"
ALICE, BOB = "alice@copied.example", "bob@copied.example"
MESSAGES = 20 * int(os.environ.get("POSTKEEP_SOAK_FACTOR", "1"))
WRAPS_BYTES, KEY_BYTES = 96, 32

_MESSAGES = """
SELECT b.principal, m.tenant, m.body, m.epoch, m.epoch_index, m.slot, p.pack, p."offset", p.length,
       p.summary, e.sealed
FROM messages m JOIN mailboxes b USING (tenant, mailbox) JOIN bodies p USING (tenant, body)
JOIN epochs e ON e.tenant = m.tenant AND e.principal = b.principal AND e.epoch = m.epoch
"""


@contextlib.contextmanager
def server(postgres: Path, run: Path) -> Iterator[Path]:
    """The database of a copy, with nothing of a node around it."""
    uid = UID_BASE_DEFAULT if os.geteuid() == 0 else None
    run.mkdir(exist_ok=True)
    if uid is not None:
        os.chown(run, uid, uid)
    cluster = Cluster(postgres, run, uid)
    process = cluster.start(cluster.binaries())
    try:
        yield run
    finally:
        process.terminate()
        process.wait(timeout=30)
        if process.stderr is not None:
            process.stderr.close()


async def pool(run: Path, database: str) -> "asyncpg.Pool[asyncpg.Record]":
    for _ in range(100):
        try:
            return await asyncpg.create_pool(
                host=str(run), port=PORT, user=ADMINISTRATOR, database=database, min_size=1, max_size=2
            )
        except (OSError, asyncpg.CannotConnectNowError):
            time.sleep(0.1)  # noqa: ASYNC251 - nothing else runs here
    raise AssertionError("the copied database does not start")


@contextlib.asynccontextmanager
async def hierarchy(rows: "asyncpg.Pool[asyncpg.Record]", state: Path) -> AsyncIterator[Hierarchy]:
    """The keys of a copy, opened without asking whether rows and slots are of one age."""
    clock = SystemClock()
    installation, keys = KmsInstallationRows(rows), KmsKeyRows(rows)
    with ErasableSlots(state / "keys.slots", KEY_BYTES) as slots:
        root = await unseal_root(RootSeals(state).current(Secret(b"")), installation)
        roots = await open_root_keys(root, installation, slots)
        named = NamedKeys(roots, installation, clock)
        tenants = TenantKeys(roots, keys, slots, NoCustodians(), clock)
        signing = await open_signing_keys(named, clock)
        witness = StoreWitness(state, keys, slots)
        yield Hierarchy(tenants, keys, slots, signing, witness=witness, clock=clock)


async def opened(run: Path, before: Path, slots_of: Path, work: Path) -> Counter[bytes]:
    """Count the messages that open with rows and packs from before and the slots of `slots_of`, by owner."""
    for name in ("kms/keys.slots", "vault/wraps.slots"):
        shutil.copy(slots_of / "state" / name, work)
    for file in (before / "state/kms").glob("root.*"):
        shutil.copy(file, work)
    found: Counter[bytes] = Counter()
    kms, vault = await pool(run, "kms"), await pool(run, "vault")
    packs = Packs(before / "state/vault/packs/content")
    with contextlib.closing(packs), ErasableSlots(work / "wraps.slots", WRAPS_BYTES) as wraps:
        async with hierarchy(kms, work) as keys:
            for row in await vault.fetch(_MESSAGES):
                with contextlib.suppress(PostkeepError):
                    people = await keys.principal(row["principal"])
                    text = _open(people, row, wraps, packs)
                    assert text.endswith(b"what was said\r\n")
                    found[row["principal"]] += 1
    await kms.close()
    await vault.close()
    return found


def _open(people: PrincipalKeys, row: asyncpg.Record, wraps: ErasableSlots, packs: Packs) -> bytes:
    epoch = EpochOpener(people, (Category.CONTENT, Category.METADATA)).open(
        SealedEpoch(row["epoch"], row["sealed"])
    )
    if epoch.error:
        raise PostkeepError(epoch.error)
    reader = EpochReader(row["epoch"], {str(name): start for name, start in epoch.chains.items()})
    record = wraps.read(row["slot"])
    keys = {}
    for category in ("content", "metadata"):
        wrap_key = reader.wrap_key(category, row["epoch_index"])
        keys[category] = unwrap_key(
            category,
            record,
            wrap_key,
            row["tenant"],
            row["body"],
            people.principal,
            row["epoch"],
            row["epoch_index"],
        )
    open_summary(keys["metadata"], row["tenant"], row["body"], row["summary"])
    sealed = packs.read_many([Location(row["pack"], row["offset"], row["length"])])[0]
    return open_content(keys["content"], row["tenant"], row["body"], sealed)


def test_a_copy_from_before_opens_nothing_with_what_is_left_afterwards(tmp_path: Path) -> None:
    with new_node() as node:
        node.tenant("copied.example")
        people = {person: bytes.fromhex(node.user(person, PASSWORD)["principal"]) for person in (ALICE, BOB)}
        with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=30) as client:
            for person, count in ((ALICE, MESSAGES), (BOB, 3)):
                for _ in range(count):
                    client.sendmail("x@y.example", [person], b"Subject: said\r\n\r\nwhat was said\r\n")
        node.stop()
        before = node.directory / "before"
        subprocess.run(["cp", "-a", str(node.data), str(before)], check=True)
        node.start()
        node.cli("destroy", "person", ALICE, "--yes")
        node.cli("destroy", "message", BOB, "inbox", "2", "--yes")
        node.stop()
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
        with server(before / "postgres", node.directory / "pg") as run:
            then = asyncio.run(opened(run, before, before, tmp_path / "first"))
            now = asyncio.run(opened(run, before, node.data, tmp_path / "second"))
        assert then == {people[ALICE]: MESSAGES, people[BOB]: 3}
        assert now == {people[BOB]: 2}
