"""A terminal on which one person after another sees something that the next must not see."""

import sys
from typing import Final

from postkeep.node.cli.output import CommandError, Exit
from postkeep.node.cli.texts import text

_CLEAR: Final = "\x1b[2J\x1b[3J\x1b[H"
"""Erase the screen and what has scrolled off it, and go to the top (ECMA-48; 3J as xterm has it)."""


class Terminal:
    """Asks and shows; what it shows goes to the terminal itself, never into a pipe."""

    def __init__(self) -> None:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise CommandError(text("error.no_terminal"), Exit.USAGE, "no_terminal")

    def clear(self) -> None:
        """Leave nothing on the screen."""
        self.show(_CLEAR, end="")

    def show(self, line: str = "", *, end: str = "\n") -> None:
        """Write a line."""
        sys.stderr.write(line + end)
        sys.stderr.flush()

    def ask(self, question: str) -> str:
        """Ask for a line; CommandError if the terminal has ended."""
        self.show(question, end="")
        line = sys.stdin.readline()
        if not line:
            raise CommandError(text("error.terminal_ended"), Exit.USAGE, "no_terminal")
        return line.strip()
