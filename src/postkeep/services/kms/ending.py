"""What the end of keys needs in kms besides the shredding itself: marks to look for afterwards, legal holds,
the certificate's signature, and taking back keys of what was never made."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from postkeep.base.clock import Clock
from postkeep.base.errors import ConflictError, InvalidInputError, LimitError, RefusedError
from postkeep.base.ids import ID_BYTES, NOBODY
from postkeep.crypto.context import context
from postkeep.crypto.fingerprint import SALT_BYTES, fingerprint
from postkeep.model.audit import EventName
from postkeep.services.kms import api
from postkeep.services.kms.hierarchy import Hierarchy
from postkeep.services.kms.signing import NamedKeys, PostQuantumKey, SigningKey, ensure_key
from postkeep.services.kms.telling import caller_fields
from postkeep.services.ledger.trail import EventFields, Trail
from postkeep.stores.kms_keys import HoldRow, KmsKeyRows
from postkeep.stores.slots import ErasableSlots
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant

CERTIFICATE: Final = "certificate"
CERTIFICATE_MLDSA44: Final = "certificate-mldsa44"
MARKS_MAX: Final = 24  # fingerprints of one order's keys: each costs a pass over every byte
CERTIFICATE_BYTES_MAX: Final = 256 * 1024  # the signed part: facts and at most some hundred names of backups
DISCARD_MS_MAX: Final = 3600 * 1000
"""How old keys may be that are taken back without an order: a creation that failed is settled at once."""
KIND_CHARS_MAX: Final = 40  # characters of the class of a hold's reason


class CertificateKeys:
    """The two keys that sign certificates. Made by `open_certificate_keys`."""

    def __init__(self, ed25519: SigningKey, mldsa44: PostQuantumKey) -> None:
        self._ed25519 = ed25519
        self._mldsa44 = mldsa44

    @property
    def public(self) -> bytes:
        """Both public halves: Ed25519 (32 bytes), ML-DSA-44 (1,312 bytes)."""
        return self._ed25519.public_key + self._mldsa44.public_key

    def sign(self, body: bytes) -> tuple[bytes, bytes]:
        """Return both signatures over the body of a certificate."""
        message = context("certificate", body)
        return self._ed25519.sign(message), self._mldsa44.sign(message)


async def open_certificate_keys(named: NamedKeys) -> CertificateKeys:
    """Load the keys, making them at the first start."""
    return CertificateKeys(
        await ensure_key(named, CERTIFICATE, SigningKey),
        await ensure_key(named, CERTIFICATE_MLDSA44, PostQuantumKey),
    )


class Ending:
    """`kms.mark`, `kms.hold`, `kms.release_hold`, `kms.certify` and `kms.discard`."""

    def __init__(
        self,
        hierarchy: Hierarchy,
        *,
        rows: KmsKeyRows,
        slots: ErasableSlots,
        keys: CertificateKeys,
        trail: Trail,
        clock: Clock,
    ) -> None:
        self._hierarchy = hierarchy
        self._rows = rows
        self._slots = slots
        self._keys = keys
        self._trail = trail
        self._clock = clock

    @property
    def certificate_key(self) -> bytes:
        """What checks certificates: both public keys, one after the other."""
        return self._keys.public

    def handlers(self) -> Mapping[str, tuple[type[msgspec.Struct], Handler]]:
        """Return the methods by their name on the wire."""
        return {
            "kms.mark": (api.Mark, self.mark),
            "kms.hold": (api.Hold, self.hold),
            "kms.release_hold": (api.ReleaseHold, self.release_hold),
            "kms.certify": (api.Certify, self.certify),
            "kms.discard": (api.Discard, self.discard),
        }

    async def mark(self, _grant: Grant, request: api.Mark) -> api.Marked:
        """Return fingerprints of the slot secrets that a shredding would destroy."""
        if len(request.salt) != SALT_BYTES:
            raise InvalidInputError(f"a salt has {SALT_BYTES} bytes")
        slots = await self._rows.slots_of(request.warrant.tenant, request.warrant.owner)
        records = await asyncio.to_thread(self._slots.read_many, _evenly(slots))
        prints = [fingerprint(record, request.salt) for record in records if record is not None]
        return api.Marked(prints, len(slots))

    async def hold(self, grant: Grant, request: api.Hold) -> api.Done:
        """Keep keys from being destroyed until the hold is released, or its time is over."""
        _check_ids(request.tenant, request.principal)
        if len(request.hold) != ID_BYTES or not 0 < len(request.kind) <= KIND_CHARS_MAX:
            raise InvalidInputError("a hold has an identifier and the class of its reason")
        row = HoldRow(request.tenant, request.hold, request.principal, request.kind, request.until_ms)
        async with self._hierarchy.changing:
            await self._rows.add_hold(row)
        await self._record(grant, request.tenant, "hold", digest=request.hold.hex())
        return api.Done()

    async def release_hold(self, grant: Grant, request: api.ReleaseHold) -> api.Done:
        """Let keys be destroyed again."""
        await self._record(grant, request.tenant, "release", digest=request.hold.hex())
        await self._rows.drop_hold(request.tenant, request.hold)
        return api.Done()

    async def certify(self, _grant: Grant, request: api.Certify) -> api.Certified:
        """Sign a certificate; ConflictError while the keys that it says are destroyed are not."""
        if len(request.body) > CERTIFICATE_BYTES_MAX:
            raise LimitError(f"a certificate has at most {CERTIFICATE_BYTES_MAX} bytes")
        if request.tenant != NOBODY and not await self._rows.was_shredded(request.tenant, request.principal):
            raise ConflictError("the keys that the certificate is about were not destroyed here")
        ed25519, mldsa44 = self._keys.sign(request.body)
        return api.Certified(ed25519, mldsa44, self._keys.public)

    async def discard(self, grant: Grant, request: api.Discard) -> api.Shredded:
        """Destroy keys of a tenant or principal whose creation has failed: young ones only."""
        _check_ids(request.tenant, request.principal)
        born = await self._rows.born_ms(request.tenant, request.principal)
        if born is None:
            return api.Shredded(0)
        if self._clock.now_ms() - born > DISCARD_MS_MAX:
            raise RefusedError("keys in use are destroyed by an order only", code="refused.age")
        await self._record(grant, request.tenant, "discard")
        count = await self._hierarchy.shred(request.tenant, request.principal)
        await self._record(grant, request.tenant, "discarded")
        return api.Shredded(count)

    async def _record(self, grant: Grant, tenant: bytes, note: str, digest: str = "") -> None:
        """Tell the ledger. The owner is not named: a hold may be confidential."""
        fields = caller_fields(grant) | EventFields(tenant=tenant.hex(), note=note, digest=digest)
        discarding = note.startswith("discard")
        if note == "discarded":
            fields["state"] = self._hierarchy.state
        await self._trail.record(EventName.KEY_SHRED if discarding else EventName.HOLD, **fields)


def _evenly(slots: Sequence[int]) -> list[int]:
    """Choose at most MARKS_MAX of them, spread over all."""
    step = max(1, -(-len(slots) // MARKS_MAX))
    return list(slots[::step])


def _check_ids(tenant: bytes, principal: bytes) -> None:
    if len(tenant) != ID_BYTES or tenant == NOBODY or len(principal) not in (0, ID_BYTES):
        raise RefusedError("not an identifier of a tenant or principal", code="refused.identifier")
