"""Principals' key pairs: how a generation is made, wrapped and unwrapped. Pure but for randomness.

A private half is wrapped under a key from the tenant's `secret` category key and the pair's own slot: with
the slot it ends, whatever copies of the row there are.
"""

# ruff: noqa: PLR0917 - a key's path is many identifiers in one fixed order

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from postkeep.base.secret import Secret
from postkeep.crypto import hpke
from postkeep.crypto.context import context
from postkeep.crypto.directory_key import public_key_statement
from postkeep.crypto.epoch import EpochRewrapper
from postkeep.crypto.wrap import KEY_BYTES, Wrapper, subkey
from postkeep.services.kms.tenants import CategoryKey
from postkeep.stores.kms_keys import PersonKeyRow, PrincipalKeyRow
from postkeep.stores.kms_rotations import WrapRow


@dataclass(frozen=True, slots=True)
class PrivateHalf:
    """One generation of a principal's private key, unwrapped.

    The HPKE key is built when it is needed: after the first opening of an epoch only the rewrapper is, and
    it takes a third of the memory.
    """

    seeds: Secret[bytes]
    rewrapper: EpochRewrapper

    def private_key(self) -> hpke.PrivateKey:
        """Return the key to open HPKE with (about 0.15 ms)."""
        return hpke.PrivateKey(self.seeds.reveal())


@dataclass(slots=True)
class PrincipalKeys:
    """A principal's private keys by generation. `live` goes false the moment they are shredded."""

    tenant: bytes
    principal: bytes
    queue: bool
    generations: dict[int, PrivateHalf]
    live: bool = field(default=True)

    @property
    def newest(self) -> int:
        """The generation that writers seal to."""
        return max(self.generations)


def new_pair(
    parent: CategoryKey,
    tenant: bytes,
    principal: bytes,
    generation: int,
    slot_secret: bytes,
    slot: int,
    sign: Callable[[bytes], bytes],
    now_ms: int,
    *,
    queue: bool,
) -> PrincipalKeyRow:
    """Make a generation of a key pair: the private half wrapped, the public half vouched for by `sign`."""
    seeds = hpke.new_private_seeds()
    public_key = hpke.PrivateKey(seeds).public_bytes
    row = wrap_seeds(parent, tenant, principal, generation, slot_secret, slot, seeds, public_key, queue=queue)
    signature = sign(public_key_statement(tenant, principal, generation, public_key))
    return row._replace(signature=signature, created_ms=now_ms)


def wrap_seeds(
    parent: CategoryKey,
    tenant: bytes,
    principal: bytes,
    generation: int,
    slot_secret: bytes,
    slot: int,
    seeds: bytes,
    public_key: bytes,
    *,
    queue: bool,
) -> PrincipalKeyRow:
    """Wrap a private half; the public one is not vouched for yet."""
    wrapper = Wrapper(_wrapping(parent.key.reveal(), tenant, principal, generation, slot_secret))
    wrapped = wrapper.wrap(seeds, _path(tenant, principal, generation, queue, public_key))
    return PrincipalKeyRow(
        tenant, principal, generation, queue, slot, wrapped, public_key, b"", parent.generation
    )


def unwrap_half(parent: bytes, row: PrincipalKeyRow, slot_secret: bytes) -> PrivateHalf:
    """Unwrap a private half; IntegrityError if the row was altered, or moved from elsewhere."""
    wrapper = Wrapper(_wrapping(parent, row.tenant, row.principal, row.generation, slot_secret))
    path = _path(row.tenant, row.principal, row.generation, row.queue, row.public_key)
    seeds = wrapper.unwrap(row.wrapped, path)
    return PrivateHalf(Secret(seeds), EpochRewrapper(seeds, row.tenant, row.principal, row.generation))


def rewrap_half(old: bytes, new: bytes, tenant: bytes, row: WrapRow, slot_secret: bytes) -> bytes:
    """Take a private half from under one generation of the category's key to under another."""
    path = _path(tenant, row.principal, row.generation, row.queue, row.public_key)
    before = Wrapper(_wrapping(old, tenant, row.principal, row.generation, slot_secret))
    after = Wrapper(_wrapping(new, tenant, row.principal, row.generation, slot_secret))
    return after.wrap(before.unwrap(row.wrapped, path), path)


def new_person_key(
    parent: CategoryKey, tenant: bytes, principal: bytes, slot_secret: bytes, slot: int
) -> PersonKeyRow:
    """Make a person's own key."""
    wrapper = _person_wrapper(parent.key.reveal(), tenant, principal, slot_secret)
    wrapped = wrapper.wrap(os.urandom(KEY_BYTES), _person_path(tenant, principal))
    return PersonKeyRow(tenant, principal, slot, parent.generation, wrapped)


def unwrap_person_key(parent: bytes, row: PersonKeyRow, slot_secret: bytes) -> bytes:
    """Unwrap a person's own key."""
    wrapper = _person_wrapper(parent, row.tenant, row.principal, slot_secret)
    return wrapper.unwrap(row.wrapped, _person_path(row.tenant, row.principal))


def rewrap_person_key(old: bytes, new: bytes, row: PersonKeyRow, slot_secret: bytes) -> bytes:
    """Take a person's own key from under one generation of the category's key to under another."""
    wrapper = _person_wrapper(new, row.tenant, row.principal, slot_secret)
    return wrapper.wrap(unwrap_person_key(old, row, slot_secret), _person_path(row.tenant, row.principal))


def data_key_of(category_key: bytes, tenant: bytes, category: str) -> bytes:
    """Derive the key that a category's own keeper seals with, while the category's key is the first."""
    return subkey(category_key, context("data key", tenant, category))


def data_key_wrapper(category_key: bytes, tenant: bytes, category: str, generation: int) -> Wrapper:
    """Return what wraps a data key once the category's key has been rotated."""
    return Wrapper(subkey(category_key, context("data key wrapping", tenant, category, generation)))


def data_key_path(tenant: bytes, category: str) -> bytes:
    """Return what a wrapped data key is bound to."""
    return context("wrapped data key", tenant, category)


def _wrapping(
    category_key: bytes, tenant: bytes, principal: bytes, generation: int, slot_secret: bytes
) -> bytes:
    return subkey(category_key, context("principal wrapping", tenant, principal, generation), slot_secret)


def _path(tenant: bytes, principal: bytes, generation: int, queue: int, public_key: bytes) -> bytes:
    return context("principal key", tenant, principal, generation, int(queue), public_key)


def _person_wrapper(category_key: bytes, tenant: bytes, principal: bytes, slot_secret: bytes) -> Wrapper:
    return Wrapper(subkey(category_key, context("person wrapping", tenant, principal), slot_secret))


def _person_path(tenant: bytes, principal: bytes) -> bytes:
    return context("person key", tenant, principal)
