"""THREAD and UID THREAD: what is found, as conversations (RFC 5256)."""

from collections.abc import Sequence
from typing import Final

from postkeep.faces.imap.account import Account
from postkeep.faces.imap.criteria import identifiers
from postkeep.faces.imap.facts import FactsPage, split
from postkeep.faces.imap.finding import Finder
from postkeep.faces.imap.found_facts import read_found
from postkeep.faces.imap.masks import Found
from postkeep.faces.imap.progress import Progress, in_turns
from postkeep.faces.imap.searching import check_numbers, send_pieces
from postkeep.faces.imap.selected import Selected
from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.texts import completed
from postkeep.protocols.imap.commands import Thread
from postkeep.protocols.imap.sort import ThreadAlgorithm, casemap
from postkeep.protocols.imap.thread import (
    Forest,
    References,
    by_references,
    by_subject,
    render_threads,
)
from postkeep.protocols.mime import split_subject

_NO_LINKS: Final[tuple[str, list[str], list[str]]] = ("", [], [])


async def thread(session: Session, tag: bytes, command: Thread) -> Completion:
    """Answer THREAD and UID THREAD."""
    selected = session.need_selected()
    account = session.need_account()
    check_numbers(session, command.key, uid=command.uid)
    progress = Progress(session, tag, len(selected.view))
    finder = Finder(account, selected, command.key, progress)
    session.condstore |= finder.by_modseq
    found = await finder.find()
    threads = _Threads(command.algorithm)
    await threads.read(account, selected, found, progress)
    forest = await threads.forest(progress)
    uids = selected.view.uids_in(found.runs())
    positions = list(found)
    numbers = [uids[at] if command.uid else positions[at] + 1 for at in threads.members]
    await send_pieces(session, [b"* THREAD"])
    await send_pieces(session, [b" "] if numbers else [])
    await send_pieces(session, render_threads(forest, numbers))
    await send_pieces(session, [b"\r\n"])
    return Completion(completed("THREAD"))


class _Threads:
    """What the algorithms need of the messages found, in order."""

    def __init__(self, algorithm: ThreadAlgorithm) -> None:
        self.members: list[int] = []
        """Which of the messages found each place is: those expunged meanwhile have none."""
        self._algorithm = algorithm
        self._links = References()
        self._sent: list[int] = []
        self._subjects: list[str] = []
        self._marked: dict[int, str] = {}
        """The whole subjects of messages whose base subject is another one, by place."""

    async def read(self, account: Account, selected: Selected, found: Found, progress: Progress) -> None:
        """Take in everything that has been found."""
        passed = 0
        async for piece in read_found(account, selected, found, facts=True):
            sent = await piece.sent()
            subjects = piece.column(_subjects, ("", ""))
            bases = piece.column(_bases, "")
            links = piece.column(identifiers, _NO_LINKS)
            for at, there in enumerate(piece.there):
                if not there:
                    continue
                subject, base = subjects[at]
                if subject != base:
                    self._marked[len(self.members)] = subject
                identifier, replied, references = links[at]
                self._links.add(identifier, references or replied[:1])
                self._sent.append(sent[at])
                self._subjects.append(bases[at])
                self.members.append(passed + at)
            passed += len(piece.there)
            await progress.at(passed)

    async def forest(self, progress: Progress) -> Forest:
        """Return the threads."""
        if self._algorithm is ThreadAlgorithm.ORDEREDSUBJECT:
            steps = by_subject(self._sent, self._subjects)
        else:
            steps = by_references(self._links, self._sent, self._subjects, self._is_reply)
        return await in_turns(steps, progress, len(self.members))

    def _is_reply(self, place: int) -> bool:
        subject = self._marked.get(place)
        return subject is not None and split_subject(subject).is_reply


def _subjects(page: FactsPage) -> Sequence[tuple[str, str]]:
    """Return each subject as it is, with its base subject as it is."""
    return list(zip(split(page.subjects, page.count), split(page.base_subjects, page.count), strict=True))


def _bases(page: FactsPage) -> list[str]:
    return split(casemap(page.base_subjects), page.count)
