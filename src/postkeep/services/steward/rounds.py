"""The steward's rounds: on a timer it has the vault tidy up, with an operation ticket for just that."""

import asyncio
from typing import Final

import structlog

from postkeep.base.errors import PostkeepError
from postkeep.services.authority.api import IssueOperation
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.vault.api import Maintain
from postkeep.services.vault.client import VaultClient

FIRST_SECONDS: Final = 60.0
"""After a start: what a crash left is tidied soon, but not while everything starts."""
EVERY_SECONDS: Final = 600.0
"""Between rounds: dead bytes cost disk, not correctness."""

_log = structlog.get_logger(__name__)


async def make_rounds(authority: AuthorityClient, vault: VaultClient) -> None:
    """Have the vault find orphans and compact packs, again and again, until cancelled."""
    pause = FIRST_SECONDS
    while True:
        await asyncio.sleep(pause)
        pause = EVERY_SECONDS
        try:
            operation = await authority.issue_operation(IssueOperation("maintain"))
            done = await vault.maintain(Maintain(), ticket=operation.ticket)
        except PostkeepError as error:
            _log.warning("upkeep_failed", code=error.code)
            continue
        _log.info(
            "upkeep_done",
            orphan_bytes=done.orphan_bytes,
            packs_compacted=done.packs_compacted,
            bytes_reclaimed=done.bytes_reclaimed,
            slots_erased=done.slots_erased,
        )
