"""Putting the key service together: root key, signing keys, TLS identity, slots, each on the one before."""

import asyncio
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from postkeep.base.clock import Clock
from postkeep.base.secret import Secret
from postkeep.crypto.wrap import KEY_BYTES
from postkeep.services.kms.backing import BackupKeys, Terms
from postkeep.services.kms.ceilings import CeilingLimits, Ceilings
from postkeep.services.kms.checkpoints import Checkpointer, Ledger
from postkeep.services.kms.custodians import CustodianRegistry, Custody, NoCustody
from postkeep.services.kms.custody_desk import CustodyDesk
from postkeep.services.kms.ending import CertificateKeys, Ending, open_certificate_keys
from postkeep.services.kms.hierarchy import Hierarchy
from postkeep.services.kms.history_file import HistoryFile
from postkeep.services.kms.restoration import Restoration
from postkeep.services.kms.root import RootSeal, unseal_root
from postkeep.services.kms.root_change import Hold, RootCustody, RootSeals, settle
from postkeep.services.kms.root_desk import RootDesk
from postkeep.services.kms.root_generations import open_root_keys
from postkeep.services.kms.rotation import Rotations
from postkeep.services.kms.rotation_parts import RotationParts
from postkeep.services.kms.rotation_service import RotationDesk
from postkeep.services.kms.service import KmsService
from postkeep.services.kms.sharing import Sharing
from postkeep.services.kms.sharing_desk import SharingDesk
from postkeep.services.kms.signing import NamedKeys, SigningKeys, open_signing_keys
from postkeep.services.kms.tenants import LEASE_SECONDS, TenantKeys
from postkeep.services.kms.ticket_keys import TicketKeys
from postkeep.services.kms.tls import TlsIdentity, open_tls
from postkeep.services.kms.witness import StoreWitness
from postkeep.services.ledger.trail import Trail
from postkeep.stores.kept_checkpoint import keep_checkpoint
from postkeep.stores.kms_ceilings import KmsCeilingRows
from postkeep.stores.kms_installation import KmsInstallationRows
from postkeep.stores.kms_keys import KmsKeyRows
from postkeep.stores.kms_rotations import KmsRotationRows
from postkeep.stores.kms_shares import KmsShareRows
from postkeep.stores.postgres import Pool
from postkeep.stores.slots import ErasableSlots

SLOTS_NAME: Final = "keys.slots"


@dataclass(frozen=True, slots=True)
class OpenKms:
    """The key service, unsealed."""

    service: KmsService
    hierarchy: Hierarchy
    signing: SigningKeys
    tls: TlsIdentity
    checkpointer: Checkpointer
    slots: ErasableSlots
    custody: RootCustody
    backups: BackupKeys
    certificates: CertificateKeys
    rotations: Rotations
    witness: StoreWitness
    custody_desk: CustodyDesk
    restoration: Restoration

    def close(self) -> None:
        """Let go of the slots; the pool belongs to the caller."""
        self.slots.close()
        self.backups.close()


async def open_kms(
    *,
    pool: Pool,
    seal: RootSeal | None = None,
    seals: RootSeals | None = None,
    held: tuple[Secret[bytes], ...] = (Secret(b""),),
    hold: Hold = lambda _step, _value: None,
    slots_dir: Path,
    hostname: str,
    own_tls: tuple[str, str],
    ledger: Ledger,
    trail: Trail,
    clock: Clock,
    state_dir: Path | None = None,
    retire_seconds: int = 0,
    limits: CeilingLimits = CeilingLimits(),  # noqa: B008 - an immutable value
    backup_terms: Terms = Terms(),  # noqa: B008 - an immutable value
    custody_process: Custody | None = None,
    lease_seconds: float = LEASE_SECONDS,
) -> OpenKms:
    """Unseal the root key and open what hangs on it, made at the first start.

    `seals`: how the root key may be sealed, opened by one of `held`; `hold` hears of a change. `seal`:
    another than the one that counts there. `state_dir`: where the sealed root key and the witness of the key
    store's age lie; None: beside the slots. `retire_seconds`: how long a person's old private key outlives
    its publication. RefusedError (`wrong_passphrase`), IntegrityError (`root_key`, `key_store`) or
    InvalidInputError (`bad_configuration`) with a text for the operator where that can't be.
    """
    installation = KmsInstallationRows(pool)
    seals = seals or RootSeals(state_dir or slots_dir)
    secret = seals.secret_that_counts(held)
    root = await unseal_root(seal or seals.current(secret), installation)
    await asyncio.to_thread(settle, seals.state_dir, hold)
    custody = RootCustody(seals, root, secret, hold)
    slots = ErasableSlots(slots_dir / SLOTS_NAME, KEY_BYTES)
    try:
        rows = KmsKeyRows(pool)
        witness = StoreWitness(state_dir or slots_dir, rows, slots)
        await witness.check()
        roots = await open_root_keys(root, installation, slots)
        named = NamedKeys(roots, installation, clock)
        signing = await open_signing_keys(named, clock)
        tls = await open_tls(named, hostname, own_tls, clock)
        checkpointer = Checkpointer(
            ledger,
            installation,
            signing.ledger,
            trail,
            keep=partial(keep_checkpoint, state_dir or slots_dir),
            file=HistoryFile(state_dir or slots_dir),
        )
        await checkpointer.load()
        restoration = Restoration(state_dir or slots_dir, witness, trail)
        await restoration.load()
    except BaseException:
        slots.close()
        raise
    registry = CustodianRegistry(named, custody_process or NoCustody())
    tenants = TenantKeys(roots, rows, slots, registry, clock, lease_seconds=lease_seconds)
    hierarchy = Hierarchy(tenants, rows, slots, signing, witness=witness, clock=clock)
    shares = KmsShareRows(pool)
    sharing = Sharing(hierarchy, shares, slots, witness, clock)
    backups = BackupKeys(
        lambda: custody.root,
        named,
        signing,
        rows,
        slots,
        directory=slots_dir,
        state_dir=state_dir or slots_dir,
        terms=backup_terms,
        trail=trail,
        clock=clock,
    )
    certificates = await open_certificate_keys(named)
    parts = RotationParts(
        custody,
        roots,
        named,
        installation,
        tenants,
        hierarchy,
        rows,
        KmsRotationRows(pool),
        slots,
        sharing,
        witness,
        clock,
        heirs=(backups.inherit,),
    )
    rotations = Rotations(parts, trail, retire_seconds)
    ceilings = Ceilings(limits, KmsCeilingRows(pool), trail, clock)
    await ceilings.load()
    custody_desk = CustodyDesk(registry, hierarchy, rotations, rows, trail, lease_seconds=lease_seconds)
    sharing_desk = SharingDesk(sharing, hierarchy, shares, rotations, trail)
    service = KmsService(
        hierarchy,
        signing,
        tls,
        checkpointer,
        trail,
        ticket_keys=TicketKeys(named, trail, clock),
        root_desk=RootDesk(custody, trail),
        custody_desk=custody_desk,
        backups=backups,
        rotation_desk=RotationDesk(rotations, rows, trail, sharing_desk.look_after),
        ceilings=ceilings,
        ending=Ending(hierarchy, rows=rows, slots=slots, keys=certificates, trail=trail, clock=clock),
        restoration=restoration,
        sharing=sharing,
        sharing_desk=sharing_desk,
    )
    return OpenKms(
        service,
        hierarchy,
        signing,
        tls,
        checkpointer,
        slots,
        custody,
        backups,
        certificates,
        rotations,
        witness,
        custody_desk,
        restoration,
    )
