"""Values of ledger entries under a person's own key: bound to the person and to the one event (A7)."""

import asyncio

import msgspec
import pytest

from postkeep.base.errors import IntegrityError, UnavailableError
from postkeep.crypto.personal import PersonalSeal
from postkeep.model.audit import PersonalValues
from postkeep.services.authority.personal import PersonKeys
from postkeep.services.kms.api import PersonKey, ReleasedKey

TENANT, OTHER_TENANT = b"t" * 16, b"u" * 16
PERSON, OTHER = b"p" * 16, b"q" * 16
KEY = bytes(range(32))


def test_values_open_for_their_event_and_for_no_other() -> None:
    seal = PersonalSeal(KEY, TENANT, PERSON)
    sealed = seal.seal(b"192.0.2.1", "authority-0.aa", 7)
    assert seal.open(sealed, "authority-0.aa", 7) == b"192.0.2.1"
    assert sealed != seal.seal(b"192.0.2.1", "authority-0.aa", 7), "equal values do not look equal"
    for other, source, number in (
        (seal, "authority-0.aa", 8),
        (seal, "authority-0.bb", 7),
        (PersonalSeal(KEY, TENANT, OTHER), "authority-0.aa", 7),
        (PersonalSeal(KEY, OTHER_TENANT, PERSON), "authority-0.aa", 7),
        (PersonalSeal(bytes(32), TENANT, PERSON), "authority-0.aa", 7),
    ):
        with pytest.raises(IntegrityError):
            other.open(sealed, source, number)


def test_the_longest_reason_that_can_be_given_for_an_export_is_sealed_and_read_back() -> None:
    async def scenario() -> None:
        kms, keys = Kms(), PersonKeys()
        keys.use(kms)
        reason = "\N{OLD PERSIAN SIGN AURAMAZDAA}" * 500
        sealer = await keys.sealer(TENANT, PERSON, PersonalValues(reason=reason + "more"))
        assert sealer is not None
        octets = PersonalSeal(KEY, TENANT, PERSON).open(sealer("authority-0.aa", 7), "authority-0.aa", 7)
        assert msgspec.json.decode(octets, type=PersonalValues) == PersonalValues(reason=reason)

    asyncio.run(scenario())


@pytest.mark.parametrize("bad", ["", "A", "!!!!", "AAAA", "A" * 2000])
def test_what_is_no_sealed_value_is_refused(bad: str) -> None:
    with pytest.raises(IntegrityError):
        PersonalSeal(KEY, TENANT, PERSON).open(bad, "authority-0.aa", 7)


class Kms:
    def __init__(self) -> None:
        self.asked: list[PersonKey] = []
        self.away = False

    async def person_key(self, request: PersonKey) -> ReleasedKey:
        self.asked.append(request)
        if self.away:
            raise UnavailableError("away")
        return ReleasedKey(KEY)


def test_a_persons_key_is_asked_for_once_and_again_after_it_was_forgotten() -> None:
    async def scenario() -> None:
        kms, keys = Kms(), PersonKeys()
        values = PersonalValues("192.0.2.1", "x" * 500)
        assert await keys.sealer(TENANT, PERSON, values) is None, "nothing is sealed before kms has answered"
        keys.use(kms)
        for _ in range(2):
            assert await keys.sealer(TENANT, PERSON, values) is not None
        sealer = await keys.sealer(TENANT, PERSON, values)
        assert sealer is not None
        opened = PersonalSeal(KEY, TENANT, PERSON).open(sealer("authority-0.aa", 1), "authority-0.aa", 1)
        assert opened == b'{"address":"192.0.2.1","program":"' + b"x" * 128 + b'"}'
        await keys.sealer(TENANT, OTHER, values)
        assert len(kms.asked) == 2
        keys.forget(TENANT, PERSON)
        await keys.sealer(TENANT, OTHER, values)
        assert len(kms.asked) == 2
        kms.away = True
        assert await keys.sealer(TENANT, PERSON, values) is None
        keys.forget(TENANT)
        assert await keys.sealer(TENANT, OTHER, values) is None

    asyncio.run(scenario())
