"""What the steward has begun survives a crash, and names nobody."""

from pathlib import Path

from postkeep.base.ids import NOBODY, new_id
from postkeep.services.steward.pending import Act, Begun, Pending


def test_what_was_begun_is_found_until_it_is_finished(tmp_path: Path) -> None:
    tenant, principal = new_id(), new_id()
    first = Begun(Act.CREATE_USER, tenant, principal)
    second = Begun(Act.DELETE_TENANT, tenant, NOBODY)
    pending = Pending(tmp_path / "pending")
    pending.begin(first)
    pending.begin(second)
    assert Pending(tmp_path / "pending").all() == [first, second]
    pending.finish(first)
    pending.finish(first)
    assert pending.all() == [second]
    assert (tmp_path / "pending").stat().st_mode & 0o777 == 0o700
