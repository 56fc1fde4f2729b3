"""What every test shares: how long generated cases may take, and how many there are."""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is not a fault of the code: no deadline per case.
settings.register_profile("postkeep", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("postkeep")

_FACTOR = int(os.environ.get("POSTKEEP_FUZZ_FACTOR", "1"))
"""`make fuzz` multiplies the number of generated cases by it."""


_LONGEST_FIRST = ("tests/e2e/", "tests/integration/")
"""Short files come last, so that the test processes end together."""


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: end-to-end tests wait for nodes, timeouts and peers."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first; give every generated test more cases, where more were asked for."""
    items.sort(key=lambda item: [not item.nodeid.startswith(place) for place in _LONGEST_FIRST])
    if _FACTOR == 1:
        return
    for item in items:
        function: Any = getattr(item, "obj", None)
        function = getattr(function, "__func__", function)
        chosen = getattr(function, "_hypothesis_internal_use_settings", None)
        if chosen is not None:
            function._hypothesis_internal_use_settings = settings(
                chosen, max_examples=chosen.max_examples * _FACTOR
            )
