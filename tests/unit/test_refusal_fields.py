"""What a keeper records of a refusal: whose, what, and how many were not told singly."""

from postkeep.services.ledger.trail import refusal_fields
from postkeep.tickets.channel import Refusal


def test_refusals_that_were_not_told_singly_are_in_the_count() -> None:
    alone = refusal_fields(Refusal("refused.mac", module="imap", instance="imap-1.ab", method="vault.rows"))
    assert (alone["outcome"], alone["code"], alone["count"]) == ("refused", "refused.mac", 1)
    assert (alone["module"], alone["instance"], alone["method"]) == ("imap", "imap-1.ab", "vault.rows")
    assert refusal_fields(Refusal("refused.handshake", untold=41))["count"] == 42
