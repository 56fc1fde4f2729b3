"""The same command sent again is done once; one that failed is done anew."""

import asyncio

import pytest

from postkeep.base.errors import UnavailableError
from postkeep.base.ids import new_id
from postkeep.services.steward import repeats
from postkeep.services.steward.repeats import KEPT_SECONDS, Repeats


def test_a_command_is_done_once_for_each_token_whoever_still_waits() -> None:
    now = [0.0]
    done: list[str] = []

    async def scenario() -> None:
        commands = Repeats(lambda: now[0])
        go = asyncio.Event()

        async def work() -> int:
            await go.wait()
            done.append("once")
            return len(done)

        token = new_id()
        lost = asyncio.create_task(commands.once("user_create", token, work))
        await asyncio.sleep(0)
        lost.cancel()
        again = asyncio.create_task(commands.once("user_create", token, work))
        await asyncio.sleep(0)
        go.set()
        assert await again == 1
        assert await commands.once("user_create", token, work) == 1
        assert await commands.once("user_delete", token, work) == 2
        assert await commands.once("user_create", new_id(), work) == 3
        assert await commands.once("user_create", b"", work) == 4
        now[0] = KEPT_SECONDS
        assert await commands.once("user_create", token, work) == 5

    asyncio.run(scenario())


def test_what_failed_is_done_again() -> None:
    async def scenario() -> None:
        commands, token = Repeats(), new_id()

        async def broken() -> None:
            raise UnavailableError

        async def well() -> str:
            return "done"

        with pytest.raises(UnavailableError):
            await commands.once("tenant_create", token, broken)
        assert await commands.once("tenant_create", token, well) == "done"

    asyncio.run(scenario())


def test_no_more_answers_are_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "KEPT_MAX", 2)

    async def scenario() -> None:
        commands = Repeats()

        async def work() -> str:
            return "x"

        for _ in range(10):
            await commands.once("queue_act", new_id(), work)
        assert len(commands._known) <= 3

    asyncio.run(scenario())
