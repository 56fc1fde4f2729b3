"""What the answers to readers of sealed data have in common.

The ledger has a read before its answer goes out; bytes of packs are looked up anew where compaction moves
them between the look-up and the read; and a mailbox that is not there is told apart from one that is empty.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from postkeep.base.errors import NotFoundError, UnavailableError
from postkeep.model.audit import EventName
from postkeep.model.categories import Category
from postkeep.services.ledger.trail import Trail
from postkeep.services.vault.events import event_fields
from postkeep.stores.postgres import Pool, database_errors
from postkeep.stores.vault_messages import read_mailbox
from postkeep.tickets.clear import Grant

C = TypeVar("C", bound=Sequence[Any])
R = TypeVar("R")

MOVED_TRIES_MAX: Final = 5  # a body that compaction moves under the reader is looked up again


def begin_record(  # noqa: PLR0917 - who reads what, where
    trail: Trail,
    grant: Grant,
    principal: bytes,
    mailbox: bytes,
    objects: Sequence[bytes] | bytes,
    category: Category,
    *,
    messages: int | None = None,
) -> asyncio.Task[int]:
    """Begin to tell the ledger of a read; `messages` counts those that the objects are of, where an object
    is more than one. The answer waits for the task."""
    fields = event_fields(
        grant, grant.tenant, objects, principal=principal, mailbox=mailbox, category=category
    )
    if messages is not None:
        fields["count"] = messages
    return asyncio.create_task(trail.record(EventName.READ, **fields))


async def read_chosen(
    choose: Callable[[], Awaitable[C]],
    record: Callable[[C], asyncio.Task[int]],
    read: Callable[[C], Awaitable[R]],
) -> tuple[C, R] | None:
    """Choose what is read, begin to tell the ledger, read; None where nothing is chosen.

    `read` raises FileNotFoundError where compaction has moved something meanwhile: it is chosen anew then.
    Nothing is returned before the ledger has it. Raises UnavailableError where things keep moving.
    """
    recorded: asyncio.Task[int] | None = None
    try:
        for _ in range(MOVED_TRIES_MAX):
            chosen = await choose()
            if not chosen:
                return None
            if recorded is None:
                recorded = record(chosen)
            try:
                return chosen, await read(chosen)
            except FileNotFoundError:
                continue  # compaction has moved it between the look-up and the read
    finally:
        if recorded is not None:
            await recorded
    raise UnavailableError("a body keeps moving")


async def need_mailbox(pool: Pool, tenant: bytes, principal: bytes, mailbox: bytes) -> None:
    """Raise NotFoundError where this principal has no such mailbox."""
    with database_errors():
        async with pool.acquire() as connection:
            if await read_mailbox(connection, tenant, principal, mailbox) is None:
                raise NotFoundError("no such mailbox")
