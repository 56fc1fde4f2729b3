"""Data categories and sensitivity labels: how everything the system keeps is classed when it is made."""

from enum import IntEnum, StrEnum


class Category(StrEnum):
    """A class of data, with its own keys, place, retention and readers."""

    CONTENT = "content"
    METADATA = "metadata"
    ACCOUNT = "account"
    SECRET = "secret"  # noqa: S105 - the name of a category
    AUDIT = "audit"
    OPERATIONS = "operations"


class Label(IntEnum):
    """The sensitivity of one message, set when the message is made; greater is more sensitive."""

    PUBLIC = 0
    INTERNAL = 1
    CONFIDENTIAL = 2
    SECRET = 3
