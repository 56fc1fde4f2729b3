"""What was made of messages and must go with them: pages of summaries.

Whatever removes a message calls this in the same transaction, and overwrites the slots it is given before it
tells anyone: then no page on the disk that shows the message can be opened any more.
"""

from collections.abc import Iterable
from typing import NamedTuple

from postkeep.services.vault.pages_api import PAGE_SHIFT, PageKind
from postkeep.stores.postgres import Connection
from postkeep.stores.vault_changes import erase_later, release_bodies
from postkeep.stores.vault_pages import drop_mailbox_pages, drop_pages, drop_some_pages


class Derived(NamedTuple):
    """What was dropped: slots to be overwritten, and bodies that lose so many references."""

    slots: list[int]
    bodies: dict[bytes, int]


async def drop_derived(connection: Connection, tenant: bytes, mailbox: bytes, uids: Iterable[int]) -> Derived:
    """Drop the rows of what shows any of these messages; under the lock of their mailbox."""
    blocks = sorted({uid >> PAGE_SHIFT for uid in uids})
    slots = await drop_pages(connection, tenant, mailbox, list(PageKind), blocks)
    return Derived(slots, {})


async def drop_all_derived(connection: Connection, tenant: bytes, mailbox: bytes) -> Derived:
    """Drop the rows of everything that was made of a mailbox's messages."""
    return Derived(await drop_mailbox_pages(connection, tenant, mailbox), {})


async def drop_some_derived(connection: Connection, tenant: bytes, limit: int) -> Derived:
    """Drop some rows of what was made of a tenant's messages, none if there are none left."""
    return Derived(await drop_some_pages(connection, tenant, limit), {})


async def let_go(connection: Connection, tenant: bytes, derived: Derived, now_ms: int) -> list[int]:
    """Note the slots for overwriting and give the bodies back; return the slots, to be overwritten when the
    transaction stands."""
    if derived.slots:
        await erase_later(connection, tenant, derived.slots)
    if derived.bodies:
        await release_bodies(connection, tenant, derived.bodies, now_ms)
    return derived.slots
