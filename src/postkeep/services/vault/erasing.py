"""Overwriting the wrapped keys of messages that are gone.

The transaction that drops a message's row notes its slot in `slot_erasures`. Then the slot is overwritten,
durably, and the note is dropped. Only after that is anyone told. A crash in between is finished at the next
start, before anything else, and by upkeep.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from postkeep.services.vault.groups import Stores
from postkeep.stores.postgres import database_errors

PENDING_BATCH: Final = 10_000  # slots in one round of finishing

_PENDING: Final = "SELECT tenant, slot FROM slot_erasures LIMIT $1"
_ERASED: Final = """
DELETE FROM slot_erasures e USING unnest($1::bytea[], $2::bigint[]) AS d (tenant, slot)
WHERE e.tenant = d.tenant AND e.slot = d.slot
"""


async def erase(stores: Stores, tenant: bytes, slots: Sequence[int]) -> None:
    """Overwrite slots whose rows have gone; when this returns nothing on the disk holds their keys."""
    if slots:
        await _erase(stores, [tenant] * len(slots), slots)


async def finish_erasures(stores: Stores) -> int:
    """Overwrite what a crash or an outage has left to do; return how many slots that were."""
    count = 0
    while True:
        with database_errors():
            rows = await stores.pool.fetch(_PENDING, PENDING_BATCH)
        if not rows:
            return count
        await _erase(stores, [row[0] for row in rows], [row[1] for row in rows])
        count += len(rows)


async def _erase(stores: Stores, tenants: Sequence[bytes], slots: Sequence[int]) -> None:
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(stores.threads, stores.slots.erase_many, slots)
    with database_errors():
        await stores.pool.execute(_ERASED, tenants, slots)
