"""One finding of the doctor: what was checked, how it is, what to do."""

from dataclasses import dataclass, field
from enum import StrEnum

from postkeep.node.doctor.texts import CHECKS, TEXTS, VERDICTS


class Verdict(StrEnum):
    """How it is."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check; its texts are in `texts`, by check and verdict."""

    check: str
    verdict: Verdict
    key: str
    values: dict[str, object] = field(default_factory=dict)

    def titles(self, language: int = 0) -> tuple[str, str]:
        """Name the verdict and the check."""
        if not language:
            return self.verdict, self.check
        return VERDICTS[self.verdict], CHECKS[self.check]

    def says(self, language: int = 0) -> str:
        """Say what was found."""
        return TEXTS[self.key][language][0].format(**self.values)

    def advises(self, language: int = 0) -> str:
        """Say what to do about it; empty where nothing is to be done."""
        return TEXTS[self.key][language][1].format(**self.values)


def ok(check: str, key: str, **values: object) -> Finding:
    """Make a finding that asks for nothing."""
    return Finding(check, Verdict.OK, key, values)


def warn(check: str, key: str, **values: object) -> Finding:
    """Make a finding that someone should know of."""
    return Finding(check, Verdict.WARN, key, values)


def bad(check: str, key: str, **values: object) -> Finding:
    """Make a finding that keeps the node from working, or from being safe."""
    return Finding(check, Verdict.BAD, key, values)
