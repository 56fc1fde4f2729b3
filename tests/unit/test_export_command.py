"""TM-42: the file that an export writes is whole under its name, or not there; and the passphrase for it."""

import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from postkeep.node.cli import asking
from postkeep.node.cli.export_writing import new_file
from postkeep.node.cli.output import CommandError


def broken_off(path: Path, error: BaseException) -> None:
    """Begin to write a file, and fail."""
    with new_file(path) as file:
        file.write(b"sealed")
        raise error


def test_a_file_has_its_name_when_it_is_whole_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "alice.export"
    with new_file(path) as file:
        file.write(b"sealed")
        assert not path.exists()
    assert path.read_bytes() == b"sealed"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("end", [KeyboardInterrupt, CommandError, MemoryError])
def test_nothing_is_left_of_what_was_broken_off(tmp_path: Path, end: type[BaseException]) -> None:
    with pytest.raises(end):
        broken_off(tmp_path / "alice.export", end("broken off"))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as full:
        broken_off(tmp_path / "alice.export", OSError(28, "No space left on device"))
    assert "No space left" in full.value.public_text
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_command_has_left_goes_and_is_never_written_through(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"mine")
    place = tmp_path / "out"
    place.mkdir()
    (place / ".alice.export.part").symlink_to(elsewhere)
    with new_file(place / "alice.export") as file:
        file.write(b"sealed")
    assert elsewhere.read_bytes() == b"mine"
    assert os.listdir(place) == ["alice.export"]  # noqa: PTH208 - names


def test_a_passphrase_comes_from_a_private_file_or_a_pipe_and_is_long_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "passphrase"
    file.write_bytes(b"long enough for it\n")
    file.chmod(0o600)
    assert asking.file_passphrase(str(file), from_stdin=False, new=True).reveal() == b"long enough for it"
    file.chmod(0o644)
    with pytest.raises(CommandError):
        asking.file_passphrase(str(file), from_stdin=False, new=True)
    for given, new, right in (
        (b"eleven char\n", True, False),
        (b"short\n", False, True),
        (b"twelve chars\r\n", True, True),
    ):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(given), isatty=lambda: False))
        if right:
            read = asking.file_passphrase("", from_stdin=True, new=new)
            assert read.reveal() == given.rstrip(b"\r\n")
        else:
            with pytest.raises(CommandError, match="12"):
                asking.file_passphrase("", from_stdin=True, new=new)
    with pytest.raises(CommandError) as unasked:
        asking.file_passphrase("", from_stdin=False, new=True)
    assert "--passphrase-file" in unasked.value.public_text
