"""The mailbox that a connection has selected: its view, and what the client has been told of it."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from postkeep.faces.imap.place import Place
from postkeep.faces.imap.replies import CommandError
from postkeep.faces.imap.texts import Text
from postkeep.faces.imap.view import SYSTEM_FLAGS, View
from postkeep.protocols.imap.responses import flag_list
from postkeep.protocols.imap.sequence import NUMBER_MAX, Ranges, SequenceSet


@lru_cache(maxsize=4096)
def render_flags(flags: tuple[str, ...], *, recent: bool = False) -> bytes:
    """Write flags as a list."""
    return flag_list((*flags, "\\Recent") if recent else flags)


class Selected:
    """One selected mailbox of one connection."""

    __slots__ = (
        "__weakref__",
        "_announced",
        "announced",
        "dirty",
        "name",
        "place",
        "read_only",
        "recent_from",
        "saved",
        "view",
    )

    def __init__(self, place: Place, name: str, view: View, *, read_only: bool) -> None:
        self.place = place
        self.name = name
        self.read_only = read_only
        self.view = view
        self.announced = 0
        """The highest modseq that the vault has told of."""
        self.dirty = False
        """Whether the vault has said that there is something new."""
        self.saved: Ranges = []
        """UIDs of the last SEARCH with SAVE (RFC 5182)."""
        self.recent_from = 0
        """Messages from this UID on were shown to no session before this one; 0: none."""
        self._announced = -1  # keywords are only ever added: their count says whether all are known

    @property
    def mailbox(self) -> bytes:
        """The mailbox's identifier."""
        return self.place.mailbox

    def positions(self, sequence: SequenceSet, *, uid: bool) -> list[range]:
        """Return the positions a set names; raises CommandError for a message number that is not there."""
        if sequence.saved:
            return self.view.runs_within(self.saved)
        runs = self.view.positions(sequence, uid=uid)
        if runs is None:
            raise CommandError(Text.NO_MESSAGE, bad=True)
        return runs

    def need_writable(self) -> None:
        """Raise CommandError in a mailbox opened with EXAMINE."""
        if self.read_only:
            raise CommandError(Text.READ_ONLY, "READ-ONLY")

    def flag_texts(
        self, flag_sets: Sequence[tuple[str, ...]], uids: "Iterable[int]", numbers: "Iterable[int]"
    ) -> Iterable[bytes]:
        """Write the flags of messages: `numbers` are positions in `flag_sets`."""
        texts = [render_flags(flags) for flags in flag_sets]
        if not self.recent_from:
            return map(texts.__getitem__, numbers)
        recent = [render_flags(flags, recent=True) for flags in flag_sets]
        first = self.recent_from
        return (
            recent[number] if uid >= first else texts[number]
            for uid, number in zip(uids, numbers, strict=True)
        )

    def is_recent(self, at: int) -> bool:
        """Whether no session was shown this message before this one."""
        return bool(self.recent_from) and self.view.uid_at(at) >= self.recent_from

    def recent_count(self) -> int:
        """Count the recent messages."""
        if not self.recent_from:
            return 0
        return sum(map(len, self.view.runs_within([(self.recent_from, NUMBER_MAX)])))

    def flags_line(self) -> bytes:
        """Return FLAGS if the client does not know all keywords yet (RFC 3501 section 7.2.6)."""
        keywords = self.view.keywords
        if self._announced == len(keywords):
            return b""
        self._announced = len(keywords)
        return b"* FLAGS " + flag_list((*SYSTEM_FLAGS, *sorted(keywords))) + b"\r\n"

    def permanent_flags(self) -> str:
        """Return what PERMANENTFLAGS lists: nothing in a mailbox opened with EXAMINE."""
        if self.read_only:
            return "PERMANENTFLAGS ()"
        return f"PERMANENTFLAGS ({' '.join((*SYSTEM_FLAGS, *sorted(self.view.keywords)))} \\*)"
