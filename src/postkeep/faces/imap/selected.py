"""The mailbox that a connection has selected: its view, and what the client has been told of it."""

from collections.abc import Sequence
from functools import lru_cache

from postkeep.faces.imap.replies import CommandError
from postkeep.faces.imap.texts import Text
from postkeep.faces.imap.view import SYSTEM_FLAGS, View, runs_of
from postkeep.protocols.imap.responses import flag_list
from postkeep.protocols.imap.sequence import SequenceSet
from postkeep.services.vault.api import MessageRow


@lru_cache(maxsize=4096)
def _render(flags: tuple[str, ...], *, recent: bool) -> bytes:
    return flag_list((*flags, "\\Recent") if recent else flags)


class Selected:
    """One selected mailbox of one connection."""

    def __init__(self, mailbox: bytes, name: str, *, read_only: bool) -> None:
        self.mailbox = mailbox
        self.name = name
        self.read_only = read_only
        self.view = View()
        self.dirty = False
        """Whether the vault has said that there is something new."""
        self.saved: list[int] = []
        """UIDs of the last SEARCH with SAVE (RFC 5182)."""
        self.recent_from = 0
        """Messages from this UID on were shown to no session before this one; 0: none."""
        self._announced: frozenset[str] | None = None

    def positions(self, sequence: SequenceSet, *, uid: bool) -> list[range]:
        """Return the positions a set names; raises CommandError for a message number that is not there."""
        if sequence.saved:
            found = (self.view.position(number) for number in self.saved)
            return runs_of(at for at in found if at is not None)
        runs = self.view.positions(sequence, uid=uid)
        if runs is None:
            raise CommandError(Text.NO_MESSAGE, bad=True)
        return runs

    def need_writable(self) -> None:
        """Raise CommandError in a mailbox opened with EXAMINE."""
        if self.read_only:
            raise CommandError(Text.READ_ONLY, "READ-ONLY")

    def apply_own(self, rows: Sequence[MessageRow]) -> list[int]:
        """Take in rows that our own command changed; return their positions. What others did meanwhile
        comes with the next synchronisation: `view.synced` stays."""
        last = self.view.uids[-1] if self.view.uids else 0
        return self.view.apply([row for row in rows if row.uid <= last]).updated

    def render_flags(self, at: int) -> bytes:
        """Write the flags of a message as a list."""
        recent = bool(self.recent_from) and self.view.uids[at] >= self.recent_from
        return _render(self.view.flags(at), recent=recent)

    def is_recent(self, at: int) -> bool:
        """Whether no session was shown this message before this one."""
        return bool(self.recent_from) and self.view.uids[at] >= self.recent_from

    def recent_count(self) -> int:
        """Count the recent messages."""
        if not self.recent_from:
            return 0
        runs = self.view.positions(SequenceSet(((self.recent_from, 0xFFFF_FFFF),)), uid=True)
        return sum(map(len, runs or ()))

    def flags_line(self) -> bytes | None:
        """Return FLAGS if the client does not know all keywords yet (RFC 3501 section 7.2.6)."""
        keywords = frozenset(self.view.keywords)
        if self._announced is not None and keywords <= self._announced:
            return None
        self._announced = keywords
        return b"* FLAGS " + flag_list((*SYSTEM_FLAGS, *sorted(keywords))) + b"\r\n"

    def permanent_flags(self) -> str:
        """Return what PERMANENTFLAGS lists: nothing in a mailbox opened with EXAMINE."""
        if self.read_only:
            return "PERMANENTFLAGS ()"
        return f"PERMANENTFLAGS ({' '.join((*SYSTEM_FLAGS, *sorted(self.view.keywords)))} \\*)"
