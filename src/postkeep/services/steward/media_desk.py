"""The steward's methods for media: what the operator enters, checked, in the ledger, and kept.

An entry stands in the ledger before it is stored. One whose storing was cut short is entered again by the
same command, which finds nothing stored.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from postkeep.base.clock import Clock
from postkeep.base.errors import ConflictError, InvalidInputError, NotFoundError
from postkeep.base.ids import parse_id
from postkeep.model.audit import EventName
from postkeep.services.authority.client import OperationTickets
from postkeep.services.kms.api import Certify
from postkeep.services.kms.client import KmsClient
from postkeep.services.ledger.trail import Trail
from postkeep.services.steward import media, media_api
from postkeep.services.steward.control import Operator
from postkeep.services.steward.desk import Methods
from postkeep.services.steward.media import Asset, Entry
from postkeep.services.steward.media_methods import table
from postkeep.stores.steward_media import MediaRows
from postkeep.tickets.rules import CLI

RECORD_TYPE: Final = "postkeep media record 1"
"""First in the signed record: nothing else that is signed with the same key says this."""

ACTS: Final = ("withdraw", "sanitise", "verify", "release")


class MediaDesk:
    """The register of media."""

    def __init__(  # noqa: PLR0917 - what it works with
        self,
        rows: MediaRows,
        trail: Trail,
        clock: Clock,
        kms: KmsClient,
        tickets: OperationTickets,
        certificate: Callable[[bytes], Awaitable[bytes | None]],
    ) -> None:
        self._rows = rows
        self._trail = trail
        self._clock = clock
        self._kms = kms
        self._tickets = tickets
        self._certificate = certificate
        """Finds a certificate of destruction by the identifier of its order."""
        self._one_at_a_time = asyncio.Lock()

    def methods(self) -> Methods:
        """Return the methods."""
        return {
            "media_add": (media_api.MediaAdd, self.add),
            "media_list": (media_api.MediaAll, self.list_all),
            "media_show": (media_api.MediaShow, self.show),
            "media_act": (media_api.MediaAct, self.act),
            "media_record": (media_api.MediaRecord, self.record),
        }

    async def add(self, operator: Operator, request: media_api.MediaAdd) -> Asset:
        """Register a medium."""
        async with self._one_at_a_time:
            known = await self._rows.tagged(request.tag)
            if known is not None and operator.again and _entered(_read(known), operator):
                return _read(known)
            blank = Asset(
                operator.new_id(),
                request.tag,
                request.medium,
                tuple(request.serials),
                request.site,
                request.rack,
                request.host,
                request.slot,
                tuple(dict.fromkeys(request.categories)),
                request.encrypted,
            )
            asset = media.register(blank, self._entry(operator, "register"), table())
            if known is not None:
                raise ConflictError(
                    code="conflict.media_tag",
                    public_text=f"There is a medium with the tag {request.tag} already.",
                )
            asset = await self._tell(operator, asset)
            await self._rows.add(asset.id, asset.tag, self._clock.now_ms(), msgspec.msgpack.encode(asset))
            return asset

    async def list_all(self, _operator: Operator, _request: media_api.MediaAll) -> media_api.Media:
        """List the media by tag."""
        return media_api.Media([_read(body) for body in await self._rows.all()])

    async def show(self, _operator: Operator, request: media_api.MediaShow) -> Asset:
        """Show a medium; IntegrityError if its history was changed."""
        asset = await self._find(request.tag)
        media.verify_history(asset)
        return asset

    async def act(self, operator: Operator, request: media_api.MediaAct) -> Asset:
        """Enter an act."""
        if request.act not in ACTS:
            raise InvalidInputError(public_text=f"The acts are: {', '.join(ACTS)}.")
        if request.certificate:
            await self._check_certificate(request.certificate)
        async with self._one_at_a_time:
            found = await self._find(request.tag)
            media.verify_history(found)
            if operator.again and _entered(found, operator):
                return found
            entry = self._entry(
                operator,
                request.act,
                by=request.by,
                method=request.method,
                technique=request.technique,
                tool=request.tool,
                result=request.result,
                witnesses=request.witnesses,
                photo=request.photo,
                certificate=request.certificate,
                fate=request.fate,
                remark=request.remark,
            )
            asset = await self._tell(operator, media.decide(found, entry, table()))
            await self._rows.save(asset.id, msgspec.msgpack.encode(asset))
            return asset

    async def record(self, _operator: Operator, request: media_api.MediaRecord) -> media_api.SignedRecord:
        """Sign the whole record of a medium."""
        asset = await self._find(request.tag)
        media.verify_history(asset)
        body = msgspec.json.encode(
            {"type": RECORD_TYPE, "id": asset.id.hex(), "asset": _plain(asset)}, order="deterministic"
        )
        signed = await self._kms.certify(Certify(body), ticket=await self._tickets.get())
        return media_api.SignedRecord(body, signed.ed25519, signed.mldsa44, signed.public_keys)

    async def _find(self, tag: str) -> Asset:
        body = await self._rows.tagged(tag)
        if body is None:
            raise NotFoundError(
                code="not_found.media",
                public_text=f"There is no medium with the tag {tag}: postkeep media list",
            )
        return _read(body)

    async def _check_certificate(self, text: str) -> None:
        try:
            identifier = parse_id(text)
        except ValueError as exc:
            raise InvalidInputError(
                code="invalid.certificate", public_text="A certificate is named by 32 hexadecimal digits."
            ) from exc
        if await self._certificate(identifier) is None:
            raise NotFoundError(
                code="not_found.certificate",
                public_text="There is no certificate of destruction with this identifier.",
            )

    def _entry(self, operator: Operator, act: str, **fields: Any) -> Entry:
        return Entry(act, self._clock.now_ms(), operator.actor, token=operator.token.hex(), **fields)

    async def _tell(self, operator: Operator, asset: Asset) -> Asset:
        """Have the newest entry in the ledger, and note in it where."""
        last = asset.history[-1]
        index = await self._trail.record(
            EventName.MEDIA,
            note=f"{asset.id.hex()} {last.act} {last.result}".rstrip(),
            digest=last.digest,
            actor=operator.actor,
            session=operator.session.hex(),
            ticket=operator.root_ticket,
            module=CLI,
        )
        told = msgspec.structs.replace(last, ledger=index)
        return msgspec.structs.replace(asset, history=(*asset.history[:-1], told))


def _read(body: bytes) -> Asset:
    return msgspec.msgpack.decode(body, type=Asset)


def _entered(asset: Asset, operator: Operator) -> bool:
    return bool(operator.token) and asset.history[-1].token == operator.token.hex()


def _plain(asset: Asset) -> dict[str, Any]:
    """Return what the record says: everything but the identifier, which stands beside it in hexadecimal."""
    plain: dict[str, Any] = msgspec.structs.asdict(asset)
    del plain["id"]
    return plain
