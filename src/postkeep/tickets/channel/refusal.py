"""A refusal: what the keeper tells the ledger of a call or a caller that it turned away."""

from dataclasses import dataclass
from typing import Final

from postkeep.base import errors
from postkeep.base.errors import PostkeepError

_FAMILIES: Final[dict[str, type[PostkeepError]]] = {
    cls.code: cls
    for cls in (
        errors.InvalidInputError,
        errors.NotFoundError,
        errors.ConflictError,
        errors.RefusedError,
        errors.ApprovalNeededError,
        errors.UnavailableError,
        errors.LimitError,
        errors.QuotaError,
        errors.ThrottledError,
        errors.IntegrityError,
    )
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Identifiers only; nothing in it names a person."""

    code: str
    """As `refused.expired`."""
    module: str = ""
    """As the caller's module ticket says; empty before it has shown one."""
    instance: str = ""
    method: str = ""
    kind: str = ""
    tenant: str = ""
    principal: str = ""
    session: str = ""
    ticket: str = ""
    rule: str = ""
    """The line of the table that was not met; empty where it did not come so far."""
    detail: str = ""
    """For logs; holds no part of a ticket."""
    untold: int = 0
    """How many strangers' refusals were not told one by one since the last that was."""


def error_from(code: str, public_text: str, *, temporary: bool) -> PostkeepError:
    """Build the error that the other side raised: the class by the first word of its code."""
    family = _FAMILIES.get(code.partition(".")[0], PostkeepError)
    return family(code=code, temporary=temporary, public_text=public_text)
