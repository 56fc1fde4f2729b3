"""What a client hears while a command runs long, and the turns that others get meanwhile (RFC 9585)."""

import asyncio
from collections.abc import Generator
from typing import Final, TypeVar

from postkeep.faces.imap.session import Session
from postkeep.faces.imap.texts import Text
from postkeep.protocols.imap.strings import render_string

INTERVAL_SECONDS: Final = 10.0
"""Between two notices: RFC 9585 section 4 wants them no more often than that."""

T = TypeVar("T")


class Progress:
    """How far one command has come."""

    def __init__(self, session: Session, tag: bytes, goal: int) -> None:
        self._session = session
        # a `]` would end the response code too early; NIL stands for a tag that can't be named (section 4)
        self._tag = b"NIL" if b"]" in tag else render_string(tag)
        self._goal = goal
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + INTERVAL_SECONDS

    async def at(self, done: int) -> None:
        """Let others have their turn; tell the client how far the command is if it has waited long."""
        now = self._loop.time()
        if now < self._due:
            await asyncio.sleep(0)
            return
        self._due = now + INTERVAL_SECONDS
        goal = f"{self._goal}" if self._goal else "NIL"
        code = f"INPROGRESS ({self._tag.decode('ascii')} {min(done, self._goal)} {goal})"
        await self._session.send(self._session.say(b"*", "OK", Text.STILL_RUNNING, code))


async def in_turns(steps: Generator[None, None, T], progress: Progress, done: int) -> T:
    """Run a long computation to its end; others get their turn wherever it yields."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
        await progress.at(done)
