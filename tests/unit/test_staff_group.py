"""G1: who on the machine can find a running node: its owner, and the staff's group where one is set."""

import grp
import os
import stat
from pathlib import Path

import pytest

from postkeep.base.errors import InvalidInputError
from postkeep.node.config import Config, NodeConfig
from postkeep.node.running import LOCK_FILE, Lock, running


def test_the_lock_file_is_the_owners_alone_unless_a_group_is_named(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    own = grp.getgrgid(os.getegid()).gr_name
    for group, mode in (("", 0o600), (own, 0o640), ("", 0o600)):
        with Lock(run, Config(node=NodeConfig(staff_group=group))):
            status = (run / LOCK_FILE).stat()
            assert stat.S_IMODE(status.st_mode) == mode
            assert status.st_gid == os.getegid()
            assert running(tmp_path) is not None


def test_a_group_that_there_is_not_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidInputError, match="no group of-nobody"),
        Lock(tmp_path, Config(node=NodeConfig(staff_group="of-nobody"))),
    ):
        pass
