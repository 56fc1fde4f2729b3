"""What was made of messages and must go with them: pages of summaries, segments of search indexes.

Whatever removes a message calls this in the same transaction, and overwrites the slots it is given before it
tells anyone: then no page or segment on the disk that shows the message can be opened any more.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from asyncpg import Record

from postkeep.services.vault.pages_api import PAGE_SHIFT, PageKind
from postkeep.services.vault.search_api import BLOCK_SHIFT
from postkeep.stores.postgres import Connection
from postkeep.stores.vault_changes import erase_later, release_bodies
from postkeep.stores.vault_pages import drop_mailbox_pages, drop_pages, drop_some_pages
from postkeep.stores.vault_segments import delete_mailbox_segments, delete_segments, delete_some_segments


class Derived(NamedTuple):
    """What was dropped: slots to be overwritten, and bodies that lose so many references."""

    slots: list[int]
    bodies: dict[bytes, int]


async def drop_derived(connection: Connection, tenant: bytes, mailbox: bytes, uids: Iterable[int]) -> Derived:
    """Drop the rows of what shows any of these messages; under the lock of their mailbox."""
    pages = {uid >> PAGE_SHIFT for uid in uids}
    slots = await drop_pages(connection, tenant, mailbox, list(PageKind), sorted(pages))
    blocks = {page >> BLOCK_SHIFT - PAGE_SHIFT for page in pages}
    return segments_derived(await delete_segments(connection, tenant, mailbox, sorted(blocks)), slots)


async def drop_all_derived(connection: Connection, tenant: bytes, mailbox: bytes) -> Derived:
    """Drop the rows of everything that was made of a mailbox's messages."""
    slots = await drop_mailbox_pages(connection, tenant, mailbox)
    return segments_derived(await delete_mailbox_segments(connection, tenant, mailbox), slots)


async def drop_some_derived(connection: Connection, tenant: bytes, limit: int) -> Derived:
    """Drop some rows of what was made of a tenant's messages, none if there are none left."""
    slots = await drop_some_pages(connection, tenant, limit)
    return segments_derived(await delete_some_segments(connection, tenant, limit), slots)


def segments_derived(segments: Sequence[Record], slots: Sequence[int] = ()) -> Derived:
    """Return what deleted segments (body, slot) leave to be let go, each a body of its own, beside slots."""
    return Derived([*slots, *(row["slot"] for row in segments)], {row["body"]: 1 for row in segments})


async def let_go(connection: Connection, tenant: bytes, derived: Derived, now_ms: int) -> list[int]:
    """Note the slots for overwriting and give the bodies back; return the slots, to be overwritten when the
    transaction stands."""
    if derived.slots:
        await erase_later(connection, tenant, derived.slots)
    if derived.bodies:
        await release_bodies(connection, tenant, derived.bodies, now_ms)
    return derived.slots
