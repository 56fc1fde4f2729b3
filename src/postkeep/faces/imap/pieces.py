"""Cutting what a command is about into pieces that end where a page does: no page is read in halves."""

from collections.abc import Iterable, Iterator

from postkeep.faces.imap.view import View
from postkeep.services.vault.pages_api import PAGE_SHIFT


def pieces(view: View, runs: Iterable[range], size: int) -> Iterator[list[range]]:
    """Cut runs into pieces of at most `size` positions (at least a page of them); where a run is cut, the
    next piece begins with another page."""
    piece: list[range] = []
    room = size
    for whole in runs:
        run = whole
        while len(run) > room:
            following = view.uid_at(run.start + room)
            border = view.span(following >> PAGE_SHIFT << PAGE_SHIFT, following).start
            if border > run.start:
                piece.append(range(run.start, border))
                run = range(border, run.stop)
            if not piece:  # less room than one page takes
                piece.append(run[:room])
                run = run[room:]
            yield piece
            piece, room = [], size
        piece.append(run)
        room -= len(run)
        if not room:
            yield piece
            piece, room = [], size
    if piece:
        yield piece
