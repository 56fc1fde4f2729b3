"""Keys of backups over time (D3): a weekly key is used for a week, and gone after thirty days everywhere."""

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import pytest
from tests.integration.test_kms_root import installation
from tests.integration.vault.conftest import grant

from postkeep.base.clock import FixedClock
from postkeep.base.errors import IntegrityError, NotFoundError
from postkeep.base.secret import Secret
from postkeep.crypto.backup import manifest_statement, open_object
from postkeep.crypto.backup_keys import slots_parent
from postkeep.crypto.ed25519 import public_key
from postkeep.crypto.wrap import KEY_BYTES
from postkeep.model.audit import AuditEvent, EventName
from postkeep.model.backup import Keyring, WeekKey, decode, kms_path, week_path
from postkeep.model.ticket import TicketKind
from postkeep.services.authority.api import OperationTicket
from postkeep.services.backup.catalogue import open_keyring, read_week
from postkeep.services.backup.creating import Place, write_parents
from postkeep.services.backup.keepers import Keepers
from postkeep.services.backup.pruning import end_weeks, list_weeks
from postkeep.services.backup.service import BackupService, Schedule
from postkeep.services.backup.tombstones import Tombstones
from postkeep.services.backup.wal import WalSpool
from postkeep.services.kms import backing_api as api
from postkeep.services.kms.backing import BackupKeys, Terms
from postkeep.services.kms.backup_records import SLOTS_NAME
from postkeep.services.kms.root import FileSeal, unseal_root
from postkeep.services.kms.root_generations import RootKeys
from postkeep.services.kms.signing import NamedKeys, open_signing_keys
from postkeep.services.ledger.api import Append, Appended
from postkeep.services.ledger.trail import Trail
from postkeep.stores.backup_target import DirectoryTarget
from postkeep.stores.kms_keys import KmsKeyRows
from postkeep.stores.slots import ErasableSlots

T = TypeVar("T")
DAY = 86_400
WORKER = grant(kind=TicketKind.OPERATION, module="backup", method="kms.backup_open")


class Book:
    """A ledger that keeps what it is told in a list."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    async def call(
        self,
        method: str,
        request: msgspec.Struct,
        reply: type[T],
        *,
        ticket: bytes = b"",
        timeout_seconds: float = 30.0,
    ) -> T:
        assert isinstance(request, Append)
        self.events += request.events
        return msgspec.convert(Appended(len(self.events), len(request.events)), reply)


class Scene(NamedTuple):
    keys: BackupKeys
    root: bytes
    clock: FixedClock
    book: Book
    secret: bytes


@asynccontextmanager
async def opened(dsn: str, directory: Path, terms: Terms | None = None) -> AsyncIterator[Scene]:
    clock, book = FixedClock(), Book()
    async with installation(dsn) as rows:
        root = await unseal_root(FileSeal(directory), rows)
        named = NamedKeys(RootKeys.single(root), rows, clock)
        trail = Trail("kms-0.1", book, clock)
        secret = hashlib.sha256(b"a slot").digest()
        with ErasableSlots(directory / "keys.slots", KEY_BYTES) as slots:
            slots.write_many([secret])
            keys = BackupKeys(
                lambda: Secret(root.reveal()),
                named,
                await open_signing_keys(named, clock),
                KmsKeyRows(rows._pool),
                slots,
                directory=directory,
                state_dir=directory,
                terms=terms or Terms(),
                trail=trail,
                clock=clock,
            )
            yield Scene(keys, root.reveal(), clock, book, secret)
            keys.close()
        await trail.close()


def test_after_thirty_days_nothing_that_is_left_opens_the_slots_of_a_weekly_key(
    dsn: str, tmp_path: Path
) -> None:
    """D3: slots that were backed up 31 days ago open with no key that is left, in kms or in the target."""

    async def scenario() -> None:
        target = DirectoryTarget(tmp_path / "target")
        async with opened(dsn, tmp_path) as scene:
            first = await scene.keys.open(WORKER, api.BackupOpen())
            sealed = await scene.keys.slots(WORKER, api.BackupSlots(first.week, "ab" * 16, 0))
            week = first.week.hex()
            await target.put(week_path(week), first.week_object)
            await target.put(kms_path(week, "ab" * 16, 0), sealed.sealed)
            parents = open_keyring(decode(first.keyring, Keyring), [scene.root])
            weekly = await read_week(target, week, parents.weeks)
            plain = open_object(slots_parent(weekly), "kms slots", f"{'ab' * 16}.0", sealed.sealed)
            assert scene.secret in plain
            assert scene.secret not in sealed.sealed

            scene.clock.advance(8 * DAY)
            second = await scene.keys.open(WORKER, api.BackupOpen())
            assert second.week != first.week
            assert await end_weeks(target, scene.clock, set()) == []

            scene.clock.advance(23 * DAY)
            weeks = await scene.keys.expire(WORKER, api.BackupExpire())
            assert [found[0] for found in weeks.weeks] == [second.week]
            with pytest.raises(NotFoundError):
                await scene.keys.slots(WORKER, api.BackupSlots(first.week, "ab" * 16, 0))
            wrapped = decode(first.week_object, WeekKey).wrapped
            assert wrapped not in (tmp_path / SLOTS_NAME).read_bytes()
            assert await end_weeks(target, scene.clock, set()) == [week]
            assert await list_weeks(target) == {}
            with pytest.raises(NotFoundError):
                await read_week(target, week, parents.weeks)
            told = [event for event in scene.book.events if event.event is EventName.BACKUP_DESTROY]
            assert [event.note for event in told] == [f"week {week}"]

    asyncio.run(scenario())


def test_no_configuration_makes_a_weekly_key_live_longer_than_thirty_days(dsn: str, tmp_path: Path) -> None:
    """D3: the terms can be shortened only."""

    async def scenario() -> None:
        async with opened(dsn, tmp_path, Terms(use=365 * DAY, life=365 * DAY)) as scene:
            first = await scene.keys.open(WORKER, api.BackupOpen())
            assert first.week_expires_ms == scene.clock.now_ms() + 30 * DAY * 1000
            scene.clock.advance(8 * DAY)
            assert (await scene.keys.open(WORKER, api.BackupOpen())).week != first.week

    asyncio.run(scenario())


def test_the_keyring_opens_with_its_root_key_alone_and_names_who_signs(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(dsn, tmp_path) as scene:
            first = await scene.keys.open(WORKER, api.BackupOpen())
            ring = decode(first.keyring, Keyring)
            assert ring.root == "file"
            assert first.root_files == {}  # the key itself is in no backup
            with pytest.raises(IntegrityError):
                open_keyring(ring, [bytes(32)])
            parents = open_keyring(ring, [scene.root])
            assert parents.data == first.data_key
            digest = hashlib.sha256(b"manifest").digest()
            signed = await scene.keys.sign(WORKER, api.BackupSign(digest, "cd" * 16))
            public_key(parents.signer).verify(signed.signature, manifest_statement("cd" * 16, digest))
            assert scene.book.events[0].event is EventName.KEY_RELEASE

    asyncio.run(scenario())


class Straight:
    """Links that end in the weekly keys themselves, and in an authority that says yes."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    async def call(
        self,
        method: str,
        request: msgspec.Struct,
        reply: type[T],
        *,
        ticket: bytes = b"",
        timeout_seconds: float = 30.0,
    ) -> T:
        if method == "authority.issue_operation":
            return msgspec.convert(OperationTicket(b"a ticket", self._scene.clock.now_seconds() + 600), reply)
        answer = await self._scene.keys.handlers()[method][1](WORKER, request)
        assert isinstance(answer, reply)
        return answer


def worker(scene: Scene, target: DirectoryTarget, spool: Path) -> tuple[BackupService, Keepers]:
    """The backup worker as it runs on a node, but for the copy of the database."""
    links: Any = dict.fromkeys(("authority", "kms", "vault", "ledger"), Straight(scene))
    keepers = Keepers(links, scene.clock)

    async def nobody(_point: str) -> socket.socket:
        raise AssertionError

    place = Place(
        keepers,
        target,
        WalSpool(spool, target),
        Tombstones(keepers, target, scene.clock),
        nobody,
        config="",
        program="",
        clock=scene.clock,
    )
    return BackupService(
        place, Schedule(), Trail("backup-0.1", scene.book, scene.clock), scene.clock
    ), keepers


def test_over_ten_weeks_of_daily_backups_no_key_stream_opens_for_longer_than_thirty_days(
    dsn: str, tmp_path: Path
) -> None:
    """D3, day by day, with the worker's own upkeep: what opens is younger than thirty days; what is older has
    no key in kms and none in the target, and its sealed slots are gone from there too."""

    async def scenario() -> None:
        target = DirectoryTarget(tmp_path / "target")
        made: dict[str, tuple[int, bytes, bytes]] = {}
        async with opened(dsn, tmp_path) as scene:
            service, keepers = worker(scene, target, tmp_path)
            for day in range(70):
                given = await keepers.open()
                await write_parents(target, given)
                backup = f"{day:032x}"
                part = await keepers.kms_slots(given.week, backup, 0)
                await target.put(kms_path(given.week.hex(), backup, 0), part.sealed)
                made[backup] = day, given.week, part.sealed
                scene.clock.advance(DAY)
                await service._end_weeks()
                live = await still_open(scene, target, given.keyring, made)
                assert min(live) > day + 1 - 30
                assert max(live) == day
            # A week is used for seven days and lives for thirty: a backup opens for 24 to 30 days.
            assert len(live) in range(24, 31)
            assert len(await list_weeks(target)) == len(await keepers.expire([])) <= 5
            names = [name.split("/")[3] async for name, _ in target.list("weeks") if "/kms/" in name]
            assert sorted(names) == [f"{day:032x}.0" for day in live]

    asyncio.run(scenario())


async def still_open(
    scene: Scene, target: DirectoryTarget, ring: bytes, made: dict[str, tuple[int, bytes, bytes]]
) -> list[int]:
    """Return the days whose sealed slots open for a thief who has kept them all, with the keys left."""
    parents = open_keyring(decode(ring, Keyring), [scene.root])
    left = {}
    for week in await list_weeks(target):
        with contextlib.suppress(NotFoundError, IntegrityError):
            left[week] = await read_week(target, week, parents.weeks)
    known = {week for week, _, _ in (await scene.keys.expire(WORKER, api.BackupExpire())).weeks}
    assert known == {bytes.fromhex(week) for week in left}
    days = []
    for backup, (day, _, sealed) in made.items():
        for weekly in left.values():
            with contextlib.suppress(IntegrityError):
                plain = open_object(slots_parent(weekly), "kms slots", f"{backup}.0", sealed)
                assert scene.secret in plain
                days.append(day)
    return days
