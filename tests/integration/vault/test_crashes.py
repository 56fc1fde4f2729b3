"""`kill -9` at any moment: what was answered is there once; what was removed is nowhere on the disk."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.integration.vault.conftest import (
    MX,
    RELAY,
    STEWARD,
    Person,
    RunVault,
    Vault,
    message,
    queue_item,
)
from tests.integration.vault.crashing_vault import content_of, person_of
from tests.warrants import person_warrant

from postkeep.base.ids import new_id
from postkeep.services.queue import api as queue_api
from postkeep.services.vault import api

TENANT = new_id()
ROUNDS = 6
REPOSITORY = Path(__file__).parents[3]


def _run_until_killed(dsn: str, directory: Path, principal: bytes) -> list[list[str]]:
    """Run a vault under load, kill it, and return what it had said."""
    arguments = [dsn, str(directory), TENANT.hex(), principal.hex()]
    with (directory / "said").open("wb") as said:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.vault.crashing_vault", *arguments],
            cwd=REPOSITORY,
            stdout=said,
        )
        try:
            deadline = time.monotonic() + 60
            while b"stored" not in (directory / "said").read_bytes():
                assert child.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(random.uniform(0.0, 0.6))
        finally:
            child.kill()
            child.wait()
    text = (directory / "said").read_text()
    return [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]


def test_killed_at_any_moment_nothing_answered_is_lost_or_doubled(
    dsn: str, tmp_path: Path, run_vault: RunVault
) -> None:
    ann = person_of(TENANT, new_id())
    stored: set[str] = set()
    maybe_removed: set[str] = set()
    removed_wraps: set[bytes] = set()
    at_once = 0
    for _ in range(ROUNDS):
        for word, *rest in _run_until_killed(dsn, tmp_path, ann.principal):
            if word == "stored":
                stored.add(rest[0])
            elif word == "removing":
                maybe_removed.add(rest[0])
            elif word == "removed":
                removed_wraps.add(bytes.fromhex(rest[0]))
            elif word == "at_once":
                at_once = max(at_once, int(rest[0]))

        async def after(vault: Vault) -> None:
            from tests.integration.vault.conftest import grant

            ann.grant = grant(TENANT, ann.principal)
            assert await vault.problems() == []
            inbox = (await vault.boxes(ann))["inbox"].id
            rows = (await vault.sync(ann, inbox)).rows
            counts = Counter(row.body.hex() for row in rows)
            assert set(counts.values()) <= {1}
            assert stored - maybe_removed <= counts.keys()
            for start in range(0, len(rows), 500):
                ranges = [api.Range(row.uid) for row in rows[start : start + 500]]
                content = api.FetchContent(ann.principal, inbox, ranges)
                parts = (await vault.call("content", ann.grant, content)).parts
                assert len(parts) == len(ranges)
                assert all(part.data == content_of(part.body) for part in parts)
            data = vault.stores.slots.path.read_bytes()
            assert not [wraps for wraps in removed_wraps if wraps in data]
            await vault.call("maintain", STEWARD, api.Maintain(0.0))
            again = await vault.call("maintain", STEWARD, api.Maintain(0.0))
            assert (again.orphan_bytes, again.slots_erased, again.bytes_reclaimed) == (0, 0, 0)

        run_vault(after)
    assert stored
    assert at_once  # groups in one statement are among what was killed


def _files_with(needle: bytes, *roots: Path) -> set[str]:
    """The names of files below `roots` that hold these octets."""
    found = set()
    for root in roots:
        for folder, _, names in os.walk(root):
            for name in names:
                try:
                    if needle in (Path(folder) / name).read_bytes():
                        found.add(name)
                except OSError:
                    continue  # a socket, or a file that went while we looked
    return found


def test_the_wraps_of_what_was_removed_are_in_no_file_at_all(
    run_vault: RunVault, cluster_dir: Path, tmp_path: Path
) -> None:
    async def job(vault: Vault) -> None:
        ann, bob = Person(TENANT), Person(TENANT)
        expunged = ann.placement(flags=("\\Deleted",))
        moved = ann.placement("archive", flags=("\\Deleted",))
        removed, queued, kept = bob.placement(), queue_item(ann), ann.placement("sent")
        deposit = message(TENANT, [expunged, moved, removed, kept], queue=[queued])
        await vault.call("deposit", MX, api.DepositBatch([deposit], ann.epochs + bob.epochs))
        doomed = [expunged.wraps, moved.wraps, removed.wraps, queued.wraps]

        own = await vault.stores.pool.fetchval(
            "SELECT oid FROM pg_database WHERE datname = current_database()"
        )
        data = cluster_dir / "data"
        places = (data / "base" / str(own), data / "pg_wal")  # others' databases are not asked

        async def search(wraps: bytes) -> set[str]:
            await vault.stores.pool.execute("CHECKPOINT")
            return _files_with(wraps, tmp_path, *places)

        for wraps in (*doomed, kept.wraps):
            assert await search(wraps) == {"slots"}
        assert await search(deposit.summary)  # the search looks into the database's files too
        boxes = await vault.boxes(ann)
        names = {role: box.id for role, box in boxes.items()}
        move = api.CopyMessages(ann.principal, names["archive"], names["inbox"], [(1, 1)], move=True)
        await vault.call("copy", ann.grant, move)
        copy = api.CopyMessages(ann.principal, names["inbox"], names["trash"], [(1, 9)])
        await vault.call("copy", ann.grant, copy)
        for role in ("inbox", "trash"):
            await vault.call("expunge", ann.grant, api.Expunge(ann.principal, names[role]))
        (item,) = (await vault.call("queue_lease", RELAY, queue_api.Lease(1, 60))).items
        done = queue_api.QueueOutcome(item.id, item.lease, done=True)
        await vault.call("queue_update", RELAY, queue_api.QueueUpdate([done]))
        await vault.call(
            "remove_principal", STEWARD, api.RemovePrincipal(person_warrant(TENANT, bob.principal))
        )
        for wraps in doomed:
            assert await search(wraps) == set()
            assert await search(wraps[:48]) == await search(wraps[48:]) == set()
        assert await search(kept.wraps) == {"slots"}

    run_vault(job)
