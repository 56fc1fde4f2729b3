"""Checks how the installation is governed: whether one person alone can destroy."""

from collections.abc import Iterator
from typing import Final

from postkeep.base.errors import PostkeepError
from postkeep.node.doctor.finding import Finding, ok, warn
from postkeep.node.running import running
from postkeep.node.supervisor.layout import Layout

_SPARE: Final = 3
"""Approvers with whom one may be away or be disabled."""


def check_governance(layout: Layout) -> Iterator[Finding]:
    """Ask the running node whether dual control is on; say nothing where none runs."""
    from postkeep.node.cli.operator import call
    from postkeep.services.authority.governance_api import DualControl, DualControlInfo

    if running(layout.data) is None:
        return
    try:
        governed = call(layout.data, "authority.dual_control", DualControl(), DualControlInfo)
    except PostkeepError as error:
        yield warn("dual control", "governance.unknown", problem=error.public_text)
        return
    if not governed.on:
        yield warn("dual control", "governance.off")
    elif governed.approvers < _SPARE:
        yield warn("dual control", "governance.few", approvers=governed.approvers)
    else:
        yield ok("dual control", "governance.on", approvers=governed.approvers)
