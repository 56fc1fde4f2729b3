"""SEARCH and UID SEARCH: rows first, then summaries, then text, each only where still needed."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from postkeep.faces.imap.limits import SEARCH_PART_BYTES_MAX, SUMMARIES_PER_CALL
from postkeep.faces.imap.loading import load
from postkeep.faces.imap.matching import Facts, Sets, fold, match
from postkeep.faces.imap.opening import Piece, group, open_pieces, open_summaries
from postkeep.faces.imap.selected import Selected
from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.texts import completed
from postkeep.faces.imap.view import batches, runs_of
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.commands import Search
from postkeep.protocols.imap.search import ModSeq, Numbers, ReturnOption, leaves
from postkeep.protocols.imap.sequence import Ranges, spans_of
from postkeep.protocols.mime import decode_octets, decode_words, split_fields
from postkeep.protocols.mime.transfer import undo_encoding
from postkeep.services.delivery.summary import PartSpan, Summary

_ROWS_PER_TURN: Final = 5_000
"""Messages matched by their rows before other clients get a turn."""


async def search(session: Session, tag: bytes, command: Search) -> Completion:
    """Answer SEARCH and UID SEARCH, in the old form or as ESEARCH (RFC 4731)."""
    selected = session.need_selected()
    keys = leaves(command.key)
    by_modseq = any(isinstance(key, ModSeq) for key in keys)
    session.condstore |= by_modseq
    sets = Sets({id(key): _mask(selected, key) for key in keys if isinstance(key, Numbers)})
    found = await _Finder(session, selected, command, sets).find()
    view = selected.view
    numbers = [view.uid_at(at) for at in found] if command.uid else [at + 1 for at in found]
    highest = max((view.modseq(at) for at in found), default=0) if by_modseq and found else None
    returns = None if command.returns is None else command.returns.options
    if returns is None and session.rev2:  # IMAP4rev2 knows the extended answer only
        returns = frozenset({ReturnOption.ALL})
    if returns is None:
        await session.send(responses.search(numbers, highest))
        return Completion(completed("SEARCH"))
    if ReturnOption.SAVE in returns:
        selected.saved = spans_of(view.uid_at(at) for at in _saved(found, returns))
    pieces = _pieces(numbers, returns)
    if highest is not None:
        pieces.append(("MODSEQ", highest))
    if returns != {ReturnOption.SAVE}:
        await session.send(responses.esearch(tag, uid=command.uid, pieces=pieces))
    return Completion(completed("SEARCH"))


def _mask(selected: Selected, key: Numbers) -> bytearray:
    mask = bytearray(len(selected.view))
    for run in selected.positions(key.sequence, uid=key.uid):
        mask[run.start : run.stop] = b"\1" * len(run)
    return mask


def _saved(found: Sequence[int], returns: frozenset[ReturnOption]) -> Sequence[int]:
    """Return what SAVE keeps: with MIN or MAX and neither ALL nor COUNT, only those (RFC 5182 2.4)."""
    if returns & {ReturnOption.ALL, ReturnOption.COUNT} or not returns & {ReturnOption.MIN, ReturnOption.MAX}:
        return found
    ends = found[:1] if ReturnOption.MIN in returns else []
    if ReturnOption.MAX in returns:
        ends = sorted({*ends, *found[-1:]})
    return ends


def _pieces(numbers: Sequence[int], returns: frozenset[ReturnOption]) -> list[tuple[str, int | Ranges]]:
    pieces: list[tuple[str, int | Ranges]] = []
    if ReturnOption.MIN in returns and numbers:
        pieces.append(("MIN", numbers[0]))
    if ReturnOption.MAX in returns and numbers:
        pieces.append(("MAX", numbers[-1]))
    if ReturnOption.COUNT in returns:
        pieces.append(("COUNT", len(numbers)))
    if ReturnOption.ALL in returns and numbers:
        pieces.append(("ALL", spans_of(numbers)))
    return pieces


class _Finder:
    """Decides message by message, in three steps."""

    def __init__(self, session: Session, selected: Selected, command: Search, sets: Sets) -> None:
        self._account = session.need_account()
        self._selected = selected
        self._key = command.key
        self._sets = sets
        self._found: list[int] = []

    async def find(self) -> list[int]:
        """Return the positions that match, ascending."""
        open_positions = []
        await load(self._account, self._selected, [range(len(self._selected.view))])
        for at in range(len(self._selected.view)):
            if at % _ROWS_PER_TURN == _ROWS_PER_TURN - 1:
                await asyncio.sleep(0)
            if self._decide(at, self._facts(at)) is None:
                open_positions.append(at)
        for batch in batches(runs_of(open_positions), SUMMARIES_PER_CALL):
            await self._by_summaries([at for run in batch for at in run])
        return sorted(self._found)

    def _decide(self, at: int, facts: Facts) -> bool | None:
        found = match(self._key, facts, self._sets)
        if found:
            self._found.append(at)
        return found

    def _facts(self, at: int) -> Facts:
        view = self._selected.view
        return Facts(
            at + 1,
            view.uid_at(at),
            view.flags(at),
            self._selected.is_recent(at),
            view.date_ms(at),
            view.size(at),
            view.modseq(at),
        )

    async def _by_summaries(self, positions: Sequence[int]) -> None:
        view = self._selected.view
        uids = view.uid_ranges(runs_of(positions))
        summaries = await open_summaries(self._account, self._selected.place, uids)
        waiting: list[tuple[int, Facts, Summary]] = []
        for at in positions:
            summary = summaries.get(view.uid_at(at))
            if summary is None:  # expunged meanwhile
                continue
            facts = self._facts(at)._replace(summary=summary)
            if self._decide(at, facts) is None:
                waiting.append((at, facts, summary))
        await self._by_text(waiting)

    async def _by_text(self, waiting: Sequence[tuple[int, Facts, Summary]]) -> None:
        """Read header and text parts of these messages, a bounded number of octets at a time."""
        jobs: list[tuple[int, PartSpan | None, Piece]] = []
        for number, (_, facts, summary) in enumerate(waiting):
            jobs.append((number, None, Piece(facts.uid, summary.size, 0, summary.header_length)))
            jobs += [
                (number, part, Piece(facts.uid, summary.size, part.body_offset, _readable(part)))
                for part in summary.parts
                if part.type.startswith("text/")
            ]
        by_piece = iter(jobs)
        texts: dict[int, list[str]] = {}
        headers: dict[int, str] = {}
        decided = 0
        for pieces in group(piece for _, _, piece in jobs):
            opened = await open_pieces(self._account, self._selected.place, pieces)
            for octets in opened:
                number, part, _ = next(by_piece)
                while decided < number:
                    self._finish(waiting[decided], headers.pop(decided, ""), texts.pop(decided, []))
                    decided += 1
                if part is None:
                    headers[number] = header_text(octets or b"")
                else:
                    texts.setdefault(number, []).append(part_text(part, octets or b""))
            await asyncio.sleep(0)
        for number in range(decided, len(waiting)):
            self._finish(waiting[number], headers.pop(number, ""), texts.pop(number, []))

    def _finish(self, waiting: tuple[int, Facts, Summary], header: str, texts: Iterable[str]) -> None:
        at, facts, _ = waiting
        self._decide(at, facts._replace(header=header, body="\n".join(texts)))


def header_text(header: bytes) -> str:
    """Return a header as SEARCH sees it: one decoded field a line, folded for comparison."""
    lines = [
        f"{field.name.decode('latin-1')}:{decode_words(header[field.value_start : field.value_end])}"
        for field in split_fields(header, 0, len(header))
    ]
    return fold("\n".join(line.replace("\n", " ") for line in lines))


def part_text(part: PartSpan, octets: bytes) -> str:
    """Return a text part as SEARCH sees it: decoded, lines joined where they are only wrapped."""
    plain = undo_encoding(octets, part.encoding)
    return fold(decode_octets(plain, part.charset.encode("latin-1", "replace")))


def _readable(part: PartSpan) -> int:
    return min(part.body_length, SEARCH_PART_BYTES_MAX)
