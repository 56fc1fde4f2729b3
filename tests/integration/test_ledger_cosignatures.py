"""Cosignatures of witnesses and the state of the key store, over the real channel (A3, K6)."""

import asyncio
from pathlib import Path

import pytest
from tests.ledger_sample import ORIGIN, World, served, signed

from postkeep.base.errors import ConflictError, IntegrityError, InvalidInputError, RefusedError
from postkeep.crypto import note
from postkeep.model.audit import AuditEvent, EventName
from postkeep.services.ledger import api
from postkeep.services.ledger.client import LedgerClient

LINE = note.signature_line("witness.example/w1", b"\0\0\0\1", b"some octets").decode()
OTHER = note.signature_line("witness.example/w2", b"\0\0\0\2", b"some octets").decode()


async def grown(world: World, number: int) -> bytes:
    """Have one more event and its published checkpoint; return the note."""
    kms = LedgerClient(world.link("kms", f"kms.{number:04d}"))
    await kms.append(api.Append([AuditEvent(EventName.KEY_CREATE, 0, "", 1, state=number)]))
    head = await kms.head()
    made = signed(head.size, head.root)
    await kms.publish_checkpoint(api.PublishCheckpoint(made))
    return made


def steward(world: World) -> tuple[LedgerClient, bytes]:
    link, ticket = world.staff_link("steward", "steward.aa")
    return LedgerClient(link), ticket


def test_a_cosignature_stands_under_the_checkpoint_that_it_is_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as world:
            client, ticket = steward(world)
            first = await grown(world, 1)
            await client.add_cosignatures(api.AddCosignatures(1, [LINE]), ticket=ticket)
            shown = (await client.checkpoint(ticket=ticket)).note
            assert shown == first + LINE.encode()
            # The same line changes nothing, another one joins it, and kms repeats itself after a restart.
            await client.add_cosignatures(api.AddCosignatures(1, [LINE, OTHER]), ticket=ticket)
            kms = LedgerClient(world.link("kms", "kms.ffff"))
            await kms.publish_checkpoint(api.PublishCheckpoint(first))
            shown = (await client.checkpoint(ticket=ticket)).note
            assert shown == first + LINE.encode() + OTHER.encode()
            # Late: the log has moved on. The line is kept with its own checkpoint.
            second = await grown(world, 2)
            third = await grown(world, 3)
            await client.add_cosignatures(api.AddCosignatures(2, [LINE]), ticket=ticket)
            log = tmp_path / "ledger" / "log"
            assert (log / "checkpoint").read_bytes() == third
            assert (log / "checkpoint.witnessed").read_bytes() == second + LINE.encode()

    asyncio.run(scenario())


def test_cosignatures_are_refused_where_they_belong_to_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as world:
            client, ticket = steward(world)
            await grown(world, 1)
            own = note.signature_line(ORIGIN, b"\0\0\0\1", b"some octets").decode()
            for size, line, error in (
                (7, LINE, ConflictError),
                (1, own, InvalidInputError),
                (1, "no line", IntegrityError),
                (1, LINE + LINE, IntegrityError),
            ):
                with pytest.raises(error):
                    await client.add_cosignatures(api.AddCosignatures(size, [line]), ticket=ticket)
            with pytest.raises(InvalidInputError):
                await client.add_cosignatures(api.AddCosignatures(1, [LINE] * 33), ticket=ticket)
            with pytest.raises(RefusedError):
                await LedgerClient(world.link("imap", "imap-0.aa")).add_cosignatures(
                    api.AddCosignatures(1, [LINE])
                )

    asyncio.run(scenario())


def test_the_log_tells_how_far_the_key_store_had_come_and_believes_nobody_but_kms(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as world:
            kms = LedgerClient(world.link("kms", "kms.aaaa"))
            assert await kms.last_key_state() == api.KeyState(0, -1)
            states = [4, 9, 7]
            batch = [AuditEvent(EventName.KEY_CREATE, 0, "", n, state=s) for n, s in enumerate(states, 1)]
            await kms.append(api.Append(batch))
            liar = LedgerClient(world.link("imap", "imap-0.aa"))
            await liar.append(api.Append([AuditEvent(EventName.KEY_SHRED, 0, "", 1, state=99)]))
            assert await kms.last_key_state() == api.KeyState(9, 1)
            with pytest.raises(RefusedError):
                await liar.last_key_state()
            await world.stop()
            await world.start()
            again = LedgerClient(world.link("kms", "kms.bbbb"))
            assert await again.last_key_state() == api.KeyState(9, 1)

    asyncio.run(scenario())
