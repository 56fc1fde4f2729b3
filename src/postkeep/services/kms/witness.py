"""The key store's age: kms does not start from an older copy than the one it last used.

Every change (keys made, keys destroyed) counts up one number, kept in three places: the database, the file of
slots, and a small file in the state directory. From an older copy of one of them, as a restored dump,
destroyed keys would come back and keys made since would be missing. Key events in the ledger carry the number
too: kms does not start from a store that the ledger has seen further on.

A change: the file says `begun n`; the slots and the rows change and say n; the file says `done n`. A crash in
between leaves `begun n` and places at n or n-1: that is taken up as n. At `done n` every place must say n.
Without the file (lost, or removed by the operator who has restored a copy on purpose) rows and slots must
agree with each other; the node says so in its log and makes the file anew.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from postkeep.base.errors import IntegrityError
from postkeep.base.files import write_file
from postkeep.stores.kms_keys import KmsKeyRows
from postkeep.stores.slots import ErasableSlots

FILE_NAME: Final = "key-store.state"
ACCEPTED_NAME: Final = "key-store.accepted"
"""The operator's word that an older store is meant: the state that the ledger knows of. It only asks."""
_CONTENT: Final = re.compile(rb"(begun|done) (\d{1,18})\n\Z")
_CONTENT_BYTES_MAX: Final = 64

_log = structlog.get_logger(__name__)


class StoreWitness:
    """Counts the changes of the key store. Changes come one after the other."""

    def __init__(self, directory: Path, rows: KmsKeyRows, slots: ErasableSlots) -> None:
        self._path = directory / FILE_NAME
        self._rows = rows
        self._slots = slots
        self.state = 0
        self._level_now = False
        """Whether the places may differ: a change could not be counted in all of them."""

    async def check(self) -> None:
        """Compare the three places, and level them. Call it once, before the store is used.

        IntegrityError (`key_store`) with a text for the operator if one of them is older than it may be.
        """
        rows, slots = await self._rows.state(), self._slots.state
        found = await asyncio.to_thread(self._read)
        if found is None:
            if rows != slots:
                raise self._older(rows, slots, max(rows, slots))
            if rows:
                _log.warning("key_store_witness_missing", path=str(self._path), state=rows)
            self.state = rows
        else:
            done, self.state = found
            if any(not self.state - (not done) <= place <= self.state for place in (rows, slots)):
                raise self._older(rows, slots, self.state)
        await self._level()

    async def check_told(self, told: int) -> bool:
        """Compare the store with the last state that the ledger heard of. Call it once, before it serves.

        True if the store is older, and meant, as the operator has said for exactly this state: it is to be
        held (`restoration`) and to `go_on_from` there. IntegrityError (`key_store`) where nobody has said so.
        """
        if told <= self.state:
            return False
        if await asyncio.to_thread(self._accepted) != told:
            text = (
                f"The key store is at change {self.state}, but the ledger knows of change {told}: this is an "
                "older copy. Keys destroyed since would come back, and keys made since are missing. Put back "
                "the newest copy. To go on with a copy that you have restored on purpose: stop the node, run "
                f"postkeep key accept-restored {told}, and start again: no key is given until that is "
                "approved, and the ledger will say so."
            )
            raise IntegrityError(text, code="key_store", public_text=text)
        return True

    async def go_on_from(self, told: int) -> None:
        """Count on from what the ledger knows, so that no number is told twice."""
        self.state = told
        await self._level()

    def forget_accepted(self) -> None:
        """Drop the operator's word, once the ledger holds that it was followed."""
        (self._path.parent / ACCEPTED_NAME).unlink(missing_ok=True)

    def _accepted(self) -> int:
        try:
            with (self._path.parent / ACCEPTED_NAME).open("rb") as file:
                return int(file.read(_CONTENT_BYTES_MAX))
        except (FileNotFoundError, ValueError):
            return -1

    @asynccontextmanager
    async def change(self) -> AsyncIterator[None]:
        """Hold this around a change of the store."""
        if self._level_now:
            await self._level()
        await asyncio.to_thread(self._write, "begun", self.state + 1)
        yield
        self.state += 1
        await self._level()

    async def _level(self) -> None:
        self._level_now = True
        await asyncio.to_thread(self._slots.set_state, self.state)
        await self._rows.set_state(self.state)
        await asyncio.to_thread(self._write, "done", self.state)
        self._level_now = False

    def _read(self) -> tuple[bool, int] | None:
        try:
            with self._path.open("rb") as file:
                content = file.read(_CONTENT_BYTES_MAX)
        except FileNotFoundError:
            return None
        match = _CONTENT.match(content)
        if match is None:
            text = f"{self._path} is damaged"
            raise IntegrityError(text, code="key_store", public_text=f"{text}. Put back a good copy.")
        return match[1] == b"done", int(match[2])

    def _write(self, word: str, state: int) -> None:
        write_file(self._path, f"{word} {state}\n".encode(), 0o600)

    def _older(self, rows: int, slots: int, witnessed: int) -> IntegrityError:
        detail = f"key store: database at {rows}, slots at {slots}, last used at {witnessed}"
        return IntegrityError(
            detail,
            code="key_store",
            public_text=(
                "The key store is not the one that was last used here: its database is at change "
                f"{rows}, its slots ({self._slots.path}) are at {slots}, the last change was {witnessed}. "
                "Keys destroyed since would come back, and keys made since are missing. Put back the newest "
                "copy of both. To go on with copies that you have restored on purpose, of one and the same "
                f"moment, remove {self._path} and start again."
            ),
        )
