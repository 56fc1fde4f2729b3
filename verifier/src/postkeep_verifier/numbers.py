"""Every source numbers its events 1, 2, 3 ...: what is missing was lost, or kept out before it was signed."""

from postkeep_verifier.events import UNKNOWN, Extract
from postkeep_verifier.tiles import Finding, found


class Numbers:
    """Takes the extracts in order. A gap that the ledger has recorded itself is told apart."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.lost = 0
        """Events that did not reach the ledger, as it has recorded itself."""
        self._last: dict[str, int] = {}
        self._recorded: dict[tuple[str, int], int] = {}
        self._blind = False

    @property
    def sources(self) -> int:
        """How many sources there are."""
        return len(self._last)

    def take(self, extract: Extract) -> None:
        """Check the runs of a stretch."""
        for source, first, last in extract.lost:
            self._recorded[source, first] = last
            self.lost += last - first + 1
        for index, source, first, last in extract.runs:
            if source == UNKNOWN:
                self._blind = True
                self._last = dict.fromkeys(self._last, -1)  # anything may follow what can't be read
                continue
            before = self._last.get(source, -1 if self._blind else 0)
            self._last[source] = last
            if before < 0 or first == before + 1:
                continue
            if first <= before:
                self.findings.append(found("number_repeated", index, source=source, number=first))
            elif self._recorded.pop((source, before + 1), None) != first - 1:
                gap = {"source": source, "first": before + 1, "last": first - 1}
                self.findings.append(found("number_gap", index, **gap))
