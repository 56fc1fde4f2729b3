"""SEARCH, SORT and THREAD over a socket against a reference that reads whole messages one by one.

The mail is the corpus of tests/corpus.py (charsets, encodings, nesting, breakage), some of it expunged.
"""

import datetime as dt
import random
import re
from collections.abc import Callable

from tests.corpus import Sample, messages
from tests.imap_client import ImapClient, fetched, of, signed_in
from tests.imap_world import Person, Scenario, World
from tests.search_reference import Mail, in_order, matches

from postkeep.protocols.imap.commands import Search, Sort
from postkeep.protocols.imap.search import (
    All,
    And,
    Body,
    Date,
    DateRelation,
    DateSource,
    HasFlag,
    Header,
    Larger,
    Not,
    Numbers,
    Or,
    SearchKey,
    Smaller,
    Text,
)
from postkeep.protocols.imap.sequence import parse_sequence
from postkeep.protocols.imap.sort import SortField, SortKey

COUNT = 150
FLAGS = ("\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "$Work", "Later")
BACK = dt.datetime(2026, 11, 10, 12, tzinfo=dt.UTC)


async def filled(world: World, alice: Person, samples: list[Sample]) -> tuple[ImapClient, list[Mail]]:
    """Deliver, flag and expunge some; return what the mailbox then holds."""
    rng = random.Random(51)
    await world.deliver(alice, *[sample.data for sample in samples])
    client = await signed_in(world, "INBOX")
    given: dict[int, set[str]] = {uid: set() for uid in range(1, len(samples) + 1)}
    for flag in FLAGS:
        uids = rng.sample(sorted(given), len(samples) // 4)
        await client.line(f"UID STORE {','.join(map(str, uids))} +FLAGS.SILENT ({flag})")
        for uid in uids:
            given[uid].add(flag)
    gone = [uid for uid, flags in given.items() if "\\Deleted" in flags][::3]
    await client.line(f"UID EXPUNGE {','.join(map(str, gone))}")
    answers = fetched(await client.line("FETCH 1:* (UID INTERNALDATE RFC822.SIZE)"))
    mails = []
    for number, items in answers.items():
        uid = int(str(items["UID"]))
        date = items["INTERNALDATE"]
        assert isinstance(date, bytes)
        arrived = dt.datetime.strptime(date.decode().strip(), "%d-%b-%Y %H:%M:%S %z")
        raw = samples[uid - 1].data
        assert items["RFC822.SIZE"] == str(len(raw))
        mails.append(Mail(number, uid, frozenset(given[uid]), arrived, raw))
    assert [mail.uid for mail in mails] == [uid for uid in sorted(given) if uid not in gone]
    return client, mails


class Drawer:
    """Draws keys about this mailbox from a seed."""

    def __init__(self, seed: int, samples: list[Sample], mails: list[Mail]) -> None:
        self._rng = random.Random(seed)
        self._words = [word for sample in samples for word in sample.canaries]
        self._mails = mails

    def key(self, depth: int = 3) -> SearchKey:
        rng = self._rng
        shape = rng.random()
        if not depth or shape < 0.4:
            return self._leaf()
        if shape < 0.55:
            return Not(self.key(depth - 1))
        if shape < 0.75:
            return Or(self.key(depth - 1), self.key(depth - 1))
        return And(tuple(self.key(depth - 1) for _ in range(rng.randint(2, 3))))

    def _leaf(self) -> SearchKey:
        rng = self._rng
        makers: list[Callable[[], SearchKey]] = [
            All,
            lambda: HasFlag(rng.choice([*FLAGS, "$WORK", "lATER"])),
            lambda: Header(rng.choice(["FROM", "TO", "CC", "SUBJECT"]), self._word()),
            lambda: Header(rng.choice(["X-NONE", "RECEIVED", "MESSAGE-ID", "REFERENCES"]), self._other()),
            lambda: Header(rng.choice(["CC", "REFERENCES", "X-NONE"]), ""),
            lambda: Body(self._text()),
            lambda: Text(self._text()),
            self._date,
            lambda: Larger(len(rng.choice(self._mails).raw)),
            lambda: Smaller(len(rng.choice(self._mails).raw)),
            self._numbers,
        ]
        return rng.choice(makers)()

    def _word(self) -> str:
        known = self._rng.choice(self._words)[:-2]
        return self._rng.choice([known, known, "example.net", "EXAMPLE", "zq", "re:", "nowhere"])

    def _other(self) -> str:
        return self._rng.choice(["example.net", "ESMTPS id", "@example.com>", "relay", "4f2a; Tue"])

    def _text(self) -> str:
        return self._rng.choice(
            [
                self._word(),
                "minutes of the",
                "会议纪要",
                "протокол",
                "議事録",
                "RÉUNION",
                "€, “net",
                "Zürich",
            ]
        )

    def _date(self) -> SearchKey:
        source = self._rng.choice([DateSource.INTERNAL, DateSource.SENT])
        day = dt.date(2026, 11, self._rng.randint(1, 30))
        if source is DateSource.INTERNAL:
            day = self._rng.choice(self._mails).arrived.date() + dt.timedelta(self._rng.randint(-1, 1))
        return Date(source, self._rng.choice(list(DateRelation)), day)

    def _numbers(self) -> SearchKey:
        last = self._mails[-1]
        uid = self._rng.random() < 0.5
        drawn = [str(self._rng.randint(1, last.uid if uid else last.number)) for _ in range(4)]
        text = f"{drawn[0]}:{drawn[1]},{drawn[2]},{drawn[3]}:*".encode()
        return Numbers(parse_sequence(text), uid)


def test_searches_find_what_the_reference_finds(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        samples = list(messages(COUNT, 9051))
        client, mails = await filled(world, alice, samples)
        drawer = Drawer(3501, samples, mails)
        some = 0
        for _ in range(150):
            key = drawer.key()
            expected = [mail for mail in mails if matches(key, mail, mails[-1])]
            some += 0 < len(expected) < len(mails)
            (answer,) = of(await client.run(Search(key)), "SEARCH")
            assert [str(number) for number in answer.values] == [str(mail.number) for mail in expected], key
            (answer,) = of(await client.run(Search(key, uid=True)), "SEARCH")
            assert [str(number) for number in answer.values] == [str(mail.uid) for mail in expected], key
        assert some > 60
        await client.close()

    in_world(scenario)


def test_sorts_are_those_of_the_reference(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        samples = [unencoded(sample, number) for number, sample in enumerate(messages(40, 5256))]
        odd = Sample(b"Subject: no date\r\n\r\nnor anything else\r\n", ())
        client, mails = await filled(world, alice, [*samples, odd, *samples[::3], odd])
        rng = random.Random(5957)
        keys = [SortKey(field, reverse) for field in SortField for reverse in (False, True)]
        orders = [(key,) for key in keys] + [tuple(rng.sample(keys, 3)) for _ in range(20)]
        for order in orders:
            (answer,) = of(await client.run(Sort(order, All())), "SORT")
            assert [int(str(number)) for number in answer.values] == in_order(mails, order), order
        await client.close()

    in_world(scenario)


def unencoded(sample: Sample, number: int) -> Sample:
    """The same message with plain words where its header has encoded ones."""
    header, _, rest = sample.data.partition(b"\r\n\r\n")
    word = b"%s word" % [b"Zebra", b"apple", b"Mango", b"apple pie"][number % 4]
    return Sample(re.sub(rb"=\?[^?]*\?.\?[^?]*\?=", word, header) + b"\r\n\r\n" + rest, ())
