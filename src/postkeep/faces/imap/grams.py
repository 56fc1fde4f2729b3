"""Short pieces of text by which an index knows what a text may hold. Pure.

Texts are folded and seen as runs without white space. A run of Chinese, Japanese or Korean characters has a
piece for each character and each pair of neighbours; any other run has each three characters in a row, the
spaces at its ends among them. A text that holds a needle has every piece that `grams_of_needle` gives for it:
a filter by pieces passes too much at worst, and never leaves out a text that holds the needle.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

_CJK: Final = "\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U0001b000-\U0001b2ff\U00020000-\U0003ffff"
_RUN: Final = re.compile(rf"[{_CJK}]+|[^\s{_CJK}]+")
_IS_CJK: Final = re.compile(rf"[{_CJK}]")


def runs_in(text: str) -> set[str]:
    """Return the runs of a text, each once."""
    return set(text.split() if text.isascii() else _RUN.findall(text))


def grams_of_run(run: str) -> Iterable[str]:
    """Return the pieces of a run, each once."""
    if _IS_CJK.match(run):
        return {*run, *(run[at : at + 2] for at in range(len(run) - 1))}
    padded = f" {run} "
    return {padded[at : at + 3] for at in range(len(padded) - 2)}


def grams_of_needle(needle: str) -> list[str]:
    """Return pieces that every text has which holds this needle, in its order; none: it says too little."""
    return list(dict.fromkeys(_needed(needle)))


def _needed(needle: str) -> Iterator[str]:
    for found in _RUN.finditer(needle):
        run = found[0]
        if _IS_CJK.match(run):
            if len(run) == 1:
                yield run
            yield from (run[at : at + 2] for at in range(len(run) - 1))
            continue
        # A space in the needle ends the text's run as well; the needle's own ends do not.
        begin = found.start() - (needle[found.start() - 1 : found.start()] == " ")
        end = found.end() + (needle[found.end() : found.end() + 1] == " ")
        yield from (needle[at : at + 3] for at in range(begin, end - 2))
