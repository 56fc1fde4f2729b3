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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every generated test more cases, where more were asked for."""
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
