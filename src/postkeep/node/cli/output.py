"""How a command answers: a table or a sentence for people, JSON for programs; and how it fails."""
# ruff: noqa: T201 - this is where the command line prints

import datetime as dt
import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NoReturn

import msgspec

from postkeep.base.errors import ApprovalNeededError, PostkeepError
from postkeep.node.cli.texts import error_text, text

_PIPE_COLUMNS = 240
"""How wide a table is that no terminal limits."""


class Exit(IntEnum):
    """Exit codes, as docs/commands.md lists them."""

    OK = 0
    FAILED = 1
    """The request was refused, or is about something that is not there or there already."""
    USAGE = 2
    NOT_RUNNING = 3
    UNAVAILABLE = 4
    """Nothing was done; trying again may help."""
    PROBLEMS = 5
    """A check has found something."""
    APPROVAL_NEEDED = 6
    """Other people must approve it first; the request that asks them stands."""


class CommandError(PostkeepError):
    """A command can't go on; carries its exit code."""

    def __init__(self, public_text: str, exit_code: Exit = Exit.FAILED, code: str = "command") -> None:
        super().__init__(code=code, public_text=public_text)
        self.exit_code = exit_code


class Output:
    """Where a command's answer goes."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def say(self, value: Any, sentence: str) -> None:
        """Answer with one sentence, or `value` as JSON."""
        if self.as_json:
            self._write_json(value)
        else:
            print(sentence)

    def lines(self, value: Any, sentences: Sequence[str]) -> None:
        """Answer with several sentences, or `value` as JSON."""
        self.say(value, "\n".join(sentences))

    def rows(self, values: Sequence[Any], columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
        """Answer with a table, or `values` as a JSON list."""
        if self.as_json:
            self._write_json(list(values))
            return
        self._table(columns, cells)

    def remark(self, sentence: str) -> None:
        """Say something more below a table; in JSON it is in the values."""
        if not self.as_json:
            print(sentence)

    def row(self, value: Any, columns: Sequence[str], cells: Sequence[str]) -> None:
        """Answer with a table of one row, or `value` as a JSON object."""
        if self.as_json:
            self._write_json(value)
            return
        self._table(columns, [cells])

    @staticmethod
    def _table(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
        if not cells:
            print(text("none"))
            return
        from rich import box
        from rich.console import Console
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            table.add_column(text(f"col.{column}"), overflow="fold")
        for row in cells:
            table.add_row(*row)
        width = None if sys.stdout.isatty() else _PIPE_COLUMNS
        Console(width=width, highlight=False, markup=False).print(table)

    def fail(self, error: PostkeepError) -> NoReturn:
        """Say what is wrong on standard error and end with the exit code that fits."""
        if isinstance(error, CommandError):
            exit_code, message = error.exit_code, error.public_text
        else:
            exit_code = Exit.UNAVAILABLE if error.temporary else Exit.FAILED
            if isinstance(error, ApprovalNeededError):
                exit_code = Exit.APPROVAL_NEEDED
            message = error_text(error.code, error.public_text)
        if self.as_json:
            sys.stderr.buffer.write(
                msgspec.json.encode({"error": {"code": error.code, "message": message}}) + b"\n"
            )
            sys.stderr.flush()
        else:
            print(f"postkeep: {message}", file=sys.stderr)
        sys.exit(exit_code)

    def _write_json(self, value: Any) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(plain(value)) + b"\n")
        sys.stdout.flush()


def plain(value: Any) -> Any:
    """Turn wire values into JSON values: identifiers as hexadecimal."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(item) for name, item in msgspec.structs.asdict(value).items()}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def moment(ms: int | None) -> str:
    """Show a time in UTC, to the second."""
    if not ms:
        return "-"
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def instant(given: str) -> int:
    """Read a day or a moment (UTC unless it says otherwise) as milliseconds; empty: 0."""
    if not given:
        return 0
    try:
        moment_given = dt.datetime.fromisoformat(given)
    except ValueError as exc:
        raise CommandError(text("error.time", given=given), Exit.USAGE, "time") from exc
    if moment_given.tzinfo is None:
        moment_given = moment_given.replace(tzinfo=dt.UTC)
    return max(0, int(moment_given.timestamp() * 1000))


def end_of_day(given: str) -> int | None:
    """Read a day that something stands until: its end, in UTC; empty: None."""
    if not given:
        return None
    try:
        day = dt.date.fromisoformat(given)
    except ValueError as exc:
        raise CommandError(text("error.day"), Exit.USAGE, "day") from exc
    end = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), dt.UTC)
    return int(end.timestamp() * 1000)


def last_day(until_ms: int | None) -> str:
    """Show an end as it was given: the last day on which something stands."""
    return moment(until_ms - 1)[:10] if until_ms else "-"


def size(octets: int | None) -> str:
    """Show a number of octets."""
    if octets is None:
        return "-"
    number = float(octets)
    for unit in ("B", "K", "M", "G"):
        if number < 1024:  # noqa: PLR2004 - binary units
            return f"{number:.0f}{unit}" if number == int(number) else f"{number:.1f}{unit}"
        number /= 1024
    return f"{number:.1f}T"


def parse_size(given: str) -> int | None:
    """Read a size as `10G`; `none` is no limit."""
    if given.lower() == "none":
        return None
    factor = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}.get(given[-1:].upper(), 1)
    digits = given[:-1] if factor > 1 else given
    if not digits.isascii() or not digits.isdigit():
        raise CommandError(text("error.size"), Exit.USAGE, "size")
    return int(digits) * factor
