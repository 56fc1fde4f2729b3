"""PREVIEW: the first words of a message (RFC 8970), from the start of its first text part."""

import re
from array import array
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Final

from postkeep.faces.imap.account import Account
from postkeep.faces.imap.opening import Piece, group, open_pieces
from postkeep.faces.imap.selected import Selected
from postkeep.protocols.imap.strings import render_string
from postkeep.protocols.mime import decode_octets
from postkeep.protocols.mime.transfer import undo_encoding
from postkeep.services.delivery.summary import PartSpan, Summary

PREVIEW_CHARACTERS_MAX: Final = 200
"""RFC 8970 section 3.1 wants no more."""
READ_BYTES_MAX: Final = 4096
"""Read of a part: markup stands before the words, and the first chunk is opened in any case."""

_SPACE: Final = re.compile(r"\s+")
_QUOTED: Final = re.compile(r"^>.*$", re.MULTILINE)


async def read_previews(
    account: Account, selected: Selected, uids: "array[int]", summaries: Mapping[int, Summary]
) -> dict[int, bytes]:
    """Return each message's preview as FETCH writes it; NIL for one that is gone."""
    parts = {uid: first_text(summaries[uid]) for uid in uids if uid in summaries}
    pieces = [
        Piece(uid, summaries[uid].size, part.body_offset, min(part.body_length, READ_BYTES_MAX))
        for uid, part in parts.items()
        if part is not None
    ]
    previews = {uid: b'""' if uid in parts else b"NIL" for uid in uids}
    for some in group(pieces):
        for piece, octets in zip(some, await open_pieces(account, selected.place, some), strict=True):
            part = parts[piece.uid]
            if octets is None or part is None:
                previews[piece.uid] = b'""' if not piece.length else b"NIL"
            else:
                previews[piece.uid] = render_string(preview_of(part, octets).encode())
    return previews


def first_text(summary: Summary) -> PartSpan | None:
    """Choose the part to show: the first plain text that is not attached, else the first HTML."""
    texts = [part for part in summary.parts if part.type.startswith("text/") and not part.is_attachment]
    plain = [part for part in texts if part.type == "text/plain"]
    html = [part for part in texts if part.type == "text/html"]
    return next(iter(plain + html), None)


def preview_of(part: PartSpan, octets: bytes) -> str:
    """Return the first words of a part's beginning, on one line, what it quotes left out."""
    plain = undo_encoding(octets, part.encoding)
    text = decode_octets(plain, part.charset.encode("latin-1", "replace"))
    if part.type == "text/html":
        words = _Words()
        words.feed(text)
        text = " ".join(words.found)
    text = text.replace("\0", " ")
    line = _SPACE.sub(" ", _QUOTED.sub("", text)).strip() or _SPACE.sub(" ", text).strip()
    return line[:PREVIEW_CHARACTERS_MAX].removesuffix("\ufffd")


class _Words(HTMLParser):
    """What a reader sees of HTML, however broken it is."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Stop listening where nothing is shown."""
        del attrs
        self._hidden += tag in {"script", "style", "title", "head"}

    def handle_endtag(self, tag: str) -> None:
        """Listen again."""
        if tag in {"script", "style", "title", "head"} and self._hidden:
            self._hidden -= 1

    def handle_data(self, data: str) -> None:
        """Take words."""
        if not self._hidden:
            self.found.append(data)
