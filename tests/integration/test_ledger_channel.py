"""The ledger over the real channel: trails of several modules, retries, refusals, checkpoints."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.ledger_sample import ORIGIN, PUBLIC_KEY, World, events, served, signed

from postkeep.base.clock import FixedClock, SystemClock
from postkeep.base.errors import (
    ConflictError,
    IntegrityError,
    InvalidInputError,
    LimitError,
    RefusedError,
    UnavailableError,
)
from postkeep.crypto import merkle, note
from postkeep.model.audit import AuditEvent, EventName
from postkeep.services.ledger import api, trail
from postkeep.services.ledger.client import LedgerClient
from postkeep.services.ledger.trail import Trail
from postkeep.tickets.channel import Link


def decoded(entries: list[bytes]) -> list[AuditEvent]:
    return [msgspec.json.decode(entry, type=AuditEvent) for entry in entries]


async def until(reached: Callable[[], bool]) -> None:
    for _ in range(2000):
        if reached():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it did not come to pass")


def test_what_a_trail_records_is_in_the_ledger_under_the_instance_that_the_channel_proved(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as world:
            ours = Trail("a name of its own choosing", world.link("imap", "imap-1.aa"), FixedClock())
            for _ in range(5):
                ours.note(EventName.READ, tenant="7f", count=3)
            index = await ours.record(EventName.SIGN_IN, session="c1")
            assert index == 5
            await ours.close()
            entries = decoded(world.log.read(0, 10))
            assert [e.number for e in entries] == [1, 2, 3, 4, 5, 6]
            assert {e.source for e in entries} == {"imap-1.aa"}
            assert entries[5] == AuditEvent(
                EventName.SIGN_IN, 1_800_000_000_000, "imap-1.aa", 6, session="c1"
            )

    asyncio.run(scenario())


def test_many_records_at_once_get_their_own_indexes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as world:
            trails = [Trail("", world.link("imap", f"imap-{n}.aa"), SystemClock()) for n in range(3)]
            indexes = await asyncio.gather(
                *(t.record(EventName.READ, count=n) for n in range(400) for t in trails)
            )
            assert sorted(indexes) == list(range(1200))
            entries = decoded(world.log.read(0, 1200))
            for place, index in enumerate(indexes):
                assert entries[index].count == place // 3
            for t in trails:
                await t.close()

    asyncio.run(scenario())


def test_a_ledger_that_is_away_refuses_records_within_a_second_and_loses_no_event(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as world:
            ours = Trail("", world.link("kms", "kms-1.aa"), SystemClock())
            await ours.record(EventName.KEY_RELEASE, count=1)
            await world.stop()
            loop = asyncio.get_running_loop()
            began = loop.time()
            ours.note(EventName.READ, count=2)
            with pytest.raises(UnavailableError):
                await ours.record(EventName.KEY_RELEASE, count=3)
            assert loop.time() - began < 1.2
            await world.start()
            assert await ours.record(EventName.KEY_RELEASE, count=4) == 3
            assert [e.count for e in decoded(world.log.read(0, 9))] == [1, 2, 3, 4]
            await ours.close()

    asyncio.run(scenario())


class BreakingLink:
    """A real link whose connection breaks after the ledger has done its work, before the answer arrives."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.breaks = 2

    async def call(self, *args: object, **kwargs: object) -> object:
        answer: object = await self.link.call(*args, **kwargs)  # type: ignore[arg-type]
        if self.breaks:
            self.breaks -= 1
            raise UnavailableError("the connection broke")
        return answer


@pytest.mark.parametrize("restart", ["ledger lives on", "ledger starts again"])
def test_a_batch_whose_answer_was_lost_is_not_written_twice(tmp_path: Path, restart: str) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as world:
            breaking = BreakingLink(world.link("vault", "vault-1.aa"))
            ours = Trail("", breaking, SystemClock())  # type: ignore[arg-type]
            for n in range(3):
                ours.note(EventName.DEPOSIT, count=n)
            if restart == "ledger starts again":
                await until(lambda: world.log.size == 3)
                await world.stop()
                await world.start()
            assert await ours.record(EventName.DEPOSIT, count=3) == 3
            assert [e.number for e in decoded(world.log.read(0, 9))] == [1, 2, 3, 4]
            await ours.close()

    asyncio.run(scenario())


def test_a_gap_in_the_numbers_is_told_by_the_ledger_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as world:
            client = LedgerClient(world.link("mx", "mx-1.aa"))
            batch = [*events(2), *events(1, first=5), *events(1, first=9)]
            first = await client.append(api.Append(batch))
            assert (first.first, first.count) == (2, 4)
            told = decoded(world.log.read(0, 9))
            assert [(e.source, e.number) for e in told] == [
                ("ledger-1.zz", 1),
                ("ledger-1.zz", 2),
                ("mx-1.aa", 1),
                ("mx-1.aa", 2),
                ("mx-1.aa", 5),
                ("mx-1.aa", 9),
            ]
            assert [(e.code, e.actor, e.count, e.note) for e in told[:2]] == [
                ("lost_events", "mx-1.aa", 2, "3-4"),
                ("lost_events", "mx-1.aa", 3, "6-8"),
            ]

    asyncio.run(scenario())


def test_events_dropped_by_a_full_spool_show_as_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as world:
            await world.stop()
            ours = Trail("", world.link("mx", "mx-1.aa"), SystemClock())
            for n in range(8):
                ours.note(EventName.DEPOSIT, count=n)
            assert (ours.pending, ours.dropped) == (5, 3)
            with pytest.raises(UnavailableError):
                await ours.record(EventName.DEPOSIT)
            await world.start()
            await until(lambda: ours.pending == 0)
            await ours.record(EventName.DEPOSIT)
            told = decoded(world.log.read(0, 9))
            assert [e.number for e in told if e.source == "mx-1.aa"] == [1, 2, 3, 4, 5, 9]
            assert [(e.code, e.note) for e in told if e.source == "ledger-1.zz"] == [("lost_events", "6-8")]
            await ours.close()

    monkeypatch.setattr(trail, "SPOOL_EVENTS_MAX", 5)
    asyncio.run(scenario())


def test_numbers_are_not_used_twice_and_a_batch_is_well_formed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as world:
            client = LedgerClient(world.link("mx", "mx-1.aa"))
            await client.append(api.Append(events(3)))
            with pytest.raises(ConflictError):
                await client.append(api.Append(events(1, first=2)))
            with pytest.raises(ConflictError):
                await client.append(api.Append(events(3, first=3)))
            with pytest.raises(InvalidInputError):
                await client.append(api.Append([]))
            with pytest.raises(InvalidInputError):
                await client.append(api.Append([*events(1, first=5), *events(1, first=4)]))
            with pytest.raises(LimitError):
                await client.append(api.Append(events(4097, first=4)))
            long = msgspec.structs.replace(events(1, first=4)[0], note="x" * 66_000)
            with pytest.raises(InvalidInputError):
                await client.append(api.Append([long]))
            assert world.log.size == 3
            assert (await client.append(api.Append(events(1, first=4)))).first == 3

    asyncio.run(scenario())


def test_a_trail_goes_on_after_a_batch_that_the_ledger_does_not_take(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as world:
            await LedgerClient(world.link("mx", "mx-1.aa")).append(api.Append(events(2)))
            ours = Trail("", world.link("mx", "mx-1.aa"), SystemClock())
            with pytest.raises(UnavailableError, match="does not take"):
                await ours.record(EventName.DEPOSIT, count=1, note="its number was used before")
            with pytest.raises(UnavailableError, match="does not take"):
                await ours.record(EventName.DEPOSIT, count=2, note="and so was this one's")
            assert ours.dropped == 2
            assert await ours.record(EventName.DEPOSIT, count=3) == 2
            with pytest.raises(InvalidInputError):
                ours.note(EventName.DEPOSIT, note="x" * 8001)
            await ours.close()
            ours.note(EventName.DEPOSIT)
            assert ours.dropped == 3

    asyncio.run(scenario())


def test_a_module_calls_only_what_its_ticket_lists_and_only_for_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as world:
            client = LedgerClient(world.link("imap", "imap-1.aa"))
            for refused in (
                client.head(),
                client.entries(api.Entries(0, 1)),
                client.publish_checkpoint(api.PublishCheckpoint(b"")),
            ):
                with pytest.raises(RefusedError):
                    await refused
            assert [r.method for r in world.refusals] == [
                "ledger.head",
                "ledger.entries",
                "ledger.publish_checkpoint",
            ]

    asyncio.run(scenario())


async def _filled(world: World, count: int) -> tuple[LedgerClient, bytes]:
    await LedgerClient(world.link("mx", "mx-1.aa")).append(api.Append(events(count)))
    kms = LedgerClient(world.link("kms", "kms-1.aa"))
    head = await kms.head()
    assert (head.origin, head.size) == (ORIGIN, count)
    return kms, head.root


def test_a_checkpoint_is_published_only_if_it_fits_and_moves_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as world:
            kms, root = await _filled(world, 300)
            small_root = await world.journal.run(world.log.root, 256)
            good = signed(300, root)
            await kms.publish_checkpoint(api.PublishCheckpoint(good))
            published = (tmp_path / "ledger/log/checkpoint").read_bytes()
            assert note.open_checkpoint(published, ORIGIN, PUBLIC_KEY).size == 300
            foreign = Ed25519PrivateKey.generate()
            for bad, error in (
                (signed(300, bytes(32)), ConflictError),
                (signed(256, small_root), ConflictError),
                (signed(301, root), InvalidInputError),
                (signed(300, root, key=foreign), IntegrityError),
                (signed(300, root, origin="another.example/log"), IntegrityError),
                (b"no note", IntegrityError),
            ):
                with pytest.raises(error):
                    await kms.publish_checkpoint(api.PublishCheckpoint(bad))
            assert (tmp_path / "ledger/log/checkpoint").read_bytes() == good
            world.anchors.ledger = b""
            with pytest.raises(UnavailableError):
                await kms.publish_checkpoint(api.PublishCheckpoint(good))

    asyncio.run(scenario())


def test_consistency_is_proved_over_the_channel(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as world:
            kms, root = await _filled(world, 700)
            old_root = await world.journal.run(world.log.root, 300)
            proof = await kms.consistency(api.Consistency(300, 700))
            merkle.verify_consistency(300, old_root, 700, root, proof.hashes)
            with pytest.raises(InvalidInputError):
                await kms.consistency(api.Consistency(300, 701))
            with pytest.raises(InvalidInputError):
                await kms.consistency(api.Consistency(4, 3))

    asyncio.run(scenario())
