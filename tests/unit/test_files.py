"""A durable file: whole or not there, with its mode, and never through a link that lies in its way."""

import os
from pathlib import Path

import pytest

from postkeep.base import files


def test_a_file_is_replaced_whole_with_the_mode_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "state"
    files.write_file(path, b"old", 0o644)
    files.write_file(path, b"new and longer")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new and longer", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_before_the_end_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state"
    files.write_file(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", full)
        with pytest.raises(OSError, match="No space"):
            files.write_file(path, b"new")
    assert path.read_bytes() == b"old"
    files.write_file(path, b"new")  # what was left over is in nobody's way
    assert path.read_bytes() == b"new"


def test_the_content_is_durable_before_the_name_and_the_name_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, order = tmp_path / "state", []
    content, names = os.fdatasync, os.fsync

    def sync_content(descriptor: int) -> None:
        order.append(("content", path.exists()))
        content(descriptor)

    def sync_names(descriptor: int) -> None:
        order.append(("names", path.exists()))
        names(descriptor)

    monkeypatch.setattr(os, "fdatasync", sync_content)
    monkeypatch.setattr(os, "fsync", sync_names)
    files.write_file(path, b"x")
    assert order == [("content", False), ("names", True)]


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"keep")
    (tmp_path / "state.new").symlink_to(precious)
    with pytest.raises(OSError, match=r"."):
        files.write_file(tmp_path / "state", b"x")
    assert precious.read_bytes() == b"keep"
