"""Checks of tenants' logs: made again from the installation's log, and each against its own files.

Every anchor in the installation's log must name the root over exactly those entries of the tenant that stand
before it. Every tenant's log on disk must then be what its anchors say.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from postkeep.base.errors import IntegrityError
from postkeep.crypto.merkle import Frontier, leaf_hash
from postkeep.model.audit import EventName
from postkeep.services.ledger.finding import Finding, FindingCode
from postkeep.services.ledger.reading import ReadEntry
from postkeep.services.ledger.tenants import belongs
from postkeep.stores.ledger_tenants import parse_tenant_entry, tenant_entry

LEAVES_KEPT_MAX: Final = 262_144  # hashes of one tenant, 17 MB: four times what a ledger leaves unanchored
ANCHORS_KEPT_MAX: Final = 8  # heads of each tenant that its files are held against


@dataclass(slots=True)
class _Tenant:
    frontier: Frontier = field(default_factory=Frontier)
    leaves: list[bytes] = field(default_factory=list)
    anchors: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=ANCHORS_KEPT_MAX))

    def root(self, size: int) -> bytes | None:
        """Return the root at a size, and forget the leaves below it; None where they are forgotten."""
        if not self.frontier.size <= size <= self.frontier.size + len(self.leaves):
            return None
        taken = size - self.frontier.size
        self.frontier.append(self.leaves[:taken])
        del self.leaves[:taken]
        return self.frontier.root()


class AnchorCheck:
    """Takes the entries of the installation's log in order, and follows every tenant's tree."""

    def __init__(self, found: Callable[[Finding], None]) -> None:
        self._found = found
        self._tenants: dict[str, _Tenant] = {}
        self._blind = False
        self.unchecked = 0
        """Anchors that lie too far behind the entries that they are over, as after an upgrade."""

    def take(self, start: int, entries: Sequence[bytes] | None, read: Sequence[ReadEntry | None]) -> None:
        """Check the entries from index `start` on; None stands for entries that could not be read."""
        if entries is None:
            self._blind = True  # the trees can't be followed any further
        if self._blind or entries is None:
            return
        for index, (data, entry) in enumerate(zip(entries, read, strict=True), start):
            if entry is None or not entry.tenant:
                continue
            if belongs(entry.event, entry.tenant):
                tenant = self._tenants.get(entry.tenant)
                if tenant is None:
                    tenant = self._tenants[entry.tenant] = _Tenant()
                tenant.leaves.append(leaf_hash(tenant_entry(index, data)))
                if len(tenant.leaves) > LEAVES_KEPT_MAX:
                    half = len(tenant.leaves) // 2
                    tenant.frontier.append(tenant.leaves[:half])
                    del tenant.leaves[:half]
            elif entry.event == EventName.LEDGER_ANCHOR:
                self._judge(index, entry)

    def anchors(self) -> dict[str, list[tuple[int, bytes]]]:
        """Return the last heads (size and root) of each tenant's log that was anchored."""
        return {name: list(tenant.anchors) for name, tenant in self._tenants.items() if tenant.anchors}

    def _judge(self, index: int, anchor: ReadEntry) -> None:
        tenant = self._tenants.setdefault(anchor.tenant, _Tenant())
        if anchor.count < tenant.frontier.size and all(size != anchor.count for size, _ in tenant.anchors):
            self.unchecked += 1
            return
        root = dict(tenant.anchors).get(anchor.count) or tenant.root(anchor.count)
        if root is None or root.hex() != anchor.digest:
            self._found(Finding(FindingCode.BAD_ANCHOR, index, anchor.tenant))
            return
        tenant.anchors.append((anchor.count, root))


class IndexCheck:
    """Takes the entries of one tenant's log: each says where it stands in the installation's, in order."""

    def __init__(self, tenant: str, found: Callable[[Finding], None]) -> None:
        self._tenant = tenant
        self._found = found
        self._last = -1

    def take(self, start: int, entries: Sequence[bytes] | None) -> None:
        """Check the entries from `start` on; None stands for entries that could not be read."""
        for position, data in enumerate(entries or (), start):
            try:
                index, _ = parse_tenant_entry(data)
            except IntegrityError:
                self._found(Finding(FindingCode.ENTRY_UNREADABLE, position, ""))
                continue
            if index <= self._last:
                place = f"{self._tenant} ({index} after {self._last})"
                self._found(Finding(FindingCode.NUMBER_REPEATED, position, place))
            self._last = index
