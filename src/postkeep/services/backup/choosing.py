"""Which parts of which backups make up a restored node. Pure decisions.

Rows come from one backup, and with a point in time from the one before it and the log from there. Bodies
come from the backups on both sides of that moment. Keys: the slots of kms from the same backup while its
weekly key lives, for its rows and slots belong together, else the newest that can be opened; the wraps from
the newest, for what has been destroyed since is missing there and nothing else is.
"""

from collections.abc import Sequence
from typing import NamedTuple

from postkeep.base.errors import NotFoundError
from postkeep.model.backup import File, Manifest, Tree


class Choice(NamedTuple):
    """What is put together."""

    rows: Manifest
    """The base of the database."""
    until: Manifest
    """The backup whose log reaches the moment, and whose ledger and packs are taken."""
    to_ms: int
    """The moment of the rows; 0: that of the backup."""
    slots: Manifest
    wraps: Manifest

    @property
    def own_keys(self) -> bool:
        """Whether rows and slots of kms are of one backup."""
        return self.slots.id == self.until.id


def choose(manifests: Sequence[Manifest], live: set[str], backup: str = "", to_ms: int = 0) -> Choice:
    """Choose from manifests, oldest first; `live`: the weekly keys that open.

    NotFoundError (`no_such_backup`, `no_point`, `no_keys`) with a text for the operator.
    """
    if not manifests:
        raise NotFoundError(code="no_backups", public_text="There are no backups at this place.")
    if to_ms:
        line = manifests[-1].line
        mine = [manifest for manifest in manifests if manifest.line == line]
        before = [manifest for manifest in mine if manifest.finished_ms <= to_ms]
        after = [manifest for manifest in mine if manifest.created_ms >= to_ms]
        if not before or not after:
            raise NotFoundError(
                code="no_point",
                public_text="The backups do not reach this moment: one must be before it, and one after.",
            )
        rows, until = before[-1], after[0]
    else:
        chosen = [manifest for manifest in manifests if manifest.id == backup] if backup else manifests
        if not chosen:
            raise NotFoundError(code="no_such_backup", public_text=f"There is no backup {backup} here.")
        rows = until = chosen[-1]
    opening = [m for m in manifests if m.line == rows.line and m.keys.week in live and _later(m, until)]
    if not opening:
        raise NotFoundError(
            code="no_keys",
            public_text="No key stream that fits this backup can be opened any more: its mail is unreadable, "
            "and it can't be restored.",
        )
    slots = until if until.keys.week in live else opening[-1]
    return Choice(rows, until, to_ms, slots, opening[-1])


def _later(candidate: Manifest, than: Manifest) -> bool:
    return candidate.finished_ms >= than.finished_ms


def joined_packs(choice: Choice) -> Tree:
    """Return the packs of both sides of the moment; of one that is in both, the longer."""
    files: dict[str, File] = {}
    for manifest in (choice.rows, choice.until):
        for file in manifest.tree("packs").files:
            if file.path not in files or file.size > files[file.path].size:
                files[file.path] = file
    return Tree("packs", [], sorted(files.values(), key=lambda file: file.path))
