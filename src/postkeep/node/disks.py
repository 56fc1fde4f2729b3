"""Which categories lie on which device: places that were declared apart must be apart."""

from itertools import combinations
from pathlib import Path

from postkeep.base.errors import InvalidInputError
from postkeep.node.config import Config


def declared(config: Config) -> dict[str, Path]:
    """Return the directories that the configuration gives to categories."""
    return {name: Path(entry.directory) for name, entry in config.categories.items() if entry.directory}


def sharing(config: Config) -> list[tuple[str, str]]:
    """Return the pairs of categories that were declared apart and lie on one device."""
    devices = {name: path.stat().st_dev for name, path in declared(config).items() if path.exists()}
    return [(a, b) for a, b in combinations(sorted(devices), 2) if devices[a] == devices[b]]


def check_disks(config: Config) -> None:
    """Refuse a configuration whose separate places are one device: the separation would be a word only."""
    pairs = sharing(config)
    if pairs:
        names = "; ".join(f"{first} and {second}" for first, second in pairs)
        raise InvalidInputError(
            public_text=f"The configuration declares these categories apart, but they lie on one device: "
            f"{names}. Move one of them to another disk, or take its directory out of [categories].",
            code="one_device",
        )
