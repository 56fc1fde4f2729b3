"""One world for each test, with Alice in it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.imap_world import ALICE, Scenario, run, running


@pytest.fixture
def in_world(dsn: str, tmp_path: Path) -> Callable[[Scenario], None]:
    """Run a scenario with Alice in a fresh world; nothing that it does may be refused by a keeper."""

    def play(scenario: Scenario) -> None:
        async def main() -> None:
            async with running(dsn, tmp_path) as world:
                await scenario(world, await world.person(ALICE))
                assert world.refusals == []

        run(main)

    return play
