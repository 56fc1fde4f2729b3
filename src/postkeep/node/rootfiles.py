"""Writing a file where somebody less trusted may write too: never through a link that they have left."""

import os
from pathlib import Path


def replace_file(path: Path, content: bytes, *, mode: int, owner: int | None = None) -> None:
    """Put a new file in place of whatever is at `path`, a link included; complete or not at all."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(descriptor, mode)
        if owner is not None:
            os.fchown(descriptor, owner, owner)
    unfinished.rename(path)
