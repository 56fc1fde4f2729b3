"""The vault, as its callers see it: one async method per call of the vault's and the queue's `api`."""

from typing import Final

from postkeep.services.ledger.client import Caller
from postkeep.services.queue import api as queue_api
from postkeep.services.vault import (
    api,
    destruction_api,
    entries_api,
    export_api,
    pages_api,
    rights_api,
    rows_api,
    search_api,
)

LONG_SECONDS: Final = 600.0  # seconds for a call that walks or removes a lot
WAIT_GRACE_SECONDS: Final = (
    10.0  # seconds that an answer may take beyond the time that a call waits on purpose
)


class VaultClient:
    """Calls to the vault over one link. Every method raises the PostkeepError that the vault answers with,
    and UnavailableError where it does not answer: whether the call was carried out is then unknown."""

    def __init__(self, link: Caller) -> None:
        self._link = link

    async def deposit(self, request: api.DepositBatch, *, ticket: bytes = b"") -> api.DepositResults:
        """Store a batch of deposits; each succeeds or fails by itself."""
        return await self._link.call("vault.deposit", request, api.DepositResults, ticket=ticket)

    async def append(self, request: api.Append, *, ticket: bytes = b"") -> api.DepositResults:
        """Store messages in the ticket's own mailboxes, all or none."""
        return await self._link.call("vault.append", request, api.DepositResults, ticket=ticket)

    async def submit(self, request: api.Submit, *, ticket: bytes = b"") -> api.DepositResults:
        """Store an outbound message in Sent, inboxes and the queue, all or none."""
        return await self._link.call("vault.submit", request, api.DepositResults, ticket=ticket)

    async def mailboxes(self, request: api.ListMailboxes, *, ticket: bytes = b"") -> api.MailboxList:
        """List the mailboxes."""
        return await self._link.call("vault.mailboxes", request, api.MailboxList, ticket=ticket)

    async def change_mailboxes(self, request: api.ChangeMailboxes, *, ticket: bytes = b"") -> api.MailboxList:
        """Change the list of mailboxes, all or nothing."""
        return await self._link.call("vault.change_mailboxes", request, api.MailboxList, ticket=ticket)

    async def entries(
        self, request: entries_api.FetchEntries, *, ticket: bytes = b""
    ) -> entries_api.EntriesList:
        """Return the sealed annotations written since a version."""
        return await self._link.call("vault.entries", request, entries_api.EntriesList, ticket=ticket)

    async def set_entries(
        self, request: entries_api.SetEntries, *, ticket: bytes = b""
    ) -> entries_api.EntriesSet:
        """Replace the sealed annotations of one mailbox, or of the account."""
        return await self._link.call("vault.set_entries", request, entries_api.EntriesSet, ticket=ticket)

    async def select(self, request: rows_api.OpenMailbox, *, ticket: bytes = b"") -> rows_api.Opened:
        """Open a mailbox: which UIDs are there, and what SELECT says of it."""
        return await self._link.call("vault.select", request, rows_api.Opened, ticket=ticket)

    async def rows(self, request: rows_api.FetchRows, *, ticket: bytes = b"") -> rows_api.Rows:
        """Return rows of messages, by UID."""
        return await self._link.call("vault.rows", request, rows_api.Rows, ticket=ticket)

    async def updates(self, request: rows_api.Updates, *, ticket: bytes = b"") -> rows_api.UpdatePage:
        """Return what has changed in a mailbox since a modseq."""
        return await self._link.call("vault.updates", request, rows_api.UpdatePage, ticket=ticket)

    async def pages(self, request: pages_api.FetchPages, *, ticket: bytes = b"") -> pages_api.PageList:
        """Return sealed pages of summaries, and wraps."""
        return await self._link.call("vault.pages", request, pages_api.PageList, ticket=ticket)

    async def put_pages(self, request: pages_api.PutPages, *, ticket: bytes = b"") -> api.Done:
        """Keep pages for whoever reads next."""
        return await self._link.call("vault.put_pages", request, api.Done, ticket=ticket)

    async def summaries(self, request: api.FetchSummaries, *, ticket: bytes = b"") -> api.SummaryList:
        """Return sealed summaries and wraps."""
        return await self._link.call("vault.summaries", request, api.SummaryList, ticket=ticket)

    async def content(self, request: api.FetchContent, *, ticket: bytes = b"") -> api.ContentList:
        """Return ranges of sealed bodies, and wraps."""
        return await self._link.call("vault.content", request, api.ContentList, ticket=ticket)

    async def texts(self, request: search_api.FetchTexts, *, ticket: bytes = b"") -> search_api.TextList:
        """Return sealed search texts, and wraps."""
        return await self._link.call("vault.texts", request, search_api.TextList, ticket=ticket)

    async def segments(
        self, request: search_api.FetchSegments, *, ticket: bytes = b""
    ) -> search_api.SegmentList:
        """List segments of search indexes, with what they begin with."""
        return await self._link.call("vault.segments", request, search_api.SegmentList, ticket=ticket)

    async def segment_parts(
        self, request: search_api.FetchSegmentParts, *, ticket: bytes = b""
    ) -> search_api.SegmentParts:
        """Return parts of segments."""
        return await self._link.call("vault.segment_parts", request, search_api.SegmentParts, ticket=ticket)

    async def put_segment(self, request: search_api.NewSegment, *, ticket: bytes = b"") -> api.Done:
        """Keep a segment."""
        return await self._link.call("vault.put_segment", request, api.Done, ticket=ticket)

    async def store_flags(self, request: api.StoreFlags, *, ticket: bytes = b"") -> api.Stored:
        """Change flags."""
        return await self._link.call("vault.store_flags", request, api.Stored, ticket=ticket)

    async def copy(self, request: api.CopyMessages, *, ticket: bytes = b"") -> api.Copied:
        """Copy or move messages."""
        return await self._link.call("vault.copy", request, api.Copied, ticket=ticket)

    async def expunge(self, request: api.Expunge, *, ticket: bytes = b"") -> api.Expunged:
        """Remove messages flagged as deleted, for good."""
        return await self._link.call("vault.expunge", request, api.Expunged, ticket=ticket)

    async def export_begin(self, request: export_api.ExportBegin, *, ticket: bytes) -> export_api.ExportBegun:
        """Begin an export: the mailboxes, and a count."""
        return await self._link.call("vault.export_begin", request, export_api.ExportBegun, ticket=ticket)

    async def export_page(self, request: export_api.ExportPage, *, ticket: bytes) -> export_api.ExportedPage:
        """Return messages of an export, with what their keys are wrapped under."""
        return await self._link.call("vault.export_page", request, export_api.ExportedPage, ticket=ticket)

    async def export_end(self, request: export_api.ExportEnd, *, ticket: bytes) -> api.Done:
        """Have the ledger know that an export is whole."""
        return await self._link.call("vault.export_end", request, api.Done, ticket=ticket)

    async def epochs(self, request: api.FetchEpochs, *, ticket: bytes = b"") -> api.EpochList:
        """Return sealed epochs."""
        return await self._link.call("vault.epochs", request, api.EpochList, ticket=ticket)

    async def replace_epochs(self, request: api.ReplaceEpochs, *, ticket: bytes = b"") -> api.Done:
        """Store epochs in the form that kms handed back."""
        return await self._link.call("vault.replace_epochs", request, api.Done, ticket=ticket)

    async def old_epochs(self, request: api.OldEpochs, *, ticket: bytes = b"") -> api.OldEpochList:
        """Return sealed epochs under older keys."""
        return await self._link.call("vault.old_epochs", request, api.OldEpochList, ticket=ticket)

    async def reseal_epochs(self, request: api.ResealEpochs, *, ticket: bytes = b"") -> api.Done:
        """Store epochs that are sealed to a newer key."""
        return await self._link.call("vault.reseal_epochs", request, api.Done, ticket=ticket)

    async def quota(self, request: api.GetQuota, *, ticket: bytes = b"") -> api.Quota:
        """Return use and limit."""
        return await self._link.call("vault.quota", request, api.Quota, ticket=ticket)

    async def set_quota(self, request: api.SetQuota, *, ticket: bytes = b"") -> api.Done:
        """Set the limit."""
        return await self._link.call("vault.set_quota", request, api.Done, ticket=ticket)

    async def watch(self, request: api.Watch, *, ticket: bytes = b"") -> api.Done:
        """Hear of a principal's changes on this link from now on."""
        return await self._link.call("vault.watch", request, api.Done, ticket=ticket)

    async def unwatch(self, request: api.Unwatch, *, ticket: bytes = b"") -> api.Done:
        """Hear of them no more."""
        return await self._link.call("vault.unwatch", request, api.Done, ticket=ticket)

    async def next_changes(self, request: api.NextChanges, *, ticket: bytes = b"") -> api.Changes:
        """Wait for changes to what is watched on this link."""
        return await self._link.call(
            "vault.next_changes",
            request,
            api.Changes,
            ticket=ticket,
            timeout_seconds=request.wait_seconds + WAIT_GRACE_SECONDS,
        )

    async def remove_principal(self, request: api.RemovePrincipal, *, ticket: bytes = b"") -> api.Removed:
        """Remove a principal's mail."""
        return await self._link.call(
            "vault.remove_principal", request, api.Removed, ticket=ticket, timeout_seconds=LONG_SECONDS
        )

    async def remove_tenant(self, request: api.RemoveTenant, *, ticket: bytes = b"") -> api.Removed:
        """Remove a tenant's mail."""
        return await self._link.call(
            "vault.remove_tenant", request, api.Removed, ticket=ticket, timeout_seconds=LONG_SECONDS
        )

    async def outline(
        self, request: destruction_api.LookOver, *, ticket: bytes = b""
    ) -> destruction_api.Outline:
        """Return what the vault can see of a person's mail."""
        return await self._link.call("vault.outline", request, destruction_api.Outline, ticket=ticket)

    async def mark(self, request: destruction_api.Mark, *, ticket: bytes = b"") -> destruction_api.Marked:
        """Take fingerprints of wraps that will be destroyed."""
        return await self._link.call("vault.mark", request, destruction_api.Marked, ticket=ticket)

    async def destroy(self, request: destruction_api.Destroy, *, ticket: bytes = b"") -> api.Removed:
        """Destroy messages, or a mailbox."""
        return await self._link.call(
            "vault.destroy", request, api.Removed, ticket=ticket, timeout_seconds=LONG_SECONDS
        )

    async def destroy_category(
        self, request: destruction_api.DestroyCategory, *, ticket: bytes = b""
    ) -> api.Removed:
        """Destroy one category of a tenant's data."""
        return await self._link.call(
            "vault.destroy_category", request, api.Removed, ticket=ticket, timeout_seconds=LONG_SECONDS
        )

    async def purge(self, request: destruction_api.Purge, *, ticket: bytes = b"") -> api.Maintained:
        """Give back what deleted things take up."""
        return await self._link.call(
            "vault.purge", request, api.Maintained, ticket=ticket, timeout_seconds=LONG_SECONDS
        )

    async def hold(self, request: destruction_api.Hold, *, ticket: bytes = b"") -> api.Done:
        """Put something under legal hold."""
        return await self._link.call("vault.hold", request, api.Done, ticket=ticket)

    async def release_hold(self, request: destruction_api.ReleaseHold, *, ticket: bytes = b"") -> api.Done:
        """End a legal hold."""
        return await self._link.call("vault.release_hold", request, api.Done, ticket=ticket)

    async def maintain(self, request: api.Maintain, *, ticket: bytes = b"") -> api.Maintained:
        """Do a round of upkeep."""
        return await self._link.call(
            "vault.maintain", request, api.Maintained, ticket=ticket, timeout_seconds=LONG_SECONDS
        )

    async def check(self, request: api.CheckStore, *, ticket: bytes = b"") -> api.StoreReport:
        """Walk every row and report what is wrong."""
        return await self._link.call(
            "vault.check", request, api.StoreReport, ticket=ticket, timeout_seconds=LONG_SECONDS
        )

    async def queue_lease(self, request: queue_api.Lease, *, ticket: bytes = b"") -> queue_api.LeasedItems:
        """Claim due items."""
        return await self._link.call("vault.queue_lease", request, queue_api.LeasedItems, ticket=ticket)

    async def queue_renew(self, request: queue_api.Renew, *, ticket: bytes = b"") -> queue_api.Renewed:
        """Hold claimed items for longer."""
        return await self._link.call("vault.queue_renew", request, queue_api.Renewed, ticket=ticket)

    async def queue_content(
        self, request: queue_api.QueueContent, *, ticket: bytes = b""
    ) -> queue_api.QueueBytes:
        """Return a range of a claimed item's sealed body."""
        return await self._link.call("vault.queue_content", request, queue_api.QueueBytes, ticket=ticket)

    async def queue_update(self, request: queue_api.QueueUpdate, *, ticket: bytes = b"") -> queue_api.Done:
        """Settle claimed items."""
        return await self._link.call("vault.queue_update", request, queue_api.Done, ticket=ticket)

    async def queue_wait(self, request: queue_api.QueueWait, *, ticket: bytes = b"") -> queue_api.Done:
        """Wait until something may be due."""
        return await self._link.call(
            "vault.queue_wait",
            request,
            queue_api.Done,
            ticket=ticket,
            timeout_seconds=request.wait_seconds + WAIT_GRACE_SECONDS,
        )

    async def queue_list(self, request: queue_api.QueueList, *, ticket: bytes = b"") -> queue_api.QueueRows:
        """List items for the administrator."""
        return await self._link.call("vault.queue_list", request, queue_api.QueueRows, ticket=ticket)

    async def queue_act(self, request: queue_api.QueueAct, *, ticket: bytes = b"") -> queue_api.QueueActed:
        """Retry, hold, release or delete items."""
        return await self._link.call("vault.queue_act", request, queue_api.QueueActed, ticket=ticket)

    async def shared(self, request: rights_api.ListShared, *, ticket: bytes) -> rights_api.SharedList:
        """List the mailboxes of others that the ticket's principal has rights on."""
        return await self._link.call("vault.shared", request, rights_api.SharedList, ticket=ticket)

    async def copy_across(self, request: rights_api.CopyAcross, *, ticket: bytes) -> api.Copied:
        """Copy messages to a mailbox of another principal."""
        return await self._link.call("vault.copy_across", request, api.Copied, ticket=ticket)

    async def rights(self, request: rights_api.GetRights, *, ticket: bytes) -> rights_api.RightsList:
        """Return everybody's rights on a mailbox."""
        return await self._link.call("vault.rights", request, rights_api.RightsList, ticket=ticket)

    async def set_rights(self, request: rights_api.SetRights, *, ticket: bytes) -> rights_api.RightsSet:
        """Replace somebody's rights on a mailbox."""
        return await self._link.call("vault.set_rights", request, rights_api.RightsSet, ticket=ticket)

    async def open_shared(self, request: rights_api.OpenShared, *, ticket: bytes) -> api.Done:
        """Give the first manager of a new shared mailbox all rights on it."""
        return await self._link.call("vault.open_shared", request, api.Done, ticket=ticket)
