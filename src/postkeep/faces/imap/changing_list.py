"""Changing the list of mailboxes while others may: read it, change it, and again if somebody was quicker."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from postkeep.base.errors import ConflictError
from postkeep.faces.imap.limits import CONFLICT_RETRIES, CONFLICT_WAIT_SECONDS
from postkeep.faces.imap.names import Tree
from postkeep.faces.imap.replies import CommandError
from postkeep.faces.imap.texts import Text

if TYPE_CHECKING:
    from postkeep.faces.imap.account import Account


async def change_list(account: "Account", attempt: Callable[[Tree], Awaitable[None]]) -> None:
    """Try a change on the newest list; raises CommandError where others always get in between."""
    for number in range(CONFLICT_RETRIES):
        try:
            await attempt(await account.tree())
        except ConflictError:
            await asyncio.sleep(random.uniform(0, CONFLICT_WAIT_SECONDS * (number + 1)))  # noqa: S311 - no secret
        else:
            return
    raise CommandError(Text.MAILBOXES_BUSY, "INUSE")
