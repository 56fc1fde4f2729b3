"""The work of `postkeep export create`: reads with the session's grant, writes one sealed file, or none."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from postkeep.base.errors import PostkeepError
from postkeep.base.files import sync_directory
from postkeep.node.cli.output import CommandError, Exit
from postkeep.node.cli.scene import Scene
from postkeep.node.cli.texts import error_text, text
from postkeep.node.running import running
from postkeep.services.steward.exports_api import ExportAsked

if TYPE_CHECKING:
    from postkeep.crypto.export_file import Sealed
    from postkeep.node.cli.export_session import ExportSession
    from postkeep.services.export.contents import End

PROGRESS_SECONDS: Final = 0.5
"""Between two signs of life on a terminal."""
_CLEAR_LINE: Final = "\r\x1b[K"
"""Go to the beginning of the line and empty it (ECMA-48)."""


async def export_mail(
    scene: Scene, asked: ExportAsked, into: Path, seal: Callable[[], "Sealed"]
) -> tuple["End", bytes, str]:
    """Read and write; return the last member, the file's SHA-256, and why the request was not closed."""
    from postkeep.node.cli.export_session import ExportSession, keep_memory_private

    state = running(scene.data)
    if state is None:
        raise CommandError(text("error.not_running", data=scene.data), Exit.NOT_RUNNING, "not_running")
    keep_memory_private()
    async with ExportSession(scene.data, Path(state.run), asked.request, scene.login()) as session:
        await session.keepers()  # refused here, before a passphrase is asked for or a file is made
        sealed = seal()
        try:
            with new_file(into) as file:
                end, digest = await _write(session, asked, file, sealed)
        except CommandError:
            raise  # the file can't be written, and says so
        except PostkeepError as error:
            why = error_text(error.code, error.public_text)
            code = Exit.UNAVAILABLE if error.temporary else Exit.FAILED
            raise CommandError(text("error.export_broken", why=why), code, "export_broken") from error
        try:
            await session.close_request()
        except PostkeepError as error:
            return end, digest, error_text(error.code, error.public_text)
        return end, digest, ""


async def _write(
    session: "ExportSession", asked: ExportAsked, file: BinaryIO, sealed: "Sealed"
) -> tuple["End", bytes]:
    from postkeep.services.export import contents
    from postkeep.services.export.reading import Exporter, Subject
    from postkeep.services.export.sealed_file import SealedWriter
    from postkeep.services.vault.export_api import ExportEnd

    chosen = asked.selection
    head = contents.Head(
        format=contents.FORMAT,
        address=asked.address,
        tenant=asked.tenant.hex(),
        principal=asked.principal.hex(),
        mailbox=chosen.mailbox.hex(),
        since_ms=chosen.since_ms,
        until_ms=chosen.until_ms,
        request=asked.request.hex(),
        approved=asked.reason,
        made_ms=time.time_ns() // 1_000_000,
    )
    writer = SealedWriter(file, sealed)
    subject = Subject(head, asked.tenant, asked.principal, chosen)
    end = await Exporter(subject, session.keepers, writer.write, _progress()).run()
    if sys.stderr.isatty():
        sys.stderr.write(_CLEAR_LINE)
    digest = writer.finish()
    file.flush()
    os.fsync(file.fileno())
    keepers = await session.keepers()
    told = ExportEnd(asked.principal, chosen, end.messages, digest)
    await keepers.vault.export_end(told, ticket=keepers.ticket)
    return end, digest


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file that takes its name when it is whole, and is deleted when it does not come to that."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.unlink(missing_ok=True)  # what a command that was killed has left: sealed, and of no use
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise unwritable(path, exc) from exc
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        part.rename(path)
        sync_directory(path.parent)
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise unwritable(path, exc) from exc
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _progress() -> Callable[[int, int], None]:
    """Show on a terminal how far it is."""
    if not sys.stderr.isatty():
        return lambda _done, _all: None
    shown = 0.0

    def show(done: int, everything: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= PROGRESS_SECONDS:
            shown = time.monotonic()
            sys.stderr.write(_CLEAR_LINE + text("export.progress", done=done, all=everything))
            sys.stderr.flush()

    return show


def unwritable(path: Path, error: OSError) -> CommandError:
    """Make the error for a file that can't be written."""
    why = error.strerror or type(error).__name__
    return CommandError(text("error.export_unwritable", path=path, why=why), code="export_unwritable")
