"""SEARCH and UID SEARCH: what is asked for, found by finding.py, answered in the old form or as ESEARCH."""

from collections.abc import Iterable
from itertools import compress, count, islice
from typing import Final

from postkeep.faces.imap.account import Account
from postkeep.faces.imap.finding import PIECE_OF_ROWS, Finder
from postkeep.faces.imap.loading import load
from postkeep.faces.imap.masks import Found
from postkeep.faces.imap.progress import Progress
from postkeep.faces.imap.selected import Selected
from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.texts import completed
from postkeep.faces.imap.view import View, batches, runs_of
from postkeep.protocols.imap.commands import Search
from postkeep.protocols.imap.partial import PartialRange
from postkeep.protocols.imap.search import Numbers, ReturnOption, Returns, SearchKey, leaves
from postkeep.protocols.imap.search_answers import ExtendedAnswer, numbers_line
from postkeep.protocols.imap.sequence import Ranges

_WRITE_BYTES: Final = 256 * 1024
"""Of an answer, put together into one write."""
_ENDS: Final = frozenset({ReturnOption.MIN, ReturnOption.MAX})
_WHOLE: Final = frozenset({ReturnOption.ALL, ReturnOption.COUNT})


async def search(session: Session, tag: bytes, command: Search) -> Completion:
    """Answer SEARCH and UID SEARCH."""
    selected = session.need_selected()
    check_numbers(session, command.key, uid=command.uid)
    returns = command.returns
    if returns is None and session.rev2:  # IMAP4rev2 knows the extended answer only
        returns = Returns(frozenset({ReturnOption.ALL}))
    account = session.need_account()
    finder = Finder(account, selected, command.key, Progress(session, tag, len(selected.view)))
    session.condstore |= finder.by_modseq
    if returns is None:
        found = await finder.find()
        numbers: Iterable[int] = (
            selected.view.uids_in(found.runs()) if command.uid else compress(count(1), found.mask)
        )
        modseq = await highest_modseq(account, selected, found.runs()) if finder.by_modseq else None
        await send_pieces(session, numbers_line(b"SEARCH", numbers, modseq))
        return Completion(completed("SEARCH"))
    if ReturnOption.SAVE in returns.options:
        selected.saved = []  # and so it stays if the search fails (RFC 5182 section 2.1)
    found = await finder.find(*enough(returns))
    if ReturnOption.SAVE in returns.options:
        selected.saved = selected.view.uid_spans(named(found, returns))
    if returns.options != {ReturnOption.SAVE} or returns.partial is not None:
        answer = ExtendedAnswer(tag, uid=command.uid)
        _describe(answer, selected.view, found, returns, uid=command.uid)
        if finder.by_modseq:
            modseq = await highest_modseq(account, selected, named(found, returns))
            if modseq is not None:
                answer.number(b"MODSEQ", modseq)
        await send_pieces(session, answer)
    return Completion(completed("SEARCH"))


def enough(returns: Returns) -> tuple[int, int]:
    """Return how many matches from the front and from the back say all that is asked for; (0, 0): all."""
    options = returns.options
    if options & _WHOLE or not (options & _ENDS or returns.partial is not None):
        return 0, 0
    front, back = int(ReturnOption.MIN in options), int(ReturnOption.MAX in options)
    if returns.partial is not None:
        furthest = max(abs(returns.partial.first), abs(returns.partial.last))
        if returns.partial.first > 0:
            front = max(front, furthest)
        else:
            back = max(back, furthest)
    return front, back


def named(found: Found, returns: Returns) -> list[range]:
    """Return the positions, as runs, that MODSEQ and `$` are about: all, or without ALL and COUNT just those
    that MIN, MAX and PARTIAL give (RFC 4731 section 3.2, RFC 5182 section 2.4, RFC 9394 section 3.2)."""
    options = returns.options
    if options & _WHOLE or not (options & _ENDS or returns.partial is not None):
        return found.runs()
    ends = {found.first()} if ReturnOption.MIN in options else set()
    ends |= {found.last()} if ReturnOption.MAX in options else set()
    return runs_of(sorted((ends - {-1}).union(_window(found, returns.partial))))


def _window(found: Found, partial: PartialRange | None) -> list[int]:
    places = range(0) if partial is None else partial.slice(len(found))
    return list(islice(found, places.start, places.stop))


def _describe(answer: ExtendedAnswer, view: View, found: Found, returns: Returns, *, uid: bool) -> None:
    options = returns.options
    if len(found):
        if ReturnOption.MIN in options:
            answer.number(b"MIN", _number(view, found.first(), uid=uid))
        if ReturnOption.MAX in options:
            answer.number(b"MAX", _number(view, found.last(), uid=uid))
    if ReturnOption.COUNT in options:
        answer.number(b"COUNT", len(found))
    if ReturnOption.ALL in options and len(found):
        answer.set(b"ALL", _spans(view, found.runs(), uid=uid))
    if returns.partial is not None:
        window = runs_of(_window(found, returns.partial))
        answer.window(returns.partial, _spans(view, window, uid=uid))


def _number(view: View, at: int, *, uid: bool) -> int:
    return view.uid_at(at) if uid else at + 1


def _spans(view: View, runs: list[range], *, uid: bool) -> Ranges:
    return view.uid_spans(runs) if uid else [(run.start + 1, run.stop) for run in runs]


def check_numbers(session: Session, key: SearchKey, *, uid: bool) -> None:
    """Raise CommandError where message numbers are used after UIDONLY (RFC 9586)."""
    numbered = any(
        isinstance(leaf, Numbers) and not leaf.uid and not leaf.sequence.saved for leaf in leaves(key)
    )
    session.check_numbers(uid=uid and not numbered)


async def highest_modseq(account: Account, selected: Selected, runs: list[range]) -> int | None:
    """Return the highest modification sequence of these messages; None: there is none of them."""
    highest = 0
    for batch in batches(runs, PIECE_OF_ROWS):
        await load(account, selected, batch)
        highest = max(highest, *selected.view.columns(batch).modseqs)
    return highest or None


async def send_pieces(session: Session, pieces: Iterable[bytes]) -> None:
    """Write a long answer as far as the client takes it."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _WRITE_BYTES:
            await session.send(b"".join(waiting))
            waiting, size = [], 0
    await session.send(b"".join(waiting))
