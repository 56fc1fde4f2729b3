"""Root writes where modules can write too, and is not led astray."""

import os
from pathlib import Path

from postkeep.node.rootfiles import replace_file


def test_a_link_left_in_the_way_is_replaced_and_what_it_points_at_is_untouched(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    for name in ("file", "file.new"):
        (tmp_path / name).symlink_to(precious)
    replace_file(tmp_path / "file", b"new", mode=0o640)
    assert precious.read_text() == "kept"
    assert (tmp_path / "file").read_bytes() == b"new"
    assert not (tmp_path / "file").is_symlink()
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert not os.path.lexists(tmp_path / "file.new")


def test_a_hard_link_left_in_the_way_is_not_written_through(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    (tmp_path / "file").hardlink_to(precious)
    replace_file(tmp_path / "file", b"new", mode=0o600)
    assert precious.read_text() == "kept"
