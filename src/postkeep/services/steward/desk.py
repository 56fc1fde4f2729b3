"""What the steward's methods have in common: each answers an operator's command, once."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeVar, cast

import msgspec

from postkeep.base.errors import InvalidInputError, NotFoundError
from postkeep.base.ids import ID_BYTES, NOBODY
from postkeep.services.steward import api
from postkeep.services.steward.control import Operator
from postkeep.services.steward.repeats import Repeats
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant

REMOVALS: Final = frozenset(
    {"domain_delete", "alias_delete", "group_delete", "app_password_delete", "token_delete"}
)

R = TypeVar("R", bound=api.Command)
A = TypeVar("A", bound=msgspec.Struct)

Methods = Mapping[str, tuple[type[msgspec.Struct], Callable[[Operator, Any], Awaitable[Any]]]]
"""Methods by their name after `steward.`: the request's type, and what answers it."""


class Desk(Protocol):
    """A subject of the steward's: some methods that belong together."""

    def methods(self) -> Methods:
        """Return the methods."""


def handlers(desks: tuple[Desk, ...]) -> dict[str, tuple[type[msgspec.Struct], Handler]]:
    """Return the handlers of all desks, by wire name, for the channel's server."""
    repeats = Repeats()
    return {
        f"steward.{name}": (request, _with_operator(name, method, repeats))
        for desk in desks
        for name, (request, method) in desk.methods().items()
    }


def _with_operator(name: str, method: Callable[[Operator, R], Awaitable[A]], repeats: Repeats) -> Handler:
    async def handle(grant: Grant, request: R) -> A:
        if request.token and (len(request.token) != ID_BYTES or request.token == NOBODY):
            raise InvalidInputError("a command's token has sixteen octets")
        operator = Operator(
            request.delegation,
            grant.session,
            grant.root_ticket_id,
            request.token,
            request.again,
            grant.principal,
        )

        async def work() -> A:
            try:
                return await method(operator, request)
            except NotFoundError:
                if request.again and name in REMOVALS:
                    return cast("A", api.Done())  # it was removed before the answer was lost
                raise

        return cast("A", await repeats.once(name, request.token, work))

    return handle
