"""The ceremony: a secret is split into shares of words, and each is shown to its holder alone."""

import hashlib
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from postkeep.base.errors import InvalidInputError
from postkeep.crypto import shares
from postkeep.crypto.context import context
from postkeep.crypto.shares import Roster, ShareError
from postkeep.node.cli.output import CommandError, Exit
from postkeep.node.cli.texts import text

COLUMNS: Final = 3
WORDS_CONFIRMED: Final = 3
"""Words that a holder types again: enough to see that they are on paper, few enough to be done."""


class Screen(Protocol):
    """What a ceremony needs of a terminal; `terminal.Terminal` is one."""

    def clear(self) -> None:
        """Leave nothing on the screen."""

    def show(self, line: str = "", *, end: str = "\n") -> None:
        """Write a line."""

    def ask(self, question: str) -> str:
        """Ask for a line."""


@dataclass(frozen=True, slots=True)
class Ceremony:
    """What came out of it."""

    secret: bytes
    roster: Roster


def hold(screen: Screen, threshold: int, count: int, names: Sequence[str]) -> Ceremony:
    """Split a new secret and show each holder a share; names that are not given are asked for."""
    secret = secrets.token_bytes(shares.SECRET_BYTES)
    made = shares.split(secret, threshold, count)
    screen.clear()
    screen.show(text("ceremony.begin", threshold=threshold, count=count))
    holders: list[str] = []
    for number, share in enumerate(made, start=1):
        holders.append(names[number - 1] if names else _ask_name(screen, number, count, holders))
        screen.ask(text("ceremony.alone", name=holders[-1], number=number, count=count))
        _show_to_holder(screen, number, count, holders[-1], share)
    screen.show(text("ceremony.end", threshold=threshold, count=count))
    return Ceremony(secret, shares.roster_of(made, holders))


def write_files(directory: Path, threshold: int, count: int, names: Sequence[str]) -> Ceremony:
    """Split a new secret and write each share to a file of its own, for a printing station or a test."""
    if len(names) != count:
        raise CommandError(text("error.ceremony_names", count=count), Exit.USAGE, "share.names")
    secret = secrets.token_bytes(shares.SECRET_BYTES)
    made = shares.split(secret, threshold, count)
    roster = shares.roster_of(made, names)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for holder, share in zip(roster.holders, made, strict=True):
        path = directory / f"share-{holder.number}.txt"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            raise CommandError(text("error.ceremony_file", path=path), Exit.USAGE, "file_exists") from None
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(share + "\n")
            file.flush()
            os.fsync(file.fileno())
    return Ceremony(secret, roster)


def gather(screen: Screen, roster: Roster) -> bytes:
    """Have holders type their shares until there are enough; return the secret."""
    given: list[str] = []
    heard: set[int] = set()
    screen.clear()
    names = ", ".join(holder.name for holder in roster.holders)
    screen.show(text("shares.needed", threshold=roster.threshold, count=len(roster.holders), names=names))
    while len(heard) < roster.threshold:
        screen.show(text("shares.next", number=len(heard) + 1, threshold=roster.threshold))
        try:
            holder, share = shares.check_share(roster, ask_share(screen))
            screen.clear()
        except ShareError as error:
            screen.clear()
            screen.show(error_words(error))
            continue
        if holder.number in heard:
            screen.show(text("error.share.repeated", name=holder.name, number=holder.number))
            continue
        heard.add(holder.number)
        given.append(share)
        screen.show(text("shares.taken", name=holder.name, number=len(heard), threshold=roster.threshold))
    return shares.combine(roster, given)


def read_shares(descriptor: int, roster: Roster) -> bytes:
    """Return the secret of the shares that come from a descriptor; CommandError says whose is wrong."""
    try:
        return shares.combine(roster, read_lines(descriptor))
    except ShareError as error:
        raise CommandError(error_words(error), code=error.code) from error


def read_lines(descriptor: int) -> list[str]:
    """Read shares from a descriptor, one on a line, to its end."""
    limit = (shares.TEXT_CHARS_MAX + 1) * shares.SHARES_MAX
    content = b""
    while len(content) <= limit and (part := os.read(descriptor, limit + 1)):
        content += part
    lines = [line for line in content.decode("ascii", "replace").splitlines() if line.strip()]
    if descriptor > sys.stderr.fileno():  # the standard ones stay: their numbers must not go to others
        os.close(descriptor)
    if len(content) > limit or not 0 < len(lines) <= shares.SHARES_MAX:
        raise CommandError(text("error.share.lines", limit=shares.SHARES_MAX), Exit.USAGE, "share.lines")
    return lines


def ask_share(screen: Screen) -> str:
    """Read a share, in as many lines as its holder likes; words are looked up as they come."""
    words: list[str] = []
    while len(words) < shares.WORDS_PER_SHARE:
        line = screen.ask(text("shares.word", number=len(words) + 1))
        for word in line.split():
            try:
                words.append(shares.word_in_full(word.lower(), len(words) + 1))
            except ShareError:
                screen.show(text("error.share.word", number=len(words) + 1, name="", whose=""))
                break
    return " ".join(words)


def error_words(error: ShareError) -> str:
    """Say what is wrong with a share, in the language chosen."""
    whose = text("shares.whose", name=error.holder, number=error.number) if error.holder else ""
    return text(f"error.{error.code}", name=error.holder, number=error.number, whose=whose)


def check_code(share: str) -> str:
    """Return eight digits by which a holder can tell that a copy is right without showing it."""
    return hashlib.sha256(context("share check code", share)).hexdigest()[:8]


def _ask_name(screen: Screen, number: int, count: int, taken: Sequence[str]) -> str:
    while True:
        try:
            name = shares.checked_name(screen.ask(text("ceremony.name", number=number, count=count)))
        except InvalidInputError:
            screen.show(text("error.share.name", limit=shares.NAME_CHARS_MAX))
            continue
        if name.casefold() not in {other.casefold() for other in taken}:
            return name
        screen.show(text("error.share.names"))


def _show_to_holder(screen: Screen, number: int, count: int, name: str, share: str) -> None:
    words = share.split()
    while True:
        screen.clear()
        screen.show(text("ceremony.share", name=name, number=number, count=count) + "\n")
        for line in grid(words):
            screen.show(line)
        screen.ask("\n" + text("ceremony.written", code=check_code(share)))
        screen.clear()
        if _confirmed(screen, words):
            screen.clear()
            return
        screen.ask(text("ceremony.again"))


def _confirmed(screen: Screen, words: Sequence[str]) -> bool:
    positions = sorted(secrets.SystemRandom().sample(range(len(words)), WORDS_CONFIRMED))
    return all(
        screen.ask(text("ceremony.word", number=position + 1)).lower() == words[position]
        for position in positions
    )


def grid(words: Sequence[str]) -> list[str]:
    """Lay numbered words out in columns, down and then across."""
    rows = -(-len(words) // COLUMNS)
    cells = [f"{number:3} {word:12}" for number, word in enumerate(words, start=1)]
    return ["".join(cells[row::rows]).rstrip() for row in range(rows)]
