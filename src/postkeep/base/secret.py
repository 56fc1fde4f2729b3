"""A value that does not show itself: in logs, tracebacks and representations a secret is its type only."""

from typing import Generic, NoReturn, TypeVar

T = TypeVar("T")


class Secret(Generic[T]):
    """Hold a key or a password; `reveal()` is the one way to the value and is easy to search for."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        """Return the value. Call it where the value is used, never earlier."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(...)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "Secret(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("compare revealed secrets with hmac.compare_digest")

    __hash__ = None  # type: ignore[assignment]
