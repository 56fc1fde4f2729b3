"""`postkeep destroy` and `postkeep order`: destruction orders, from the request to the certificate."""

import os
import sys
import time
from collections.abc import Callable
from typing import Annotated, Final

import typer

from postkeep.base.ids import NOBODY, parse_id
from postkeep.crypto.fingerprint import (
    SALT_BYTES,
    SECRET_BYTES_MAX,
    SECRET_BYTES_MIN,
    Fingerprint,
    fingerprint,
)
from postkeep.node.cli import asking
from postkeep.node.cli.output import CommandError, Exit, moment, size
from postkeep.node.cli.scene import Scene, group, scene_of
from postkeep.node.cli.texts import text
from postkeep.services.steward import orders_api as api
from postkeep.services.vault.destruction_api import Outline

CANARY_BYTES_MAX: Final = 64 * 1024  # of standard input: sixteen texts of the longest kind
WAIT_PAUSE_SECONDS: Final = 1.0
_STEPS: Final = (
    "requested",
    "cleared",
    "approved",
    "deleted",
    "destroyed",
    "purged",
    "unbacked",
    "verified",
    "certified",
)
_WAITING: Final = frozenset(
    {"held", "approval", "operator", "backups", "unavailable", "found", "request_ended", "not_found.nothing"}
)
_COLUMNS = ("id", "unit", "step", "waiting", "created", "asked_by", "why")

Reason = Annotated[str, typer.Option("--reason", help=text("help.destroy.reason"))]
Wait = Annotated[bool, typer.Option("--wait", help=text("help.destroy.wait"))]
Yes = Annotated[bool, typer.Option("--yes", help=text("help.yes"))]
Canary = Annotated[bool, typer.Option("--canary-stdin", help=text("help.destroy.canary"))]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    destroy = group(app, "destroy", "help.destroy")
    _add_list(destroy)
    _add_of_person(destroy)
    _add_of_domain(destroy)
    _add_orders(group(app, "order", "help.order"))


def _add_list(destroy: typer.Typer) -> None:
    @destroy.command("list", help=text("help.destroy.list"))
    def look_over(
        context: typer.Context,
        address: str,
        mailbox: Annotated[str, typer.Argument()] = "",
        after: Annotated[int, typer.Option("--after", help=text("help.destroy.after"))] = 0,
    ) -> None:
        scene = scene_of(context)
        seen = scene.ask("look_over", api.Look(address, mailbox, after), Outline)
        if mailbox:
            rows = [
                (str(row.uid), moment(row.internal_ms), size(row.size), row.body.hex())
                for row in seen.messages
            ]
            scene.out.rows(seen.messages, ("message_uid", "date", "size", "deposit"), rows)
        else:
            cells = [
                (box.id.hex(), box.role or "-", str(box.messages), size(box.size)) for box in seen.mailboxes
            ]
            scene.out.rows(seen.mailboxes, ("id", "role", "messages", "size"), cells)


def _add_of_person(destroy: typer.Typer) -> None:
    @destroy.command("message", help=text("help.destroy.message"))
    def message(
        context: typer.Context,
        address: str,
        mailbox: str,
        uids: list[str],
        reason: Reason = "",
        *,
        wait: Wait = False,
        yes: Yes = False,
        canary_stdin: Canary = False,
    ) -> None:
        salt, prints = _canaries(given=canary_stdin)
        request = api.OrderMake(
            "message",
            address=address,
            mailbox=mailbox,
            uids=_ranges(uids),
            reason=reason,
            salt=salt,
            canaries=prints,
        )
        _order(scene_of(context), request, f"{address} {mailbox} {' '.join(uids)}", wait=wait, yes=yes)

    @destroy.command("mailbox", help=text("help.destroy.mailbox"))
    def mailbox_(
        context: typer.Context,
        address: str,
        mailbox: str,
        reason: Reason = "",
        *,
        wait: Wait = False,
        yes: Yes = False,
        canary_stdin: Canary = False,
    ) -> None:
        salt, prints = _canaries(given=canary_stdin)
        request = api.OrderMake(
            "mailbox", address=address, mailbox=mailbox, reason=reason, salt=salt, canaries=prints
        )
        _order(scene_of(context), request, f"{address} {mailbox}", wait=wait, yes=yes)

    @destroy.command("person", help=text("help.destroy.person"))
    def person(
        context: typer.Context,
        address: str,
        reason: Reason = "",
        *,
        wait: Wait = False,
        yes: Yes = False,
        canary_stdin: Canary = False,
    ) -> None:
        salt, prints = _canaries(given=canary_stdin)
        request = api.OrderMake("person", address=address, reason=reason, salt=salt, canaries=prints)
        _order(scene_of(context), request, address, wait=wait, yes=yes)


def _add_of_domain(destroy: typer.Typer) -> None:
    @destroy.command("category", help=text("help.destroy.category"))
    def category(
        context: typer.Context,
        domain: str,
        category: str,
        reason: Reason = "",
        *,
        wait: Wait = False,
        yes: Yes = False,
        canary_stdin: Canary = False,
    ) -> None:
        salt, prints = _canaries(given=canary_stdin)
        request = api.OrderMake(
            "category", domain=domain, category=category, reason=reason, salt=salt, canaries=prints
        )
        _order(scene_of(context), request, f"{domain} {category}", wait=wait, yes=yes)

    @destroy.command("tenant", help=text("help.destroy.tenant"))
    def tenant(
        context: typer.Context,
        domain: str,
        reason: Reason = "",
        *,
        wait: Wait = False,
        yes: Yes = False,
        canary_stdin: Canary = False,
    ) -> None:
        salt, prints = _canaries(given=canary_stdin)
        request = api.OrderMake("tenant", domain=domain, reason=reason, salt=salt, canaries=prints)
        _order(scene_of(context), request, domain, wait=wait, yes=yes)

    @destroy.command("backup", help=text("help.destroy.backup"))
    def backup(
        context: typer.Context, backup_id: str, reason: Reason = "", *, wait: Wait = False, yes: Yes = False
    ) -> None:
        request = api.OrderMake("backup", backup=backup_id, reason=reason)
        _order(scene_of(context), request, backup_id, wait=wait, yes=yes)


def _add_orders(order: typer.Typer) -> None:
    @order.command("list", help=text("help.order.list"))
    def list_all(context: typer.Context) -> None:
        scene = scene_of(context)
        found = scene.ask("order_list", api.OrderAll(), api.OrderList).orders
        scene.out.rows(found, _COLUMNS, [_row(info) for info in found])

    @order.command("show", help=text("help.order.show"))
    def show(context: typer.Context, order_id: str) -> None:
        scene = scene_of(context)
        info = scene.ask("order_show", api.OrderShow(identifier(order_id)), api.OrderInfo)
        scene.out.lines(info, _lines(info))

    @order.command("resume", help=text("help.order.resume"))
    def resume(context: typer.Context, order_id: str, *, wait: Wait = False) -> None:
        scene = scene_of(context)
        info = scene.ask("order_resume", api.OrderResume(identifier(order_id)), api.OrderInfo)
        _report(scene, info, wait=wait)


def _order(scene: Scene, request: api.OrderMake, what: str, *, wait: bool, yes: bool) -> None:
    asking.confirm(what, assumed=yes)
    _report(scene, scene.ask("order_make", request, api.OrderInfo), wait=wait)


def _report(scene: Scene, info: api.OrderInfo, *, wait: bool) -> None:
    """Say how an order stands; with `wait`, when it is certified or waits for something."""
    seen = ""
    while wait and info.step not in {"certified", "refused"} and info.waiting in {"", "unavailable"}:
        if info.step != seen and not scene.out.as_json:
            typer.echo(text(f"order.step.{info.step}"), err=True)
        seen = info.step
        time.sleep(WAIT_PAUSE_SECONDS)
        info = scene.ask("order_show", api.OrderShow(info.id), api.OrderInfo)
    scene.out.lines(info, _lines(info))
    if info.waiting in {"held", "found"} or info.step == "refused":
        raise typer.Exit(Exit.FAILED)


def _lines(info: api.OrderInfo) -> list[str]:
    lines = [text("order.title", id=info.id.hex(), unit=text(f"unit.{info.unit}"))]
    lines += [text(f"order.line.{name}", value=value) for name, value in _facts(info) if value]
    for step in _STEPS:
        done = info.steps.get(step)
        reached = step == "requested" or done is not None
        mark = "x" if reached else " "
        when = moment(done if done is not None else info.made_ms) if reached else ""
        lines.append(f"  [{mark}] {text(f'order.step.{step}')}  {when}".rstrip())
    if info.waiting:
        key = f"order.waiting.{info.waiting if info.waiting in _WAITING else 'other'}"
        what = ", ".join(info.waiting_for) or info.waiting
        lines.append(text(key, what=what, until=moment(info.until_ms), id=info.id.hex()))
    if info.steps.get("destroyed") and info.unit != "backup":
        lines.append(text("order.gone", messages=info.messages, keys=info.keys))
    if info.steps.get("verified") and info.files:
        lines.append(text("order.searched", files=info.files, size=size(info.octets)))
    if info.step == "certified":
        lines.append(text("order.certificate", id=info.id.hex()))
    return lines


def _facts(info: api.OrderInfo) -> list[tuple[str, str]]:
    """Say what an order is about, as far as it may: identifiers, never names."""
    uids = ", ".join(f"{low}:{high}" if low != high else str(low) for low, high in info.uids)
    return [
        ("tenant", "" if info.tenant == NOBODY else info.tenant.hex()),
        ("principal", "" if info.principal == NOBODY else info.principal.hex()),
        ("mailbox", info.mailbox.hex()),
        ("uids", uids if info.unit == "message" else ""),
        ("category", info.category),
        ("backup", info.backup),
        ("requester", info.requester),
        ("reason", info.reason),
        ("request", info.request),
    ]


def _row(info: api.OrderInfo) -> tuple[str, ...]:
    return (
        info.id.hex(),
        text(f"unit.{info.unit}"),
        text(f"order.step.{info.step}"),
        text(f"order.short.{info.waiting if info.waiting in _WAITING else 'other'}") if info.waiting else "-",
        moment(info.made_ms),
        info.requester,
        info.reason,
    )


def _ranges(uids: list[str]) -> list[tuple[int, int]]:
    """Read UIDs as `7` or `7:9`."""
    ranges = []
    for part in uids:
        low, colon, high = part.partition(":")
        if not low.isdecimal() or (colon and not high.isdecimal()):
            raise CommandError(text("error.uids"), Exit.USAGE, "uids")
        ranges.append((int(low), int(high) if colon else int(low)))
    return ranges


def _canaries(*, given: bool) -> tuple[bytes, list[Fingerprint]]:
    """Read known texts, one a line, if there are any, and keep only their fingerprints."""
    if not given:
        return b"", []
    salt = os.urandom(SALT_BYTES)
    lines = [line for line in sys.stdin.buffer.read(CANARY_BYTES_MAX).splitlines() if line]
    if not lines or any(not SECRET_BYTES_MIN <= len(line) <= SECRET_BYTES_MAX for line in lines):
        raise CommandError(text("error.canary"), Exit.USAGE, "canary")
    return salt, [fingerprint(line, salt) for line in lines]


def identifier(given: str, read: Callable[[str], bytes] = parse_id) -> bytes:
    """Read an identifier from the command line."""
    try:
        return read(given)
    except ValueError as exc:
        raise CommandError(text("error.id"), Exit.USAGE, "id") from exc
