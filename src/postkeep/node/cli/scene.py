"""What every command knows: which node, and how to answer."""

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
import typer

from postkeep.base.secret import Secret
from postkeep.node.cli import asking
from postkeep.node.cli.output import Output
from postkeep.node.cli.texts import text

if TYPE_CHECKING:
    from postkeep.node.cli.operator import StaffLogin

T = TypeVar("T")


class Scene:
    """The data directory and the output of one command."""

    def __init__(
        self, data: Path, *, as_json: bool, staff: str = "", password: Secret[str] | None = None
    ) -> None:
        self.data = data
        self.staff = staff
        """The staff member who acts; empty: the machine's own operator."""
        self._password = password
        self.out = Output(as_json=as_json)

    def ask(self, method: str, request: msgspec.Struct, reply: type[T]) -> T:
        """Ask the steward of the running node."""
        from postkeep.node.cli.operator import call

        return call(self.data, f"steward.{method}", request, reply, self.login())

    def ask_authority(self, method: str, request: msgspec.Struct, reply: type[T]) -> T:
        """Ask the authority of the running node itself: staff, requests, votes."""
        from postkeep.node.cli.operator import call

        return call(self.data, f"authority.{method}", request, reply, self.login())

    def ask_kms(self, method: str, request: msgspec.Struct, reply: type[T]) -> T:
        """Tell kms itself what nobody in between may know."""
        from postkeep.node.cli.operator import call

        return call(self.data, f"kms.{method}", request, reply, self.login())

    def ask_backup(self, method: str, request: msgspec.Struct, reply: type[T]) -> T:
        """Ask the backup worker of the running node."""
        from postkeep.node.cli.operator import call

        return call(self.data, f"backup.{method}", request, reply, self.login())

    def login(self) -> "StaffLogin | None":
        """Return who acts; None: the machine's own operator."""
        from postkeep.node.cli.operator import StaffLogin

        if not self.staff:
            return None
        if self._password is None:
            self._password = asking.staff_password(self.staff, from_stdin=False)
        return StaffLogin(self.staff, self._password)


def scene_of(context: typer.Context) -> Scene:
    """Return the scene that the root command has set."""
    scene = context.obj
    assert isinstance(scene, Scene)
    return scene


def group(app: typer.Typer, name: str, help_key: str) -> typer.Typer:
    """Add a group of commands."""
    made = typer.Typer(help=text(help_key), no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(made, name=name)
    return made
