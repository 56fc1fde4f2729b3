"""Passwords: hashes that only the right one fits, threads that serve everybody in turn."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from postkeep.base.errors import InvalidInputError, RefusedError, ThrottledError
from postkeep.protocols.sasl.scram import derive_keys
from postkeep.services.authority import fair_pool
from postkeep.services.authority.fair_pool import FairPool
from postkeep.services.authority.passwords import (
    VERIFIED_SECONDS,
    Passwords,
    app_verifier,
    check_new_password,
)

SALT = b"s" * 16


def run(scenario: Callable[[Passwords], Awaitable[Any]], now: Callable[[], float] = time.monotonic) -> None:
    async def whole() -> None:
        passwords = Passwords(now)
        try:
            await scenario(passwords)
        finally:
            passwords.close()

    asyncio.run(whole())


def test_only_the_right_password_passes_in_any_of_its_forms() -> None:
    async def scenario(passwords: Passwords) -> None:
        made = await passwords.make("pass\u00e9 word\u2168", SALT, 4096)
        assert b"pass" not in made.verifier
        assert b"m=19456,t=2,p=1" in made.verifier
        assert made.scram == derive_keys("passé wordIX", SALT, 4096)
        await passwords.check(made, "pass\u0065\u0301 wordIX", "n")
        for wrong in ("pass\u00e9 word", "", "\0", "x" * 5000, "passe wordIX"):
            with pytest.raises(RefusedError):
                await passwords.check(made, wrong, "n")
        with pytest.raises(RefusedError):
            await passwords.check(None, "anything", "n")

    run(scenario)


def test_a_password_that_was_right_is_remembered_for_a_while_and_for_its_hash_only() -> None:
    clock = [1000.0]

    async def scenario(passwords: Passwords) -> None:
        made = await passwords.make("correct horse", SALT, 4096)
        again = await passwords.make("correct horse", SALT, 4096)
        assert not passwords.remembers(made, "correct horse")
        await passwords.check(made, "correct horse", "n")
        assert passwords.remembers(made, "correct horse")
        assert not passwords.remembers(made, "correct horse.")
        assert not passwords.remembers(again, "correct horse")
        assert not passwords.remembers(None, "correct horse")
        assert all(b"correct" not in digest for digest in passwords._verified)
        clock[0] += VERIFIED_SECONDS
        assert not passwords.remembers(made, "correct horse")

    run(scenario, lambda: clock[0])


def test_somebody_who_does_not_exist_costs_as_much_as_somebody_who_does() -> None:
    async def scenario(passwords: Passwords) -> None:
        made = await passwords.make("correct horse", SALT, 4096)

        async def cost(credential: Any) -> float:
            best = 1e9
            for _ in range(7):
                start = time.process_time()
                with pytest.raises(RefusedError):
                    await passwords.check(credential, "wrong password", "n")
                best = min(best, time.process_time() - start)
            return best

        real, nobody = await cost(made), await cost(None)
        assert nobody == pytest.approx(real, rel=0.6)

    run(scenario)


def test_app_passwords_are_random_and_kept_as_a_keyed_hash() -> None:
    async def scenario(passwords: Passwords) -> None:
        first, made = await passwords.make_app(SALT, 4096, "phone", ["imap"], b"k" * 32)
        second, _ = await passwords.make_app(SALT, 4096, "phone", ["imap"], b"k" * 32)
        assert first != second
        assert len(first) == 23
        assert made.verifier == app_verifier(b"k" * 32, first)
        assert made.verifier != app_verifier(b"l" * 32, first)
        assert made.protocols == ("imap",)

    run(scenario)


@pytest.mark.parametrize("password", ["", "short12", "tab\tand more", "\x7f" * 10, "y" * 2000])
def test_a_password_that_can_not_be_used_is_not_taken(password: str) -> None:
    with pytest.raises(InvalidInputError):
        check_new_password(password)


def test_a_flood_from_one_party_does_not_hold_up_another() -> None:
    async def scenario() -> list[str]:
        pool, done = FairPool(1), []

        async def ask(party: str) -> None:
            await pool.run(party, lambda: time.sleep(0.002))
            done.append(party)

        flood = [asyncio.create_task(ask("flood")) for _ in range(100)]
        await asyncio.sleep(0.01)
        before = len(done)
        await ask("quiet")
        waited_for = len(done) - before
        await asyncio.gather(*flood)
        pool.close()
        assert waited_for <= 8  # of a hundred
        return done

    assert len(asyncio.run(scenario())) == 101


def test_a_job_may_be_refused_when_its_turn_comes_and_queues_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fair_pool, "WAITING_EACH_MAX", 3)

    async def scenario() -> None:
        pool, gate = FairPool(1), threading.Event()
        blocked = asyncio.create_task(pool.run("a", gate.wait))
        await asyncio.sleep(0.01)

        def refuse() -> None:
            raise ThrottledError("no more")

        waiting = [asyncio.create_task(pool.run("a", lambda: 7, refuse)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(ThrottledError) as caught:
            await pool.run("a", lambda: 7)
        assert caught.value.code == "throttled.busy"
        other = asyncio.create_task(pool.run("b", lambda: 7))
        waiting[0].cancel()
        gate.set()
        assert await blocked
        assert await other == 7
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert all(isinstance(item, ThrottledError) for item in results[1:])
        assert await pool.run("a", lambda: 8) == 8
        pool.close()

    asyncio.run(scenario())


def test_the_salted_form_takes_the_right_password_only_and_costs_alike_for_nobody() -> None:
    async def scenario(passwords: Passwords) -> None:
        made = await passwords.make("pass\u00e9 word\u2168", SALT, 10_000)
        await passwords.check_salted(made, "pass\u0065\u0301 wordIX", SALT, 10_000, "n")
        assert passwords.remembers(made, "pass\u0065\u0301 wordIX")
        wrong = [("pass\u00e9 word", SALT, 10_000), ("passé wordIX", b"t" * 16, 10_000)]
        for password, salt, iterations in [*wrong, ("passé wordIX", SALT, 9_999), ("", SALT, 10_000)]:
            with pytest.raises(RefusedError):
                await passwords.check_salted(made, password, salt, iterations, "n")
        with pytest.raises(RefusedError):
            await passwords.check_salted(None, "anything", SALT, 10_000, "n")

        async def cost(credential: Any) -> float:
            best = 1e9
            for _ in range(7):
                start = time.process_time()
                with pytest.raises(RefusedError):
                    await passwords.check_salted(credential, "wrong password", SALT, 10_000, "n")
                best = min(best, time.process_time() - start)
            return best

        somebody, nobody = await cost(made), await cost(None)
        assert 0.5 < somebody / nobody < 2.0

    run(scenario)
