"""What is revoked, how fast it is heard of, and what happens when nothing is heard (TM-33)."""

import asyncio
from dataclasses import dataclass

import pytest

from postkeep.base.clock import FixedClock
from postkeep.base.errors import RefusedError, UnavailableError
from postkeep.base.ids import new_id
from postkeep.services.authority.api import FeedPage, Revocation
from postkeep.services.authority.feed import FeedLog
from postkeep.stores.authority_access import RevocationRow
from postkeep.tickets.follow import follow_feed
from postkeep.tickets.identity import Anchors, ModuleIdentity
from postkeep.tickets.mint import Mint
from postkeep.tickets.narrow import narrow
from postkeep.tickets.revocations import STALE_SECONDS, RevocationView
from postkeep.tickets.verify import ShownTicket, Verifier

AUTHORITY = ModuleIdentity("authority", "authority-1")
IMAP = ModuleIdentity("imap", "imap-1")
WEB = ModuleIdentity("web", "web-1")
TENANT, ALICE, SESSION = new_id(), new_id(), new_id()


@dataclass
class Desk:
    clock: FixedClock
    mint: Mint
    verifier: Verifier

    def ticket(self, *, narrowed: bool = False) -> ShownTicket:
        _, token = self.mint.user(
            "imap", "imap-1", IMAP.thumbprint, tenant=TENANT, principal=ALICE, session=SESSION
        )
        holder = IMAP
        if narrowed:
            token = narrow(
                IMAP,
                token,
                holder=WEB.thumbprint,
                audience=("vault",),
                module="web",
                instance="web-1",
                clock=self.clock,
            )
            holder = WEB
        return self.verifier.verify(token, audience="vault", holder=holder.thumbprint)


def desk() -> Desk:
    anchors, clock = Anchors(), FixedClock()
    anchors.trust("authority", AUTHORITY.public_key)
    return Desk(clock, Mint(AUTHORITY.sign, clock), Verifier(anchors, clock))


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        ("session", "session"),
        ("user", "user"),
        ("tenant", "tenant"),
        ("instance", "imap-1"),
        ("instance", "web-1"),
    ],
)
def test_what_was_issued_before_is_void_and_what_comes_after_is_good(scope: str, subject: str) -> None:
    office, view = desk(), RevocationView()
    subject = {"session": SESSION.hex(), "user": ALICE.hex(), "tenant": TENANT.hex()}.get(scope, subject)
    before = office.ticket(narrowed=True)
    view.check(before)
    view.learn(Revocation(scope, subject, office.clock.now_ms() + 1))
    with pytest.raises(RefusedError) as caught:
        view.check(before)
    assert caught.value.code == "refused.revoked"
    office.clock.advance(0.002)
    view.check(office.ticket(narrowed=True))
    view.learn(Revocation(scope, subject, office.clock.now_ms() - 100))  # an older word changes nothing
    with pytest.raises(RefusedError):
        view.check(before)


def test_a_view_that_hears_nothing_for_ten_seconds_is_stale() -> None:
    now = [50.0]
    view = RevocationView(lambda: now[0])
    with pytest.raises(UnavailableError):
        view.check_fresh()
    view.heard(3)
    now[0] += STALE_SECONDS
    view.check_fresh()
    now[0] += 0.1
    with pytest.raises(UnavailableError) as caught:
        view.check_fresh()
    assert caught.value.code == "unavailable.stale"
    assert view.position == 3


def test_followers_hear_at_once_and_again_after_an_outage() -> None:
    async def scenario() -> None:
        own, far = RevocationView(), RevocationView()
        log = FeedLog(own)
        log.load([RevocationRow(1, "session", "aa", 10)], 5)
        away = [False]

        class Source:
            async def poll_feed(self, since: int, directory_version: int, wait_seconds: float) -> FeedPage:
                if away[0]:
                    raise UnavailableError
                return await log.next_page(since, directory_version, wait_seconds)

        heard: list[str] = []
        versions: list[int] = []
        task = asyncio.create_task(
            follow_feed(Source(), far, lambda item: heard.append(item.subject), versions.append)
        )
        await asyncio.sleep(0.02)
        assert (heard, versions, far.position) == (["aa"], [5], 1)
        log.revoked(RevocationRow(2, "user", "bb", 20))
        log.changed(6)
        await asyncio.sleep(0.02)
        assert (heard, versions, far.position) == (["aa", "bb"], [5, 6], 2)
        away[0] = True
        log.revoked(RevocationRow(3, "user", "cc", 30))
        log.revoked(RevocationRow(4, "user", "dd", 40))
        await asyncio.sleep(0.3)
        away[0] = False
        await asyncio.sleep(0.3)
        assert heard == ["aa", "bb", "cc", "dd"]
        assert far.position == 4
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())


def test_a_follower_of_a_database_that_is_no_more_starts_over() -> None:
    async def scenario() -> None:
        log = FeedLog(RevocationView())
        log.load([RevocationRow(1, "session", "aa", 10)], 1)
        page = await log.next_page(99, 1, 5.0)
        assert [item.subject for item in page.revocations] == ["aa"]
        assert page.position == 1

    asyncio.run(scenario())
