"""SELECT and EXAMINE with their parameters (RFC 4466, 7162)."""

from postkeep.protocols.imap.commands import Resync, Select
from postkeep.protocols.imap.cursor import Cursor
from postkeep.protocols.imap.errors import ImapSyntaxError
from postkeep.protocols.imap.parse_fetch import MODSEQ_MAX
from postkeep.protocols.imap.sequence import NUMBER_MAX, STAR, SequenceSet


def parse_select(cursor: Cursor, *, read_only: bool) -> Select:
    """Read what follows the command's name."""
    cursor.space()
    mailbox = cursor.mailbox()
    condstore = False
    resync: Resync | None = None
    if cursor.skip(b" ("):
        while True:
            name = cursor.word()
            if name == b"CONDSTORE" and not condstore:
                condstore = True
            elif name == b"QRESYNC" and resync is None:
                cursor.take(b" (")
                resync = _resync(cursor)
            else:
                raise ImapSyntaxError("The parameter is not known, or there twice.")
            if not cursor.skip(b" "):
                break
        cursor.take(b")")
    return Select(mailbox, read_only, condstore, resync)


def _resync(cursor: Cursor) -> Resync:
    uid_validity = cursor.number(NUMBER_MAX)
    cursor.space()
    modseq = cursor.number(MODSEQ_MAX)
    if not uid_validity or not modseq:
        raise ImapSyntaxError("UIDVALIDITY and mod-sequence are not zero.")
    known: SequenceSet | None = None
    if cursor.skip(b" "):
        if not cursor.text.startswith(b"(", cursor.at):
            known = _uids(cursor)
        if known is None or cursor.skip(b" "):
            cursor.take(b"(")
            _uids(
                cursor
            )  # message numbers and their UIDs: what they help a server with that forgets expunges
            cursor.space()
            _uids(cursor)
            cursor.take(b")")
    cursor.take(b")")
    return Resync(uid_validity, modseq, known)


def _uids(cursor: Cursor) -> SequenceSet:
    """Read a set of plain numbers (RFC 7162 section 7: `*` is not allowed)."""
    known = cursor.sequence()
    if known.saved or any(STAR in span for span in known.ranges):
        raise ImapSyntaxError("`*` and `$` name nothing here.")
    return known
