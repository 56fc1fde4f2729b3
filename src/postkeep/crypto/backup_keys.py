"""The keys of backups, above those of single objects: keyring, weekly keys, and what is derived from them."""

from postkeep.crypto.context import context
from postkeep.crypto.wrap import Wrapper, subkey


def ring_path(name: str, public: bytes) -> bytes:
    """Return what a key of the keyring is bound to."""
    return context("backup keyring", name, public)


def ring_wrapper(root: bytes) -> Wrapper:
    """Return what wraps the keyring: it needs the root key and nothing else."""
    return Wrapper(subkey(root, context("backup keyring")))


def week_wrapper(parent: bytes) -> Wrapper:
    """Return what wraps weekly keys."""
    return Wrapper(subkey(parent, context("backup week wrapping")))


def week_path(week: bytes, created_ms: int) -> bytes:
    """Return what a weekly key is bound to."""
    return context("backup week", week, created_ms)


def predecessor_wrapper(root: bytes) -> Wrapper:
    """Return what wraps the root key that this one has taken the place of."""
    return Wrapper(subkey(root, context("backup predecessor wrapping")))


def predecessor_path(name: bytes, ended_ms: int) -> bytes:
    """Return what a former root key is bound to."""
    return context("backup predecessor", name, ended_ms)


def wraps_parent(weekly: bytes) -> bytes:
    """Return the parent of the keys of the vault's wraps."""
    return subkey(weekly, context("backup wraps"))


def slots_parent(weekly: bytes) -> bytes:
    """Return the parent of the keys of the slots of kms."""
    return subkey(weekly, context("backup kms slots"))
