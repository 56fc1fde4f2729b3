"""The texts of the command line by subject: key, then English and Chinese."""

from typing import Final

from postkeep.node.cli.words import (
    access,
    backups,
    destruction,
    explaining,
    exports,
    governance,
    media,
    restored,
    roots,
    rotation,
    sharing,
    tokens,
    witnesses,
)

WORDS: Final[dict[str, tuple[str, str]]] = {
    **access.TEXTS,
    **backups.TEXTS,
    **destruction.TEXTS,
    **explaining.TEXTS,
    **exports.TEXTS,
    **governance.TEXTS,
    **media.TEXTS,
    **restored.TEXTS,
    **roots.TEXTS,
    **rotation.TEXTS,
    **sharing.TEXTS,
    **tokens.TEXTS,
    **witnesses.TEXTS,
}
