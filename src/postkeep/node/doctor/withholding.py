"""Checks whether kms gives keys, or holds them back until somebody has decided."""

from collections.abc import Iterator

from postkeep.base.errors import PostkeepError
from postkeep.node.doctor.finding import Finding, bad, ok, warn
from postkeep.node.running import running
from postkeep.node.supervisor.layout import Layout


def check_withheld(layout: Layout) -> Iterator[Finding]:
    """Ask the running node; say nothing where none runs."""
    from postkeep.node.cli.operator import call
    from postkeep.services.kms.restored_api import Withheld
    from postkeep.services.steward.restored_api import WithheldShow

    if running(layout.data) is None:
        return
    try:
        withheld = call(layout.data, "steward.withheld", WithheldShow(), Withheld)
    except PostkeepError as error:
        yield warn("keys", "withheld.unknown", problem=error.public_text)
        return
    store, history = withheld.store, withheld.history
    if store is not None:
        yield bad("keys", "withheld.restored", was=store.was, told=store.told)
    if history is not None:
        yield bad("keys", "withheld.ledger", lost=history.lost.size, shown=history.shown.size)
    if store is None and history is None:
        yield ok("keys", "withheld.ok")
