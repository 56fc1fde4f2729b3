"""The doctor sees where memory is swapped out to, and whether that can be read."""

from pathlib import Path

import pytest

from postkeep.node.doctor.finding import Verdict
from postkeep.node.doctor.memory import check_memory

HEAD = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


@pytest.mark.parametrize(
    ("swaps", "uuid", "verdict"),
    [
        ("", "", Verdict.OK),
        ("/dev/zram0 partition 8388604 0 100\n", "", Verdict.OK),
        ("/dev/dm-3 partition 8388604 0 -2\n", "CRYPT-PLAIN-swap", Verdict.OK),
        ("/dev/dm-3 partition 8388604 0 -2\n", "LVM-a1b2", Verdict.WARN),
        ("/dev/dm-3 partition 8388604 0 -2\n", "", Verdict.WARN),
        ("/swap\\040file file 8388604 0 -2\n", "", Verdict.WARN),
    ],
)
def test_swap_is_fine_only_in_memory_or_encrypted(
    tmp_path: Path, swaps: str, uuid: str, verdict: Verdict
) -> None:
    (tmp_path / "swaps").write_text(HEAD + swaps)
    if uuid:
        (tmp_path / "dm-3" / "dm").mkdir(parents=True)
        (tmp_path / "dm-3" / "dm" / "uuid").write_text(uuid)
    (finding,) = check_memory(tmp_path, tmp_path)
    assert finding.verdict is verdict
    if "file" in swaps.split(" ", 1)[0]:
        assert finding.values["places"] == "/swap file"


def test_a_machine_without_the_list_has_no_swap(tmp_path: Path) -> None:
    (finding,) = check_memory(tmp_path, tmp_path)
    assert finding.verdict is Verdict.OK
