"""What a reader sees of HTML, as plain text for searches: tags, scripts and styles out, entities undone.

It is no parser of HTML: nothing is rendered or fetched and no document is refused. It takes time in
proportion to its input, whatever the input is.
"""

import re
from html import unescape
from typing import Final

_UNSEEN: Final = re.compile(r"<(?:(!--)|(script|style|title|noscript|template)(?=[\s/>]))", re.IGNORECASE)
"""Where something begins that has text which is not shown; the title is shown elsewhere."""

_ENDS: Final = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE)
    for name in ("script", "style", "title", "noscript", "template")
}

_ATTRIBUTES: Final = r"""(?:[\s/](?:[^<>"']|"[^"<]*"|'[^'<]*'|["'])*+)?>"""
"""Up to the end of a tag. A "<" ends every search, so that no input is looked at twice for many tags."""

_INLINE: Final = re.compile(
    r"</?(?:a|abbr|acronym|b|bdi|bdo|big|cite|code|del|dfn|em|font|i|ins|kbd|mark|o:p|q|rb|s|samp|small|span"
    r"|strike|strong|sub|sup|tt|u|var|wbr)" + _ATTRIBUTES,
    re.IGNORECASE,
)
"""Tags that stand within words."""

_TAG: Final = re.compile(r"<[/!?]?[a-z][^\s/<>]{0,40}" + _ATTRIBUTES, re.IGNORECASE)


def text_of_html(html: str) -> str:
    """Return the text of a document; where a tag separates lines or cells there is a space."""
    text = _without_unseen(html)
    if "<" in text:
        text = _TAG.sub(" ", _INLINE.sub("", text))
    return unescape(text) if "&" in text else text


def _without_unseen(html: str) -> str:
    """Leave out comments, scripts and styles; one that is not ended reaches to the end (as in browsers)."""
    kept: list[str] = []
    at = 0
    while (start := _UNSEEN.search(html, at)) is not None:
        kept.append(html[at : start.start()])
        if start[1]:
            end = html.find("-->", start.start() + 2)
            at = end + 3 if end >= 0 else len(html)
        else:
            ended = _ENDS[start[2].lower()].search(html, start.end())
            at = ended.start() if ended else len(html)
    kept.append(html[at:])
    return "".join(kept)
