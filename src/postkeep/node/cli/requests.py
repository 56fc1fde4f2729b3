"""`postkeep request`, `postkeep approve`, `postkeep decline`: what waits for other people's word."""

from typing import Annotated

import typer

from postkeep.base.ids import parse_id
from postkeep.node.cli.output import CommandError, Exit, moment
from postkeep.node.cli.scene import Scene, group, scene_of
from postkeep.node.cli.texts import text
from postkeep.services.authority import governance_api as api

_COLUMNS = ("id", "kind_of_act", "about", "asked_by", "status", "approvals", "until")


def add(app: typer.Typer) -> None:
    """Add the commands."""
    request = group(app, "request", "help.request")
    _add_looking(request)
    for commands in (request, app):  # `postkeep approve` is what a request's text tells an approver to type
        _add_voting(commands)


def _add_looking(request: typer.Typer) -> None:
    @request.command("list", help=text("help.request.list"))
    def list_all(
        context: typer.Context,
        *,
        everything: Annotated[bool, typer.Option("--all", help=text("help.request.all"))] = False,
    ) -> None:
        scene = scene_of(context)
        answer = scene.ask_authority("list_requests", api.ListRequests(everything), api.RequestList)
        scene.out.rows(answer.requests, _COLUMNS, [_row(info) for info in answer.requests])

    @request.command("show", help=text("help.request.show"))
    def show(context: typer.Context, request_id: str) -> None:
        scene = scene_of(context)
        info = scene.ask_authority("show_request", api.ShowRequest(_id(request_id)), api.RequestInfo)
        scene.out.lines(info, _lines(info))

    @request.command("withdraw", help=text("help.request.withdraw"))
    def withdraw(context: typer.Context, request_id: str) -> None:
        scene = scene_of(context)
        request = api.WithdrawRequest(_id(request_id))
        info = scene.ask_authority("withdraw_request", request, api.RequestInfo)
        scene.out.say(info, text("request.withdrawn"))


def _add_voting(commands: typer.Typer) -> None:
    @commands.command("approve", help=text("help.approve"))
    def approve(
        context: typer.Context,
        request_id: str,
        reason: Annotated[str, typer.Option("--reason", help=text("help.reason"))] = "",
    ) -> None:
        scene = _voter(context)
        request = api.DecideRequest(_id(request_id), approve=True, reason=reason)
        info = scene.ask_authority("decide_request", request, api.RequestInfo)
        key = "request.approval_counted"
        if info.state == "approved":
            key = "request.approved.destroy" if info.kind == "destroy" else "request.approved"
        scene.out.say(info, text(key, have=info.approvals, need=info.approvals_needed))

    @commands.command("decline", help=text("help.decline"))
    def decline(
        context: typer.Context,
        request_id: str,
        reason: Annotated[str, typer.Option("--reason", help=text("help.reason"))],
    ) -> None:
        scene = _voter(context)
        request = api.DecideRequest(_id(request_id), approve=False, reason=reason)
        info = scene.ask_authority("decide_request", request, api.RequestInfo)
        scene.out.say(info, text("request.declined"))


def _voter(context: typer.Context) -> Scene:
    """Return the scene of a staff member; the machine's own operator has no vote."""
    scene = scene_of(context)
    if not scene.staff:
        raise CommandError(text("error.no_vote"), Exit.USAGE, "no_vote")
    return scene


def _id(given: str) -> bytes:
    try:
        return parse_id(given)
    except ValueError as exc:
        raise CommandError(text("error.id"), Exit.USAGE, "id") from exc


def _about(info: api.RequestInfo) -> str:
    if info.about:
        return info.about
    named = next((one for one in (info.principal, info.tenant) if any(one)), b"")
    return named.hex() or text("about.installation")


def _approvals(info: api.RequestInfo) -> str:
    return f"{info.approvals}/{info.approvals_needed}"


def _row(info: api.RequestInfo) -> tuple[str, ...]:
    return (
        info.id.hex(),
        text(f"kind.{info.kind}"),
        _about(info),
        info.requester_name,
        text(f"request.state.{info.state}"),
        _approvals(info),
        moment(info.expires_ms),
    )


def _lines(info: api.RequestInfo) -> list[str]:
    """Tell everything of a request that an approver must know."""
    lines = [
        info.id.hex(),
        text("request.line.what", kind=text(f"kind.{info.kind}"), summary=info.summary),
        text("request.line.about", about=_about(info)),
        text("request.line.digest", digest=info.digest.hex()),
        text("request.line.asked", name=info.requester_name, at=moment(info.opened_ms)),
        text(
            "request.line.state",
            state=text(f"request.state.{info.state}"),
            until=moment(info.expires_ms),
        ),
        text("request.line.approvals", have=info.approvals, need=info.approvals_needed),
    ]
    for vote in info.votes:
        key = "request.vote.approve" if vote.approve else "request.vote.decline"
        line = text(key, name=vote.name, at=moment(vote.at_ms), reason=vote.reason).rstrip()
        void = vote.approve and not vote.counts
        lines.append(f"{line} {text('request.vote.void')}" if void else line)
    return lines
