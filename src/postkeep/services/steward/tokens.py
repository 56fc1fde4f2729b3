"""Access tokens: what a program signs in with by OAUTHBEARER. The authority makes and checks them."""

from postkeep.services.authority import tokens_api as directory
from postkeep.services.authority.api import UserInfo
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.steward import tokens_api as api
from postkeep.services.steward.api import Done
from postkeep.services.steward.control import Control, Operator
from postkeep.services.steward.desk import Methods


class TokenDesk:
    """`steward.token_*`."""

    def __init__(self, control: Control, authority: AuthorityClient) -> None:
        self._control = control
        self._authority = authority

    def methods(self) -> Methods:
        """Return the methods by name."""
        return {
            "token_create": (api.TokenCreate, self.token_create),
            "token_list": (api.TokenAll, self.token_list),
            "token_delete": (api.TokenDelete, self.token_delete),
        }

    async def token_create(self, operator: Operator, request: api.TokenCreate) -> directory.AccessToken:
        """Make an access token; its answer holds it."""
        info = await self._control.find(operator, request.address, kind="user")
        await self._record(operator, "token_create", info)
        return await self._authority.create_token(
            directory.CreateToken(
                info.principal, request.name, request.protocols, request.days, operator.token
            ),
            ticket=operator.ticket,
        )

    async def token_list(self, operator: Operator, request: api.TokenAll) -> api.AccessTokens:
        """List access tokens, without the tokens."""
        info = await self._control.find(operator, request.address, kind="user")
        listed = await self._authority.list_tokens(
            directory.ListTokens(info.principal), ticket=operator.ticket
        )
        return api.AccessTokens(listed.tokens)

    async def token_delete(self, operator: Operator, request: api.TokenDelete) -> Done:
        """Void an access token."""
        info = await self._control.find(operator, request.address, kind="user")
        await self._record(operator, "token_delete", info)
        await self._authority.delete_token(
            directory.DeleteToken(info.principal, request.id), ticket=operator.ticket
        )
        return Done()

    async def _record(self, operator: Operator, act: str, info: UserInfo) -> None:
        await self._control.record(operator, act, tenant=info.tenant, principal=info.principal)
