"""Whether a grant is for exactly the destruction that a request asks for. Pure.

People approve a digest. A destroying request carries what the digest is made of, whole, and the keeper acts
on that and on nothing else; so a grant for one message destroys that message, whoever holds it.
"""

import hmac

from postkeep.base.errors import RefusedError
from postkeep.model.ticket import Ticket
from postkeep.model.warrant import PURPOSE, Warrant
from postkeep.tickets.rules import Rule


def clear_warrant(rule: Rule, ticket: Ticket, warrant: Warrant) -> None:
    """Raise RefusedError unless people approved exactly this, and the method destroys such a unit.

    InvalidInputError for a warrant that names too little or too much for its unit.
    """
    if ticket.purpose != PURPOSE:
        raise RefusedError("the grant is not for a destruction", code="refused.purpose")
    warrant.check()
    if not hmac.compare_digest(warrant.digest().hex(), ticket.subject):
        raise RefusedError("this is not what was approved", code="refused.subject")
    if warrant.unit not in rule.units:
        raise RefusedError("what was approved is of another kind", code="refused.unit")
