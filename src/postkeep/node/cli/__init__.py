"""The command line. `postkeep --help` lists the commands; docs/commands.md the exit codes."""

import os
import sys
from typing import Final

_EVERYWHERE: Final = {"--data": True, "--lang": True, "--as": True, "--json": False}
"""Options that may stand before or after a command, and whether they take a value."""


def hoist(arguments: list[str]) -> list[str]:
    """Move the options that may stand anywhere to the front, where the parser looks for them."""
    first: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
            break
        name, equals, _ = word.partition("=")
        if name not in _EVERYWHERE:
            rest.append(word)
            continue
        first.append(word)
        if _EVERYWHERE[name] and not equals:
            first += [value for value in [next(words, None)] if value is not None]
    return first + rest


def main() -> None:
    """Run the command line."""
    # OpenSSL reads this at its first use, so it comes before anything that hashes or encrypts is imported.
    os.environ.setdefault("OPENSSL_CONF", os.path.join(os.path.dirname(__file__), "..", "openssl.cnf"))  # noqa: PTH118, PTH120 - pathlib would import half the library first
    from postkeep.base.errors import PostkeepError
    from postkeep.node.cli import texts
    from postkeep.node.cli.output import Output

    arguments = hoist(sys.argv[1:])
    texts.choose(_language_of(arguments))
    from postkeep.node.cli.app import build  # its help is in the language chosen

    try:
        build()(args=arguments, prog_name="postkeep")
    except PostkeepError as error:
        Output(as_json="--json" in arguments).fail(error)
    except KeyboardInterrupt:
        sys.exit(130)


def _language_of(arguments: list[str]) -> str:
    for position, word in enumerate(arguments):
        if word == "--lang":
            return arguments[position + 1] if position + 1 < len(arguments) else ""
        if word.startswith("--lang="):
            return word.partition("=")[2]
    return ""
