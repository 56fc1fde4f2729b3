"""What is found wrong."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: its kind (a stable word), the entry that it is about, and what its sentence names."""

    kind: str
    index: int | None = None
    values: dict[str, object] = field(default_factory=dict)


def found(kind: str, index: int | None = None, **values: object) -> Finding:
    """Make a finding."""
    return Finding(kind, index, values)
