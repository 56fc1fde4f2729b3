"""Quick resynchronisation (RFC 7162 section 3.2): what a client that was away has missed."""

from collections.abc import Iterable

from postkeep.faces.imap.loading import read_updates
from postkeep.faces.imap.selected import Selected
from postkeep.faces.imap.session import Session
from postkeep.faces.imap.uid_runs import pairs
from postkeep.faces.imap.updates import render_changes
from postkeep.faces.imap.view import View
from postkeep.protocols.imap.commands import Resync
from postkeep.protocols.imap.sequence import Ranges, merge, render_ranges
from postkeep.services.vault.uids import intersect_ranges


async def resynchronise(session: Session, selected: Selected, resync: Resync) -> bytes:
    """Return VANISHED (EARLIER) and FETCH for what changed since the client saved its state.

    What its own list of messages and numbers says (the fourth parameter) is not needed: the vault never
    forgets which UIDs went.
    """
    known = None if resync.known is None else resync.known.resolve(selected.view.last_uid)
    if resync.modseq >= selected.view.synced:
        return b""
    pages = await read_updates(session.need_account(), selected, resync.modseq, known)
    view = selected.view
    lines = [earlier(view, (pair for page in pages for pair in pairs(page.vanished)))]
    lines += (render_changes(session, selected, page.rows) for page in pages if page.rows.uids)
    return b"".join(lines)


def earlier(view: View, vanished: Iterable[tuple[int, int]], within: Ranges | None = None) -> bytes:
    """Write VANISHED (EARLIER) for UIDs that went, but for those that the client still counts: of them it is
    told when message numbers may change."""
    ranges: Ranges = []
    for low, high in merge(vanished):
        start = low
        for span in view.uid_spans([view.span(low, high)]):
            if start < span[0]:
                ranges.append((start, span[0] - 1))
            start = span[1] + 1
        if start <= high:
            ranges.append((start, high))
    if within is not None:
        ranges = intersect_ranges(ranges, within)
    return b"* VANISHED (EARLIER) " + render_ranges(ranges) + b"\r\n" if ranges else b""
