"""An authority's key, modules that it has enrolled, and a genuine keeper on a real socket."""

import asyncio
import hashlib
import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from postkeep.base.clock import FixedClock
from postkeep.base.errors import RefusedError
from postkeep.base.ids import new_id
from postkeep.services.vault import api as vault
from postkeep.tickets.channel import Link, Refusal, Server
from postkeep.tickets.clear import Grant
from postkeep.tickets.entitlements import purpose_named
from postkeep.tickets.identity import Anchors, ModuleIdentity
from postkeep.tickets.mint import Mint
from postkeep.tickets.revocations import RevocationView
from postkeep.tickets.rules import rules_for
from postkeep.tickets.verify import Verifier

DELIVER = purpose_named("deliver")
TENANT, ALICE, BOB = new_id(), new_id(), new_id()
SESSION = new_id()
INBOX, OTHER_BOX = new_id(), new_id()


class Realm:
    """An authority's key and clock, and module identities that it has enrolled."""

    def __init__(self) -> None:
        key = Ed25519PrivateKey.generate()
        self.clock = FixedClock()
        self.mint = Mint(key.sign, self.clock)
        self.anchors = Anchors()
        self.anchors.trust("authority", key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def module(self, name: str, number: int = 1, certificate: bytes = b"") -> ModuleIdentity:
        """Enrol a module; `certificate`: the one that it speaks with between hosts, in DER."""
        identity = ModuleIdentity(name, f"{name}-{number}.test")
        named = hashlib.sha256(certificate).hexdigest() if certificate else ""
        identity.ticket = self.mint.module(name, identity.instance, identity.thumbprint, certificate=named)[1]
        return identity

    def user(self, holder: ModuleIdentity, principal: bytes = ALICE, **claims: Any) -> bytes:
        ticket, token = self.mint.user(
            "imap", holder.instance, holder.thumbprint, tenant=TENANT, principal=principal, session=SESSION
        )
        return self.mint.sign(msgspec.structs.replace(ticket, **claims)) if claims else token

    def operation(self, holder: ModuleIdentity, purpose: str) -> bytes:
        found = purpose_named(purpose)
        assert found is not None
        return self.mint.operation(holder.module, holder.instance, holder.thumbprint, found)[1]


class Keeper:
    """A genuine vault (or kms) server whose handlers count the bytes that they give out."""

    def __init__(self, realm: Realm, name: str = "vault") -> None:
        self.realm = realm
        self.given = 0
        self.refusals: list[Refusal] = []
        self.view = RevocationView()
        self.view.heard(0)
        self.identity = realm.module(name)
        table = {method: (request_of(method), self._handler(method)) for method in rules_for(name)}
        self.server = Server(
            self.identity,
            realm.anchors,
            name,
            table,
            self.view,
            self.refusals.append,
            realm.clock,
        )

    def _handler(self, method: str) -> Callable[[Grant, Any], Awaitable[msgspec.Struct]]:
        async def give(grant: Grant, _request: Any) -> msgspec.Struct:
            assert grant.method == method
            self.given += 1
            return vault.Quota(1, 1, None)

        return give


def request_of(method: str) -> type[msgspec.Struct]:
    """The request type of a wire method, found by the name in its docstring."""
    for package in (
        importlib.import_module(f"postkeep.services.{name}") for name in ("vault", "queue", "kms")
    ):
        for name in (found.name for found in pkgutil.iter_modules(package.__path__)):
            if not name.endswith("api"):
                continue
            for value in vars(importlib.import_module(f"{package.__name__}.{name}")).values():
                if isinstance(value, type) and f"`{method}`" in (value.__doc__ or "").split(":")[0]:
                    return value
    raise LookupError(method)


class Refused(NamedTuple):
    code: str
    given: int
    refusals: list[Refusal]


def connect(realm: Realm, identity: ModuleIdentity, path: Path, keeper: str = "vault") -> Link:
    link = Link(identity, realm.anchors, keeper, path)
    # The keeper's clock stands still in these tests; so must the caller's.
    link._verifier = Verifier(realm.anchors, realm.clock)
    return link


def attempt(  # noqa: PLR0917 - what a rogue chooses, in the order of the call
    tmp_path: Path,
    realm: Realm,
    identity: ModuleIdentity,
    ticket: bytes,
    method: str = "vault.content",
    request: msgspec.Struct | None = None,
    before: Callable[[Keeper], None] | None = None,
    connection: Callable[[Realm, ModuleIdentity, Path, str], Link] = connect,
) -> Refused:
    """Make one call as a rogue would; return the refusal's code and what the keeper noticed."""
    name = method.partition(".")[0]
    asked = request if request is not None else vault.FetchContent(ALICE, INBOX, [vault.Range(1)])

    async def run() -> Refused:
        keeper = Keeper(realm, name)
        await keeper.server.serve_unix(tmp_path / f"{name}.sock")
        if before is not None:
            before(keeper)
        link = connection(realm, identity, tmp_path / f"{name}.sock", name)
        code = ""
        try:
            await link.call(method, asked, vault.Quota, ticket=ticket)
        except RefusedError as error:
            code = error.code
        finally:
            await link.close()
            await keeper.server.close()
        return Refused(code, keeper.given, keeper.refusals)

    return asyncio.run(run())
