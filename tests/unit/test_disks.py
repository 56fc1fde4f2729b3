"""Places declared apart must be apart: two categories on one device do not start (TM-36)."""

import tempfile
from pathlib import Path

import pytest

from postkeep.base.errors import InvalidInputError
from postkeep.node.config import CategoryConfig, Config
from postkeep.node.disks import check_disks, sharing


def config(**directories: Path) -> Config:
    return Config(
        categories={name: CategoryConfig(directory=str(path)) for name, path in directories.items()}
    )


def test_two_categories_on_one_device_are_refused_by_name(tmp_path: Path) -> None:
    places = config(content=tmp_path / "a", audit=tmp_path / "b")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert sharing(places) == [("audit", "content")]
    with pytest.raises(InvalidInputError, match="audit and content"):
        check_disks(places)


def test_categories_on_devices_of_their_own_are_accepted(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        if Path(memory).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("this machine has one file system only")
        check_disks(config(content=tmp_path, audit=Path(memory)))


def test_one_declared_place_or_none_says_nothing_about_others(tmp_path: Path) -> None:
    check_disks(Config())
    check_disks(config(content=tmp_path))
