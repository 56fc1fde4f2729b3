"""SORT and UID SORT: what is found, in the order of its keys (RFC 5256, 5957), also as ESEARCH (RFC 5267)."""

from array import array
from collections.abc import Callable, Sequence
from typing import Any, Final

from postkeep.faces.imap.account import Account
from postkeep.faces.imap.facts import BETWEEN_MESSAGES, BETWEEN_VALUES, FactsPage, split
from postkeep.faces.imap.finding import Finder
from postkeep.faces.imap.found_facts import FoundPiece, read_found
from postkeep.faces.imap.masks import Found
from postkeep.faces.imap.progress import Progress, in_turns
from postkeep.faces.imap.searching import check_numbers, highest_modseq, send_pieces
from postkeep.faces.imap.selected import Selected
from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.texts import completed
from postkeep.faces.imap.view import runs_of
from postkeep.protocols.imap.commands import Sort
from postkeep.protocols.imap.search import ReturnOption, Returns
from postkeep.protocols.imap.search_answers import ExtendedAnswer, numbers_line, spans_in_order
from postkeep.protocols.imap.sort import SortField, SortKey, casemap, sort_steps

_ROWS: Final = {SortField.ARRIVAL, SortField.SIZE}


async def sort(session: Session, tag: bytes, command: Sort) -> Completion:
    """Answer SORT and UID SORT."""
    selected = session.need_selected()
    account = session.need_account()
    check_numbers(session, command.key, uid=command.uid)
    progress = Progress(session, tag, len(selected.view))
    finder = Finder(account, selected, command.key, progress)
    session.condstore |= finder.by_modseq
    returns = command.returns
    saving = returns is not None and ReturnOption.SAVE in returns.options
    if saving:
        selected.saved = []  # and so it stays if the search fails (RFC 5182 section 2.1)
    found = await finder.find()
    places = await sorted_places(account, selected, found, command.order, progress)
    runs = found.runs()
    positions = array("I", found)
    uids = selected.view.uids_in(runs)
    numbers = [uids[place] for place in places] if command.uid else [positions[place] + 1 for place in places]
    modseq = await highest_modseq(account, selected, runs) if finder.by_modseq else None
    if returns is None:
        await send_pieces(session, numbers_line(b"SORT", numbers, modseq))
        return Completion(completed("SORT"))
    if saving:
        kept = runs_of(sorted(positions[place] for place in _named(places, returns)))
        selected.saved = selected.view.uid_spans(kept)
    if returns.options != {ReturnOption.SAVE} or returns.partial is not None:
        answer = _describe(tag, numbers, returns, uid=command.uid)
        if modseq is not None:
            answer.number(b"MODSEQ", modseq)
        await send_pieces(session, answer)
    return Completion(completed("SORT"))


async def sorted_places(
    account: Account, selected: Selected, found: Found, order: Sequence[SortKey], progress: Progress
) -> list[int]:
    """Return the places (0: the first message found) in the order of the keys; equal ones stay in theirs.
    Messages that turn out to be expunged are left out."""
    fields = list(dict.fromkeys(key.field for key in order))
    values: dict[SortField, Any] = {field: [] for field in fields}
    there = bytearray()
    async for piece in read_found(account, selected, found, facts=not _ROWS.issuperset(fields)):
        for field in fields:
            values[field] += await _values(piece, field)
        there += piece.there
        await progress.at(len(there))
    places = [place for place, known in enumerate(there) if known]
    for key in reversed(order):
        steps = sort_steps(places, values[key.field], reverse=key.reverse)
        places = await in_turns(steps, progress, len(there))
    return places


async def _values(piece: FoundPiece, field: SortField) -> Sequence[Any]:
    match field:
        case SortField.ARRIVAL:
            return (await piece.rows()).dates
        case SortField.SIZE:
            return (await piece.rows()).sizes
        case SortField.DATE:
            return await piece.sent()
    return piece.column(_TEXTS[field], "")


def _base_subjects(page: FactsPage) -> list[str]:
    return split(casemap(page.base_subjects), page.count)


def _people(column: str, shown: Callable[[str], str]) -> Callable[[FactsPage], list[str]]:
    def of_page(page: FactsPage) -> list[str]:
        texts = split(getattr(page, column), page.count)
        return split(casemap(BETWEEN_MESSAGES.join(map(shown, texts))), page.count)

    return of_page


def _mailbox(people: str) -> str:
    """Return the local part of the first address."""
    address = people.partition(BETWEEN_VALUES)[0].rpartition(" <")[2][:-1]
    return address.rpartition("@")[0] or address


def _display(people: str) -> str:
    """Return the name of the first address, or else the address (RFC 5957 section 3)."""
    name, _, address = people.partition(BETWEEN_VALUES)[0].rpartition(" <")
    return name or address[:-1]


_TEXTS: Final[dict[SortField, Callable[[FactsPage], list[str]]]] = {
    SortField.SUBJECT: _base_subjects,
    SortField.FROM: _people("from_", _mailbox),
    SortField.TO: _people("to", _mailbox),
    SortField.CC: _people("cc", _mailbox),
    SortField.DISPLAYFROM: _people("from_", _display),
    SortField.DISPLAYTO: _people("to", _display),
}


def _named(places: Sequence[int], returns: Returns) -> Sequence[int]:
    """Return what `$` stands for after a sort: by the rules of a search, its ends those of the order."""
    options = returns.options
    whole = {ReturnOption.ALL, ReturnOption.COUNT} & options
    if whole or not ({ReturnOption.MIN, ReturnOption.MAX} & options or returns.partial is not None):
        return places
    kept = set(places[:1] if ReturnOption.MIN in options else ())
    kept |= set(places[-1:] if ReturnOption.MAX in options else ())
    return list(kept.union(_window(places, returns)))


def _window(values: Sequence[int], returns: Returns) -> Sequence[int]:
    if returns.partial is None:
        return ()
    window = returns.partial.slice(len(values))
    return values[window.start : window.stop]


def _describe(tag: bytes, numbers: Sequence[int], returns: Returns, *, uid: bool) -> ExtendedAnswer:
    answer = ExtendedAnswer(tag, uid=uid)
    options = returns.options
    if numbers:
        if ReturnOption.MIN in options:
            answer.number(b"MIN", numbers[0])
        if ReturnOption.MAX in options:
            answer.number(b"MAX", numbers[-1])
    if ReturnOption.COUNT in options:
        answer.number(b"COUNT", len(numbers))
    if ReturnOption.ALL in options and numbers:
        answer.set(b"ALL", spans_in_order(numbers))
    if returns.partial is not None:
        answer.window(returns.partial, spans_in_order(_window(numbers, returns)))
    return answer
