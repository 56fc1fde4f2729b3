"""Telling other vaults on the same database what has changed, by NOTIFY, and hearing it from them.

Changes of a short while become one notice, sent after their transactions. A notice that is lost costs nothing
but time: watchers look again by themselves. A database that one vault has for itself needs none of this.
"""

import asyncio
import secrets
from typing import Final

import msgspec
import structlog

from postkeep.base.errors import PostkeepError
from postkeep.services.vault.watching import MailboxChanged, Watching
from postkeep.stores.postgres import Connection, Pool, database_errors

CHANNEL: Final = "vault_changes"
GATHER_SECONDS: Final = 0.02  # changes that come within it become one notice
CHANGES_MAX: Final = 50  # changes in one notice: PostgreSQL takes 8,000 octets
RETRY_SECONDS: Final = 1.0  # pause before listening again after the connection broke
PROBE_SECONDS: Final = 5.0  # how often a silent connection is asked whether it lives

_log = structlog.get_logger(__name__)


class Notice(msgspec.Struct, array_like=True, frozen=True):
    """What crosses: identifiers in hexadecimal, no more than the rows show anyway."""

    sender: str
    changes: list[tuple[str, str, str, int]] = []
    queue: bool = False


class Notices:
    """One vault's voice and ear."""

    def __init__(self, pool: Pool, watching: Watching) -> None:
        self._pool = pool
        self._watching = watching
        self._sender = secrets.token_hex(8)
        self._changes: dict[tuple[bytes, bytes, bytes], int] = {}
        self._queue = False
        self._something = asyncio.Event()
        self.listening = asyncio.Event()
        """Set while notices of others are heard."""
        watching.tell_others(self._note_change, self._note_queue)

    async def run(self) -> None:
        """Send and hear until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send())
            tasks.create_task(self._listen())

    def _note_change(self, change: MailboxChanged) -> None:
        tenant, principal, mailbox, modseq = change
        self._changes[tenant, principal, mailbox] = modseq
        self._something.set()

    def _note_queue(self) -> None:
        self._queue = True
        self._something.set()

    async def _send(self) -> None:
        while True:
            await self._something.wait()
            await asyncio.sleep(GATHER_SECONDS)
            keys = list(self._changes)[:CHANGES_MAX]
            changes = [(*(part.hex() for part in key), self._changes.pop(key)) for key in keys]
            notice = msgspec.json.encode((self._sender, changes, self._queue)).decode()
            self._queue = False
            if not self._changes:
                self._something.clear()
            try:
                with database_errors():
                    await self._pool.execute("SELECT pg_notify($1, $2)", CHANNEL, notice)
            except PostkeepError as exc:
                _log.warning("vault_notice_lost", code=exc.code)

    async def _listen(self) -> None:
        while True:
            try:
                with database_errors():
                    async with self._pool.acquire() as connection:
                        await self._hear(connection)
            except PostkeepError as exc:
                self.listening.clear()
                _log.warning("vault_notices_unheard", code=exc.code)
                await asyncio.sleep(RETRY_SECONDS)

    async def _hear(self, connection: Connection) -> None:
        await connection.add_listener(CHANNEL, self._heard)
        self.listening.set()
        try:
            while True:
                await asyncio.sleep(PROBE_SECONDS)
                await connection.execute("SELECT 1")
        finally:
            if not connection.is_closed():
                await connection.remove_listener(CHANNEL, self._heard)

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        try:
            notice = msgspec.json.decode(str(payload), type=Notice)
            changes = [
                (bytes.fromhex(tenant), bytes.fromhex(principal), bytes.fromhex(mailbox), modseq)
                for tenant, principal, mailbox, modseq in notice.changes
            ]
        except (msgspec.MsgspecError, ValueError):
            _log.warning("vault_notice_unreadable")
            return
        if notice.sender != self._sender:
            self._watching.wake(changes)
            if notice.queue:
                self._watching.wake_queue()
