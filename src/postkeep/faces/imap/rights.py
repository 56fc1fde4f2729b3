"""What rights on a mailbox (RFC 4314 section 4) leave of what a client asks. Pure."""

from collections.abc import Collection

_LETTERS = {"\\seen": "s", "\\deleted": "t"}


def settable(flags: Collection[str], rights: Collection[str]) -> tuple[str, ...]:
    """Return those flags that may be set on a message that comes in: the others are left out silently."""
    return tuple(flag for flag in flags if _LETTERS.get(flag.lower(), "w") in rights)
