"""`postkeep token`: what a person's program signs in with by OAUTHBEARER or XOAUTH2."""

from typing import Annotated

import typer

from postkeep.base.ids import parse_id
from postkeep.node.cli.output import CommandError, Exit, moment
from postkeep.node.cli.scene import group, scene_of
from postkeep.node.cli.texts import text
from postkeep.services.authority.tokens_api import AccessToken
from postkeep.services.steward import api, tokens_api

_DAYS = 90


def add(app: typer.Typer) -> None:
    """Add the commands."""
    token = group(app, "token", "help.token")

    @token.command("create", help=text("help.token.create"))
    def create(
        context: typer.Context,
        address: str,
        name: str,
        protocol: Annotated[list[str] | None, typer.Option("--protocol", help=text("help.protocol"))] = None,
        days: Annotated[int, typer.Option("--days", help=text("help.token.days"))] = _DAYS,
    ) -> None:
        scene = scene_of(context)
        request = tokens_api.TokenCreate(address, name, protocol or ["imap", "submission"], days)
        made = scene.ask("token_create", request, AccessToken)
        scene.out.say(made, text("token.created", token=made.token, until=moment(made.expires_ms)))

    @token.command("list", help=text("help.token.list"))
    def list_all(context: typer.Context, address: str) -> None:
        scene = scene_of(context)
        found = scene.ask("token_list", tokens_api.TokenAll(address), tokens_api.AccessTokens).tokens
        cells = [
            (
                one.id.hex(),
                one.name,
                ", ".join(one.protocols),
                moment(one.created_ms),
                moment(one.expires_ms),
                moment(one.last_used_ms),
            )
            for one in found
        ]
        scene.out.rows(found, ("id", "name", "protocols", "created", "expires", "last_used"), cells)

    @token.command("delete", help=text("help.token.delete"))
    def delete(context: typer.Context, address: str, token_id: str) -> None:
        scene = scene_of(context)
        try:
            request = tokens_api.TokenDelete(address, parse_id(token_id))
        except ValueError as exc:
            raise CommandError(text("error.id"), Exit.USAGE, "id") from exc
        scene.out.say(scene.ask("token_delete", request, api.Done), text("done"))
