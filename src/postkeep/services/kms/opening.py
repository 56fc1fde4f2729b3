"""Putting the key service together: root key, signing keys, TLS identity, slots, each on the one before."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from postkeep.base.clock import Clock
from postkeep.crypto.wrap import KEY_BYTES
from postkeep.services.kms.checkpoints import Checkpointer, Ledger
from postkeep.services.kms.hierarchy import Hierarchy
from postkeep.services.kms.root import RootSeal, unseal_root
from postkeep.services.kms.service import KmsService
from postkeep.services.kms.signing import NamedKeys, SigningKeys, open_signing_keys
from postkeep.services.kms.tenants import NoCustodians, TenantKeys
from postkeep.services.kms.tls import TlsIdentity, open_tls
from postkeep.services.kms.witness import StoreWitness
from postkeep.services.ledger.trail import Trail
from postkeep.stores.kept_checkpoint import keep_checkpoint
from postkeep.stores.kms_installation import KmsInstallationRows
from postkeep.stores.kms_keys import KmsKeyRows
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

    def close(self) -> None:
        """Let go of the slots; the pool belongs to the caller."""
        self.slots.close()


async def open_kms(
    *,
    pool: Pool,
    seal: RootSeal,
    slots_dir: Path,
    hostname: str,
    own_tls: tuple[str, str],
    ledger: Ledger,
    trail: Trail,
    clock: Clock,
    state_dir: Path | None = None,
) -> OpenKms:
    """Unseal the root key and open what hangs on it, made at the first start.

    `state_dir`: where the witness of the key store's age lies; None: beside the slots.
    RefusedError (`wrong_passphrase`), IntegrityError (`root_key`, `key_store`) or InvalidInputError
    (`bad_configuration`) with a text for the operator where that can't be.
    """
    installation = KmsInstallationRows(pool)
    root = await unseal_root(seal, installation)
    named = NamedKeys(root, installation, clock)
    signing = await open_signing_keys(named, clock)
    tls = await open_tls(named, hostname, own_tls, clock)
    checkpointer = Checkpointer(
        ledger, installation, signing.ledger, trail, partial(keep_checkpoint, state_dir or slots_dir)
    )
    await checkpointer.load()
    slots = ErasableSlots(slots_dir / SLOTS_NAME, KEY_BYTES)
    try:
        rows = KmsKeyRows(pool)
        witness = StoreWitness(state_dir or slots_dir, rows, slots)
        await witness.check()
    except BaseException:
        slots.close()
        raise
    tenants = TenantKeys(root, rows, slots, NoCustodians(), clock)
    hierarchy = Hierarchy(tenants, rows, slots, signing, witness=witness, clock=clock)
    service = KmsService(hierarchy, signing, tls, checkpointer, trail)
    return OpenKms(service, hierarchy, signing, tls, checkpointer, slots)
