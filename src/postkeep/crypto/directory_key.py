"""How kms vouches for principals' public keys, and how writers check it before they seal to one."""

# ruff: noqa: PLR0917 - a key's path is many identifiers in one fixed order

from cryptography.exceptions import InvalidSignature

from postkeep.base.errors import IntegrityError
from postkeep.crypto import ed25519
from postkeep.crypto.context import context


def public_key_statement(tenant: bytes, principal: bytes, generation: int, public_key: bytes) -> bytes:
    """Return the bytes that kms signs: this key is this principal's, in this generation."""
    return context("principal public key", tenant, principal, generation, public_key)


def check_public_key(
    directory_key: bytes,
    tenant: bytes,
    principal: bytes,
    generation: int,
    public_key: bytes,
    signature: bytes,
) -> None:
    """Raise IntegrityError unless `signature` by the raw Ed25519 `directory_key` vouches for the key."""
    try:
        statement = public_key_statement(tenant, principal, generation, public_key)
        ed25519.public_key(directory_key).verify(signature, statement)
    except (InvalidSignature, ValueError, OverflowError) as exc:
        raise IntegrityError("a public key is not vouched for by the directory key") from exc
