"""Rows of messages from the vault into the view: just those that a command needs and that are not there."""

from array import array
from collections.abc import Iterable
from typing import Final

from postkeep.base.errors import NotFoundError
from postkeep.faces.imap.account import Account
from postkeep.faces.imap.replies import CommandError
from postkeep.faces.imap.selected import Selected
from postkeep.faces.imap.texts import Text
from postkeep.protocols.imap.sequence import NUMBER_MAX, Ranges
from postkeep.services.vault.rows_api import ROWS_MAX, FetchRows, UpdatePage, Updates

ROWS_PER_CALL: Final = ROWS_MAX
"""Rows asked of the vault at once, the most that it answers: some 4 MB."""


async def load(account: Account, selected: Selected, runs: Iterable[range]) -> None:
    """Have the rows of these positions in the view: at most ROWS_PER_CALL, else they may not all stay.

    A message that has been expunged meanwhile has none. Raises CommandError where the mailbox is gone.
    """
    view = selected.view
    view.trim()
    wanted: Ranges = []
    for low, high in view.missing(runs):
        if wanted and view.position(low) == (view.position(wanted[-1][1]) or 0) + 1:
            wanted[-1] = (wanted[-1][0], high)
        else:
            wanted.append((low, high))
    if wanted:
        place = selected.place
        try:
            rows = await account.keepers.vault.rows(
                FetchRows(place.principal, place.mailbox, wanted), ticket=account.ticket
            )
        except NotFoundError as exc:
            raise CommandError(Text.MAILBOX_DELETED, "NONEXISTENT") from exc
        view.put(rows)


async def read_updates(
    account: Account, selected: Selected, since: int, uids: Ranges | None = None
) -> list[UpdatePage]:
    """Ask the vault what changed after a modseq: one page, or several where there are many rows.

    It all counts as of the first. Raises CommandError where the mailbox is gone.
    """
    place = selected.place
    pages: list[UpdatePage] = []
    while True:
        request = Updates(place.principal, place.mailbox, since, uids)
        try:
            page = await account.keepers.vault.updates(request, ticket=account.ticket)
        except NotFoundError as exc:
            raise CommandError(Text.MAILBOX_DELETED, "NONEXISTENT") from exc
        pages.append(page)
        if not page.more or not page.rows.uids:
            return pages
        uids = _above(uids, array("I", page.rows.uids)[-1])


def _above(ranges: Ranges | None, uid: int) -> Ranges:
    whole = [(1, NUMBER_MAX)] if ranges is None else ranges
    return [(max(low, uid + 1), high) for low, high in whole if high > uid]
