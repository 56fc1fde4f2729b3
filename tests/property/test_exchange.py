"""K2: nothing sealed opens in another place: each exchange of two, of all kinds, over 30,000 of them.

Everything is sealed under one and the same key, so that the place alone must refuse. Any two places differ in
the kind, or in a tenant, person, mailbox, category, object, epoch, number or generation.
"""

# ruff: noqa: PLR0917 - a place is many identifiers in one fixed order

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from itertools import permutations, product
from typing import Any, Final, NamedTuple

import msgspec

from postkeep.base.errors import IntegrityError
from postkeep.base.secret import Secret
from postkeep.crypto import hpke, message
from postkeep.crypto.chunked import HEAD_BYTES
from postkeep.crypto.epoch import EpochRewrapper, EpochStep, open_seed, seal_seed
from postkeep.crypto.message import MessageKeys
from postkeep.crypto.personal import PersonalSeal
from postkeep.services.authority.sealing import AccountSeal
from postkeep.services.kms import principals, tenants
from postkeep.services.kms.tenants import CategoryKey
from postkeep.stores.kms_keys import PersonKeyRow, PrincipalKeyRow

KEY: Final = b"k" * 32
PAIR: Final = MessageKeys(KEY, KEY)
PARENT: Final = CategoryKey(1, Secret(KEY))
PRIVATE: Final = hpke.PrivateKey(hpke.new_private_seeds())
HALF: Final = message.WRAP_BYTES
EXCHANGES: Final = 10_000
"""What the acceptance asks for; there are more."""

TENANTS, PEOPLE, OBJECTS, MAILBOXES, EPOCHS, ITEMS = (
    [bytes([first]) * 16, bytes([first + 1]) * 16] for first in range(1, 13, 2)
)
NUMBERS: Final = [1, 2]
CATEGORIES: Final = ["content", "metadata"]


class Kind(NamedTuple):
    """One kind of sealed thing: what its places are made of, and how it is sealed and opened in one."""

    name: str
    dimensions: list[list[Any]]
    seal: Callable[..., Any]
    open: Callable[..., Any]


class Value(msgspec.Struct):
    """A row's value."""

    text: str = "v"


def wrap_message_key(
    tenant: bytes, body: bytes, person: bytes, epoch: bytes, index: int, category: str
) -> bytes:
    wraps = message.wrap_keys(PAIR, EpochStep(index, KEY, KEY), tenant, body, person, epoch)
    return wraps[:HALF] if category == "content" else wraps[HALF:]


def unwrap_message_key(
    sealed: bytes, tenant: bytes, body: bytes, person: bytes, epoch: bytes, index: int, category: str
) -> bytes:
    wraps = sealed + bytes(HALF) if category == "content" else bytes(HALF) + sealed
    return message.unwrap_key(category, wraps, KEY, tenant, body, person, epoch, index)


def seal_name(tenant: bytes, person: bytes, mailbox: bytes, epoch: bytes, index: int) -> bytes:
    return message.seal_name(EpochStep(index, KEY, KEY), tenant, person, mailbox, epoch, "n")


def open_name(sealed: bytes, tenant: bytes, person: bytes, mailbox: bytes, epoch: bytes, index: int) -> str:
    return message.open_name(KEY, tenant, person, mailbox, epoch, index, sealed)


def seal_entries(tenant: bytes, person: bytes, mailbox: bytes, scope: int, epoch: bytes, index: int) -> bytes:
    return message.seal_entries(EpochStep(index, KEY, KEY), tenant, person, mailbox, scope, epoch, b"e")


def open_entries(
    sealed: bytes, tenant: bytes, person: bytes, mailbox: bytes, scope: int, epoch: bytes, index: int
) -> bytes:
    return message.open_entries(KEY, tenant, person, mailbox, scope, epoch, index, sealed)


def open_category_key(sealed: bytes, tenant: bytes, category: str, generation: int) -> bytes:
    wrapper = tenants.category_wrapper(KEY, tenant, category, generation, KEY)
    return wrapper.unwrap(sealed, tenants.category_path(tenant, category, generation))


def wrap_private_half(tenant: bytes, person: bytes, generation: int, use: str) -> bytes:
    queue, public = use == "queue", PRIVATE.public_bytes
    return principals.wrap_seeds(
        PARENT, tenant, person, generation, KEY, 0, bytes(96), public, queue=queue
    ).wrapped


def open_private_half(sealed: bytes, tenant: bytes, person: bytes, generation: int, use: str) -> Any:
    row = PrincipalKeyRow(tenant, person, generation, use == "queue", 0, sealed, PRIVATE.public_bytes, b"", 1)
    return principals.unwrap_half(KEY, row, KEY)


def open_values(sealed: bytes, tenant: bytes, person: bytes, source: str, number: int) -> bytes:
    text = urlsafe_b64encode(sealed).decode().rstrip("=")
    return PersonalSeal(KEY, tenant, person).open(text, source, number)


def seal_segment(tenant: bytes, segment: bytes, mailbox: bytes) -> bytes:
    return message.seal_segment(PAIR, tenant, segment, mailbox, b"s")


def open_segment(sealed: bytes, tenant: bytes, segment: bytes, mailbox: bytes) -> bytes:
    where = (sealed[:HEAD_BYTES], len(sealed), HEAD_BYTES, sealed[HEAD_BYTES:])
    return message.open_segment_span(KEY, tenant, segment, mailbox, *where)


KINDS: Final = [
    Kind(
        "message key",
        [TENANTS, OBJECTS, PEOPLE, EPOCHS, NUMBERS, CATEGORIES],
        wrap_message_key,
        unwrap_message_key,
    ),
    Kind(
        "content",
        [TENANTS, OBJECTS],
        lambda tenant, body: message.seal_content(PAIR, tenant, body, b"c"),
        lambda sealed, tenant, body: message.open_content(KEY, tenant, body, sealed),
    ),
    Kind(
        "summary",
        [TENANTS, OBJECTS],
        lambda tenant, body: message.seal_summary(PAIR, tenant, body, b"s"),
        lambda sealed, tenant, body: message.open_summary(KEY, tenant, body, sealed),
    ),
    Kind(
        "search text",
        [TENANTS, OBJECTS],
        lambda tenant, body: message.seal_text(PAIR, tenant, body, b"t"),
        lambda sealed, tenant, body: message.open_text(KEY, tenant, body, sealed),
    ),
    Kind(
        "page",
        [TENANTS, OBJECTS, NUMBERS, MAILBOXES],
        lambda tenant, page, kind, box: message.seal_page(PAIR, tenant, page, kind, box, b"p"),
        lambda sealed, tenant, page, kind, box: message.open_page(KEY, tenant, page, kind, box, sealed),
    ),
    Kind("segment", [TENANTS, OBJECTS, MAILBOXES], seal_segment, open_segment),
    Kind(
        "envelope",
        [TENANTS, OBJECTS, ITEMS],
        lambda tenant, body, item: message.reseal_envelope(KEY, tenant, body, item, b"e"),
        lambda sealed, tenant, body, item: message.open_envelope(KEY, tenant, body, item, sealed),
    ),
    Kind(
        "mailbox name",
        [TENANTS, PEOPLE, MAILBOXES, EPOCHS, NUMBERS],
        seal_name,
        open_name,
    ),
    Kind(
        "entries",
        [TENANTS, PEOPLE, MAILBOXES, NUMBERS, EPOCHS, NUMBERS],
        seal_entries,
        open_entries,
    ),
    Kind(
        "epoch sealed to a public key",  # it names its generation itself, and the reader its key by that
        [TENANTS, PEOPLE, EPOCHS],
        lambda tenant, person, epoch: seal_seed(PRIVATE.public_bytes, tenant, person, 1, epoch, KEY),
        lambda sealed, tenant, person, epoch: open_seed(PRIVATE, tenant, person, epoch, sealed),
    ),
    Kind(
        "epoch opened once",
        [EPOCHS, TENANTS, PEOPLE, NUMBERS],
        lambda epoch, *path: EpochRewrapper(KEY, *path).rewrap(epoch, KEY),
        lambda sealed, epoch, *path: EpochRewrapper(KEY, *path).open(epoch, sealed),
    ),
    Kind(
        "category's key",
        [TENANTS, CATEGORIES, NUMBERS],
        lambda tenant, category, generation: (
            tenants.wrap_category(KEY, tenant, category, generation, KEY, KEY, 0).wrapped
        ),
        open_category_key,
    ),
    Kind(
        "private half",
        [TENANTS, PEOPLE, NUMBERS, ["mail", "queue"]],
        wrap_private_half,
        open_private_half,
    ),
    Kind(
        "person's key",
        [TENANTS, PEOPLE],
        lambda tenant, person: principals.new_person_key(PARENT, tenant, person, KEY, 0).wrapped,
        lambda sealed, tenant, person: principals.unwrap_person_key(
            KEY, PersonKeyRow(tenant, person, 0, 1, sealed), KEY
        ),
    ),
    Kind(
        "values in the ledger",
        [TENANTS, PEOPLE, ["vault-1", "kms-1"], NUMBERS],
        lambda tenant, person, source, number: urlsafe_b64decode(
            PersonalSeal(KEY, tenant, person).seal(b"v", source, number) + "=="
        ),
        open_values,
    ),
    Kind(
        "account's row",
        [["users", "groups"], TENANTS, PEOPLE],
        lambda *path: AccountSeal(KEY).seal(Value(), *path),
        lambda sealed, *path: AccountSeal(KEY).open(sealed, Value, *path),
    ),
]


def places() -> Iterator[tuple[Kind, tuple[Any, ...]]]:
    for kind in KINDS:
        for path in product(*kind.dimensions):
            yield kind, path


def test_k2_no_exchange_between_two_places_opens() -> None:
    sealed = [(kind, path, kind.seal(*path)) for kind, path in places()]
    for kind, path, value in sealed:
        assert kind.open(value, *path) is not None, kind.name
    opened, tried = [], 0
    for (kind, path, _), (other, elsewhere, moved) in permutations(sealed, 2):
        tried += 1
        try:
            kind.open(moved, *path)
        except IntegrityError:
            continue
        opened.append((kind.name, path, other.name, elsewhere))
    assert opened == []
    assert tried > EXCHANGES
