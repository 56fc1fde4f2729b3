"""GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 9208): one root for a person's mailboxes, with the empty name."""

from typing import Final

from postkeep.faces.imap.replies import CommandError, no_such_mailbox
from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.texts import Text, completed
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.commands import GetQuota, GetQuotaRoot, SetQuota
from postkeep.services.vault.api import GetQuota as QuotaRequest

_STORAGE_UNIT_BYTES: Final = 1024  # RFC 9208 section 5.1


async def get_quota(session: Session, tag: bytes, command: GetQuota) -> Completion:
    """Answer GETQUOTA."""
    del tag
    if command.root:
        raise CommandError(Text.NO_QUOTA_ROOT, "NONEXISTENT")
    await _send_quota(session)
    return Completion(completed("GETQUOTA"))


async def get_quota_root(session: Session, tag: bytes, command: GetQuotaRoot) -> Completion:
    """Answer GETQUOTAROOT."""
    del tag
    found = (await session.need_account().tree()).find(command.mailbox)
    if found is None:
        raise no_such_mailbox()
    if found.owner:  # what somebody else has used is not for us to tell
        await session.send(responses.quota_root(found.name, None, utf8=session.utf8))
        return Completion(completed("GETQUOTAROOT"))
    await session.send(responses.quota_root(found.name, "", utf8=session.utf8))
    await _send_quota(session)
    return Completion(completed("GETQUOTAROOT"))


async def set_quota(session: Session, tag: bytes, command: SetQuota) -> Completion:
    """Answer SETQUOTA: nobody sets a quota for himself (RFC 9208 section 4.1.3)."""
    del session, tag
    if command.root:
        raise CommandError(Text.NO_QUOTA_ROOT, "NONEXISTENT")
    raise CommandError(Text.QUOTA_FIXED, "NOPERM")


async def _send_quota(session: Session) -> None:
    account = session.need_account()
    quota = await account.keepers.vault.quota(QuotaRequest(account.principal), ticket=account.ticket)
    used = -(-quota.used_bytes // _STORAGE_UNIT_BYTES)
    limit = None if quota.limit_bytes is None else quota.limit_bytes // _STORAGE_UNIT_BYTES
    await session.send(responses.quota("", used, limit))
