"""What the steward has begun and not finished, so that a crash leaves nothing half open.

One empty file per act, named by identifiers only: `delete-user.<tenant>.<principal>`. It is made durable
before the first step and removed after the last; whatever is found later is finished or undone.
"""

from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from postkeep.base.files import sync_directory
from postkeep.base.ids import parse_id


class Act(StrEnum):
    """Acts with several steps in several keepers."""

    CREATE_TENANT = "create-tenant"
    DELETE_TENANT = "delete-tenant"
    CREATE_USER = "create-user"
    DELETE_USER = "delete-user"


class Begun(NamedTuple):
    """One act under way."""

    act: Act
    tenant: bytes
    principal: bytes

    @property
    def made(self) -> bytes:
        """The identifier of what is made; empty for a removal."""
        if self.act is Act.CREATE_TENANT:
            return self.tenant
        return self.principal if self.act is Act.CREATE_USER else b""

    @property
    def file_name(self) -> str:
        """The name of its file."""
        return f"{self.act}.{self.tenant.hex()}.{self.principal.hex()}"


class Pending:
    """The acts under way, as files in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, exist_ok=True)

    def begin(self, begun: Begun) -> None:
        """Note an act, durably."""
        (self._directory / begun.file_name).touch(mode=0o600)
        self._sync()

    def finish(self, begun: Begun) -> None:
        """Forget an act that is complete or undone."""
        (self._directory / begun.file_name).unlink(missing_ok=True)
        self._sync()

    def all(self) -> list[Begun]:
        """List what was begun and not finished, oldest identifier first."""
        found = []
        for path in sorted(self._directory.iterdir()):
            act, tenant, principal = path.name.split(".")
            found.append(Begun(Act(act), parse_id(tenant), parse_id(principal)))
        return found

    def _sync(self) -> None:
        sync_directory(self._directory)
