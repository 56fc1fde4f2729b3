"""FETCH: which messages and what is to be read of them; written in batches as it comes."""

from array import array
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from postkeep.faces.imap.contents import Contents, marks_seen, needs_offsets
from postkeep.faces.imap.limits import BYTES_PER_WRITE, ROWS_PER_WRITE, SUMMARIES_PER_CALL
from postkeep.faces.imap.lines import FROM_ROWS, FROM_SUMMARIES, NO_PAGE, Line, messages
from postkeep.faces.imap.loading import load, read_updates
from postkeep.faces.imap.pages import read_fetch
from postkeep.faces.imap.progress import Progress
from postkeep.faces.imap.replies import CommandError
from postkeep.faces.imap.resync import earlier
from postkeep.faces.imap.selected import Selected
from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.texts import Text, completed
from postkeep.faces.imap.uid_runs import pairs
from postkeep.faces.imap.view import batches, runs_of
from postkeep.protocols.imap.commands import Fetch
from postkeep.protocols.imap.fetch import Attribute, BinarySection, BodySection, FetchItem, Preview
from postkeep.protocols.imap.sequence import NUMBER_MAX, merge


class Plan(NamedTuple):
    """What the items need."""

    attributes: tuple[Attribute, ...]
    sections: tuple[BodySection | BinarySection, ...]
    preview: Preview | None
    rows: bool
    summaries: bool
    """Of every message: for attributes, or to find parts."""
    marks_seen: bool


def plan(command: Fetch, *, condstore: bool, uid_only: bool) -> Plan:
    """Decide what to ask of the vault for these items; UIDFETCH names the UID in any case (RFC 9586)."""
    items: list[FetchItem] = list(command.items)
    if command.uid and not uid_only and Attribute.UID not in items:
        items.insert(0, Attribute.UID)
    modseq = command.changed_since is not None or (condstore and Attribute.FLAGS in items)
    if modseq and Attribute.MODSEQ not in items:
        items.append(Attribute.MODSEQ)
    attributes = tuple(item for item in items if isinstance(item, Attribute))
    sections = tuple(item for item in items if isinstance(item, BodySection | BinarySection))
    preview = next((item for item in items if isinstance(item, Preview)), None)
    return Plan(
        attributes,
        sections,
        preview,
        rows=bool(sections) or preview is not None or not FROM_ROWS.isdisjoint(attributes),
        summaries=preview is not None
        or not FROM_SUMMARIES.isdisjoint(attributes)
        or any(map(needs_offsets, sections)),
        marks_seen=any(map(marks_seen, sections)),
    )


async def fetch(session: Session, tag: bytes, command: Fetch) -> Completion:
    """Answer FETCH and UID FETCH."""
    selected = session.need_selected()
    session.check_numbers(uid=command.uid)
    if command.changed_since is not None or Attribute.MODSEQ in command.items:
        session.condstore = True
    if command.vanished and not session.qresync:
        raise CommandError(Text.ENABLE_QRESYNC, bad=True)
    wanted = plan(command, condstore=session.condstore, uid_only=session.uid_only)
    runs = selected.positions(command.sequence, uid=command.uid)
    if command.changed_since is not None:
        runs = await _changed(session, selected, command, runs)
    if command.partial is not None:
        runs = _window(runs, command.partial.slice(sum(map(len, runs))))
    work = _Work(session, selected, wanted, Progress(session, tag, sum(map(len, runs))))
    if wanted.sections or wanted.preview is not None:
        missing = await work.contents(runs)
    elif wanted.summaries:
        missing = await work.summaries(runs)
    else:
        missing = await work.rows(runs)
    if missing and not command.uid:
        raise CommandError(Text.SOME_EXPUNGED, "EXPUNGEISSUED")
    return Completion(completed("FETCH"))


async def _changed(session: Session, selected: Selected, command: Fetch, runs: list[range]) -> list[range]:
    """Return the positions of what changed since then; with VANISHED tell what went (RFC 7162 3.2.6)."""
    view = selected.view
    assert command.changed_since is not None
    uids = view.uid_ranges(runs)
    if command.vanished and not command.sequence.saved:
        # `*` is the last message there, and what stood behind it may have gone
        uids = merge([*uids, *command.sequence.resolve(NUMBER_MAX)])
    if not uids:
        return []
    pages = await read_updates(session.need_account(), selected, command.changed_since, uids)
    if command.vanished:
        await session.send(earlier(view, (pair for page in pages for pair in pairs(page.vanished)), uids))
    changed: list[range] = []
    for page in pages:
        view.put(page.rows)
        changed += runs_of(number - 1 for number in view.numbers(array("I", page.rows.uids)) if number)
    return changed


def _window(runs: Sequence[range], places: range) -> list[range]:
    """Return the part of the result that PARTIAL names (RFC 9394)."""
    window: list[range] = []
    before = 0
    for run in runs:
        part = run[max(places.start - before, 0) : max(places.stop - before, 0)]
        if part:
            window.append(part)
        before += len(run)
    return window


class _Work:
    """One command at work."""

    def __init__(self, session: Session, selected: Selected, wanted: Plan, progress: Progress) -> None:
        self._session = session
        self._account = session.need_account()
        self._selected = selected
        self._plan = wanted
        self._line = Line(wanted.attributes, uid_only=session.uid_only)
        self._progress = progress

    async def rows(self, runs: Sequence[range]) -> int:
        """Answer from rows alone; return how many messages turned out to be gone."""
        return await self._batched(runs, ROWS_PER_WRITE, self._write_rows)

    async def summaries(self, runs: Sequence[range]) -> int:
        """Answer from rows and pages."""
        return await self._batched(runs, ROWS_PER_WRITE, self._write_summaries)

    async def contents(self, runs: Sequence[range]) -> int:
        """Answer with parts of messages."""
        contents = Contents(self._session, self._selected, self._plan, self._line)
        return await self._batched(runs, SUMMARIES_PER_CALL, contents.write)

    async def _batched(
        self, runs: Sequence[range], size: int, write: Callable[[list[range]], Awaitable[int]]
    ) -> int:
        missing = done = 0
        for batch in batches(runs, size):
            if self._plan.rows:
                await load(self._account, self._selected, batch)
                await self._session.send(self._selected.flags_line())
            missing += await write(batch)
            done += sum(map(len, batch))
            await self._progress.at(done)
        return missing

    async def _write_rows(self, batch: list[range]) -> int:
        uids = self._selected.view.uids_in(batch)
        found = messages(self._selected, uids, NO_PAGE, rows=self._plan.rows)
        await self._session.send(self._line.write(found))
        return len(uids) - len(found.uids)

    async def _write_summaries(self, batch: list[range]) -> int:
        lines: list[bytes] = []
        waiting = written = 0
        async for uids, page in read_fetch(self._account, self._selected, batch):
            found = messages(self._selected, uids, page, rows=self._plan.rows)
            lines.append(self._line.write(found))
            written += len(found.uids)
            waiting += len(lines[-1])
            if waiting >= BYTES_PER_WRITE:
                await self._session.send(b"".join(lines))
                lines, waiting = [], 0
        await self._session.send(b"".join(lines))
        return sum(map(len, batch)) - written
