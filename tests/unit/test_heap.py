"""Memory is given back once, when a busy time has ended."""

import subprocess
import sys

from postkeep.node.heap import BUSY_SHARE, QUIET_SHARE, Lull

_RUSH = """
import gc
from postkeep.node.heap import give_back
gc.disable()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
class Knows: pass
def pair():
    one, other = Knows(), Knows()
    one.other, other.one, one.data = other, one, bytes(20_000)
    return one
kept = [pair() if n % 50 == 0 else pair() and None for n in range(4000)]
before = resident()
give_back()
print(before - resident())
"""


def test_it_is_done_once_in_the_first_quiet_time_after_a_busy_one() -> None:
    lull = Lull()
    shares = [0.0, QUIET_SHARE, BUSY_SHARE, 0.9, BUSY_SHARE, QUIET_SHARE, 0.0, 0.0, 0.5, 0.001]
    assert [lull.comes(share) for share in shares] == [False] * 6 + [True, False, False, True]


def test_what_a_rush_has_left_behind_goes_back_to_the_system() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _RUSH], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) > 3000 * 20_000
