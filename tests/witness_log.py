"""A small log with its keys, and a witness that knows it: what the witness's tests submit."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from postkeep.base.clock import FixedClock
from postkeep.base.secret import Secret
from postkeep.crypto import merkle
from postkeep.crypto.cosignature import MLDSA44, sign_checkpoint
from postkeep.crypto.note import Checkpoint, verifier_key
from postkeep.services.witness.cosigner import Cosigner, CosignerSeeds
from postkeep.services.witness.service import Witness
from postkeep.services.witness.submission import format_submission
from postkeep.stores.witness_logs import KeptWitness, KnownLog, WitnessDirectory

ORIGIN = "mail.example/ledger/1"
KEY = Ed25519PrivateKey.from_private_bytes(b"an Ed25519 key of a log to test.")
POST_QUANTUM = MLDSA44PrivateKey.from_seed_bytes(b"an ML-DSA-44 key of a test log..")
PUBLIC, POST_QUANTUM_PUBLIC = (
    KEY.public_key().public_bytes_raw(),
    POST_QUANTUM.public_key().public_bytes_raw(),
)
KEYS = (verifier_key(ORIGIN, PUBLIC), verifier_key(ORIGIN, POST_QUANTUM_PUBLIC, MLDSA44))
SEEDS = ("11" * 32, "22" * 32)


class SmallLog:
    """Entries, heads over them, proofs between heads."""

    def __init__(self, word: str = "entry", size: int = 200, *, shared: int = 0) -> None:
        """`shared`: how many entries at the beginning are those of every other log."""
        self.leaves = merkle.leaf_hashes(
            f"{'entry' if n < shared else word} {n}".encode() for n in range(size)
        )

    def node(self, level: int, index: int) -> bytes:
        return merkle.perfect_root(self.leaves[index << level : (index + 1) << level])

    def head(self, size: int, origin: str = ORIGIN) -> Checkpoint:
        return Checkpoint(origin, size, merkle.tree_root(size, self.node))

    def note(self, size: int, origin: str = ORIGIN) -> bytes:
        keys = ((PUBLIC, KEY.sign), (POST_QUANTUM_PUBLIC, POST_QUANTUM.sign))
        return sign_checkpoint(self.head(size, origin), *keys, 1_800_000_000)

    def submission(self, old: int, new: int) -> bytes:
        proof = merkle.consistency_proof(min(old, new), new, self.node)
        return format_submission(old, proof, self.note(new))


def make_directory(path: Path) -> WitnessDirectory:
    """Make a witness's directory in which the log is known."""
    directory = WitnessDirectory(path)
    directory.create(KeptWitness("witness.example/w1", *SEEDS))
    directory.add_log(KnownLog(ORIGIN, KEYS))
    return directory


def cosigner() -> Cosigner:
    """Return the keys of that witness."""
    seeds = (Secret(bytes.fromhex(seed)) for seed in SEEDS)
    return Cosigner(CosignerSeeds("witness.example/w1", *seeds))


def make_witness(directory: WitnessDirectory) -> Witness:
    """Return that witness."""
    return Witness(directory, cosigner(), FixedClock(1_800_000_100))
