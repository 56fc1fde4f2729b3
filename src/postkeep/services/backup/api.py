"""The backup worker's methods, as values on the wire."""

import msgspec

from postkeep.model.warrant import Warrant
from postkeep.services.steward.api import Command


class Create(Command, frozen=True):
    """`backup.create`: begin a backup; answers `Job` at once."""

    full: bool = False
    """Send every piece again, whatever the target has."""


class Rekey(Command, frozen=True):
    """`backup.rekey`: a backup under a new weekly key, then the end of all older ones. Answers `Job`."""


class Prune(Command, frozen=True):
    """`backup.prune`: keep the newest `keep` backups; 0: what the configuration says. Answers `Job`."""

    keep: int = 0


class Status(Command, frozen=True):
    """`backup.status`: how the last or present job does."""


class Job(msgspec.Struct, frozen=True):
    """A job: `running`, `done`, `failed`, or `none` since the start."""

    state: str
    act: str = ""
    step: str = ""
    backup: str = ""
    bytes_total: int = 0
    bytes_shipped: int = 0
    objects_shipped: int = 0
    incremental: bool = False
    removed: int = 0
    seconds: float = 0.0
    told_ms: int = 0
    """Everything that was destroyed before this moment is known to the target; 0: not yet since the start."""
    code: str = ""
    text: str = ""


class StillHolding(msgspec.Struct, frozen=True):
    """`backup.still_holding`: which backups made before a moment can still open what was destroyed since.

    The answer holds for any principal: a key stream is of all of them. What was destroyed until now is in the
    target as tombstones before this is answered.
    """

    tenant: bytes
    principal: bytes
    before_ms: int


class BackupsLeft(msgspec.Struct, frozen=True):
    """Their ids, and when the last of their keys is destroyed (0: there are none)."""

    ids: list[str]
    until_ms: int


class Find(msgspec.Struct, frozen=True):
    """`backup.find`: answers `Done` if there is a backup of this id, NotFoundError otherwise."""

    id: str


class Destroy(msgspec.Struct, frozen=True):
    """`backup.destroy`: remove one backup, and its weekly key where no other backup needs it."""

    warrant: Warrant


class Done(msgspec.Struct, frozen=True):
    """The call has done its work and has nothing else to say."""
