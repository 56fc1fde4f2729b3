"""The table of sanitisation: what is allowed for a medium, what is required for its data.

The data stand in `media_methods.toml`, to be read and changed by whoever answers for them.
"""

from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Final

import msgspec

from postkeep.base.errors import InvalidInputError, RefusedError

METHODS: Final = ("clear", "purge", "destroy")
"""From the weakest to the strongest."""

CRYPTOGRAPHIC_ERASE: Final = "cryptographic-erase"
FATES: Final = ("reuse", "leave")


class Medium(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A type of medium with the techniques that each method allows for it."""

    name: str
    clear: tuple[str, ...]
    purge: tuple[str, ...]
    destroy: tuple[str, ...]

    def techniques(self, method: str) -> tuple[str, ...]:
        """Return the techniques of a method."""
        allowed = {"clear": self.clear, "purge": self.purge, "destroy": self.destroy}.get(method)
        if allowed is None:
            raise InvalidInputError(
                code="invalid.media_method", public_text=f"The methods are: {', '.join(METHODS)}."
            )
        return allowed


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    techniques: dict[str, str]
    media: dict[str, Medium]
    required: dict[str, dict[str, str]]
    sensitivity: dict[str, str]

    def medium(self, name: str) -> Medium:
        """Find a type of medium; InvalidInputError names those that there are."""
        found = self.media.get(name)
        if found is None:
            raise InvalidInputError(
                code="invalid.media_type", public_text=f"The media are: {', '.join(sorted(self.media))}."
            )
        return found

    def check(self, medium: str, method: str, technique: str) -> None:
        """Raise RefusedError, with what is allowed, unless the technique is allowed for the medium."""
        kind = self.medium(medium)
        if technique in kind.techniques(method):
            return
        allowed = "; ".join(
            f"{name}: {', '.join(kind.techniques(name)) or 'not possible'}" for name in METHODS
        )
        raise RefusedError(
            "not allowed for the medium",
            code="refused.media_method",
            public_text=f"{technique} is no {method} of a {kind.name}. Allowed are: {allowed}.",
        )

    def least(self, categories: Iterable[str], fate: str) -> str:
        """Return the least method for a medium that held these categories and has this fate."""
        if fate not in FATES:
            raise InvalidInputError(
                code="invalid.media_fate", public_text=f"A medium's fate is one of: {', '.join(FATES)}."
            )
        needed = [self.required[self.sensitivity[category]][fate] for category in categories]
        return max(needed, key=METHODS.index, default=METHODS[0])

    def check_categories(self, categories: Iterable[str]) -> None:
        """Raise InvalidInputError for a category that there is not."""
        if not set(categories) <= self.sensitivity.keys():
            raise InvalidInputError(
                code="invalid.media_category",
                public_text=f"The categories are: {', '.join(self.sensitivity)}.",
            )


@cache
def table() -> Table:
    """Read the table."""
    text = resources.files(__package__).joinpath("media_methods.toml").read_text("utf-8")
    return msgspec.toml.decode(text, type=Table)
