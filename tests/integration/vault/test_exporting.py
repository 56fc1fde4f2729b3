"""TM-41: what the vault gives on an approved request, with a real database, packs and keys; kms alone is
played here, by who has made the keys."""

import hashlib
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from tests.integration.vault.conftest import MX, START_SECONDS, RunVault, Vault, grant, message

from postkeep.base.errors import ConflictError, IntegrityError, PostkeepError, RefusedError, UnavailableError
from postkeep.base.ids import NOBODY, new_id
from postkeep.crypto import export_file, hpke
from postkeep.crypto.epoch import EpochWriter, chain_starts, open_seed
from postkeep.crypto.message import new_message_keys, seal_content, wrap_keys
from postkeep.model.categories import Category
from postkeep.model.selection import Selection, export_subject
from postkeep.model.ticket import TicketKind
from postkeep.services.export import contents
from postkeep.services.export.keys import Keepers
from postkeep.services.export.reading import Exporter, Subject
from postkeep.services.export.sealed_file import SealedReader, SealedWriter
from postkeep.services.export.unpacking import unpack
from postkeep.services.kms.api import OpenedEpoch, OpenedEpochs, OpenEpochs
from postkeep.services.kms.client import KmsClient
from postkeep.services.vault import api, export_api
from postkeep.services.vault.client import VaultClient
from postkeep.tickets.clear import Grant

T = TypeVar("T")
DAY_MS = 86_400_000
START_MS = START_SECONDS * 1000


class Owner:
    """A person with a real key pair, to whom a writer seals."""

    def __init__(self) -> None:
        self.tenant, self.principal = new_id(), new_id()
        self.key = hpke.PrivateKey(hpke.new_private_seeds())
        self.renew()

    def renew(self) -> None:
        """Write under a new epoch from now on."""
        self.writer = EpochWriter(self.tenant, self.principal, 1, self.key.public_bytes, 0)

    def message(
        self, text: bytes, *, day: int = 0, role: str = "inbox", flags: tuple[str, ...] = ()
    ) -> api.Deposit:
        body, keys, step = new_id(), new_message_keys(), self.writer.take()
        wraps = wrap_keys(keys, step, self.tenant, body, self.principal, self.writer.epoch)
        placed = api.Placement(
            self.principal, self.writer.epoch, step.index, wraps, b"", role, flags, START_MS + day * DAY_MS
        )
        made = message(self.tenant, [placed], body=body)
        content = seal_content(keys, self.tenant, body, text)
        return msgspec.structs.replace(made, content=content, size=len(text))

    async def deliver(self, vault: Vault, *deposits: api.Deposit) -> None:
        epochs = [api.NewEpoch(self.tenant, self.principal, self.writer.epoch, self.writer.sealed)]
        answer = await vault.call("deposit", MX, api.DepositBatch(list(deposits), epochs))
        assert not any(result.error for result in answer.results)

    def grant(self, selection: Selection, **change: Any) -> Grant:
        """Make the cleared grant of an approved export of this part of the mail."""
        given = grant(self.tenant, self.principal, kind=TicketKind.GRANT, module="export")
        subject = export_subject(self.tenant, self.principal, selection).hex()
        return _with(given, purpose="export", request="ab" * 16, subject=subject, **change)


def _with(given: Grant, **change: Any) -> Grant:
    return msgspec.structs.replace(given, **change)


class Wire:
    """Stands where the links to vault and kms do, and counts the calls."""

    def __init__(self, vault: Vault, owner: Owner, given: Grant) -> None:
        self.vault, self.owner, self.given = vault, owner, given
        self.calls: Counter[str] = Counter()
        self.after: Callable[[str], None] = lambda _method: None

    async def call(
        self, method: str, request: Any, reply: type[T], *, ticket: bytes = b"", timeout_seconds: float = 30.0
    ) -> T:
        self.calls[method] += 1
        answer: Any
        if method == "kms.open_epochs":
            answer = self.open_epochs(request)
        else:
            answer = await self.vault.call(method.removeprefix("vault."), self.given, request)
        self.after(method)
        assert isinstance(answer, reply)
        return answer

    def open_epochs(self, request: OpenEpochs) -> OpenedEpochs:
        opened = []
        for item in request.epochs:
            path = (self.owner.tenant, self.owner.principal, item.epoch)
            try:
                starts = chain_starts(open_seed(self.owner.key, *path, item.sealed))
            except IntegrityError as error:
                opened.append(OpenedEpoch(item.epoch, {}, error=error.code))
                continue
            opened.append(OpenedEpoch(item.epoch, {Category(name): start for name, start in starts.items()}))
        return OpenedEpochs(opened)


async def export(wire: Wire, selection: Selection, directory: Path) -> contents.End:
    """Export into a sealed file in memory, and take it out into `directory`."""
    owner = wire.owner
    head = contents.Head(
        contents.FORMAT, "a@b", owner.tenant.hex(), owner.principal.hex(), "", 0, 0, "", "", 0
    )
    recipient = hpke.PrivateKey(hpke.new_private_seeds())
    file = io.BytesIO()
    writer = SealedWriter(file, export_file.seal_to(recipient.public_bytes))

    async def keepers() -> Keepers:
        return Keepers(VaultClient(wire), KmsClient(wire), b"grant")

    end = await Exporter(Subject(head, owner.tenant, owner.principal, selection), keepers, writer.write).run()
    writer.finish()
    file.seek(0)
    info = export_file._info(recipient.public_bytes)
    unpack(SealedReader(file, lambda _kind: lambda sealed: recipient.open(sealed, info)), directory)
    return end


def messages_in(directory: Path) -> Counter[bytes]:
    return Counter(path.read_bytes() for path in directory.rglob("*.eml"))


def lines_in(directory: Path) -> list[contents.Line]:
    return [
        msgspec.json.decode(text, type=contents.Line)
        for path in sorted(directory.rglob("*.jsonl"))
        for text in path.read_bytes().splitlines()
    ]


def test_an_export_gives_back_every_octet_with_one_call_a_page(run_vault: RunVault, tmp_path: Path) -> None:
    async def job(vault: Vault) -> None:
        owner = Owner()
        large = bytes(range(256)) * 80_000  # three pages of its own
        texts = [b"", b"x", b"m" * 16_384, *(b"message %d" % n for n in range(40)), large, large[:9_000_000]]
        half = len(texts) // 2
        await owner.deliver(vault, *(owner.message(text) for text in texts[:half]))
        owner.renew()
        kept = owner.message(b"sent", role="sent", flags=("\\Seen", "Work"), day=3)
        await owner.deliver(vault, *(owner.message(text) for text in texts[half:]), kept)
        chosen = Selection()
        wire = Wire(vault, owner, owner.grant(chosen))
        end = await export(wire, chosen, tmp_path / "out")
        assert (end.messages, end.unreadable) == (len(texts) + 1, 0)
        assert end.octets == sum(map(len, texts)) + 4
        assert messages_in(tmp_path / "out") == Counter([*texts, b"sent"])
        assert wire.calls["vault.export_begin"] == 1
        assert wire.calls["vault.export_page"] <= 9, "pages, not messages"
        assert wire.calls["kms.open_epochs"] <= 3
        (sent,) = [line for line in lines_in(tmp_path / "out") if line.flags]
        assert (sent.flags, sent.date_ms) == (("\\Seen", "Work"), START_MS + 3 * DAY_MS)
        assert sent.sha256 == hashlib.sha256(b"sent").hexdigest()
        reads = await vault.events("mail.read")
        assert {event.note for event in reads} == {"ab" * 16}
        assert {event.principal for event in reads} == {owner.principal.hex()}
        assert [(event.note.split()[1], event.count) for event in await vault.events("export")] == [
            ("begin", len(texts) + 1)
        ]

    run_vault(job)


def test_only_what_was_approved_is_given(run_vault: RunVault, tmp_path: Path) -> None:
    async def job(vault: Vault) -> None:
        owner = Owner()
        days = [owner.message(b"day %d" % day, day=day) for day in range(10)]
        await owner.deliver(vault, *days, owner.message(b"sent", role="sent", day=5))
        listed = await vault.call("mailboxes", owner.grant(Selection()), api.ListMailboxes(owner.principal))
        inbox, sent = (
            next(box.id for box in listed.mailboxes if box.role == role) for role in ("inbox", "sent")
        )
        chosen = Selection(inbox, START_MS + 3 * DAY_MS, START_MS + 6 * DAY_MS)
        wire = Wire(vault, owner, owner.grant(chosen))
        await export(wire, chosen, tmp_path / "out")
        assert messages_in(tmp_path / "out") == Counter([b"day 3", b"day 4", b"day 5"])
        before = len(await vault.events("mail.read"))
        wider = Selection(inbox, 0, chosen.until_ms)
        everything = Selection()
        other = Owner().principal
        page = export_api.ExportPage(owner.principal, chosen, inbox, 1, 0, 1000)
        user = grant(owner.tenant, owner.principal)
        attempts: list[tuple[Grant, msgspec.Struct]] = [
            (owner.grant(chosen), msgspec.structs.replace(page, selection=wider)),
            (owner.grant(chosen), msgspec.structs.replace(page, selection=everything)),
            (owner.grant(chosen), msgspec.structs.replace(page, mailbox=sent)),
            (owner.grant(chosen), msgspec.structs.replace(page, principal=other)),
            (owner.grant(chosen), export_api.ExportBegin(owner.principal, everything)),
            (owner.grant(chosen), export_api.ExportEnd(owner.principal, everything, 0, bytes(32))),
            (_with(owner.grant(chosen), purpose="destroy"), page),
            (_with(owner.grant(chosen), principal=NOBODY), page),
            (_with(owner.grant(chosen), principal=other), page),
            (_with(owner.grant(chosen), tenant=new_id()), page),
            (_with(user, purpose="export", subject=owner.grant(chosen).subject), page),
        ]
        for given, request in attempts:
            name = {"Begin": "begin", "Page": "page", "End": "end"}[
                type(request).__name__.removeprefix("Export")
            ]
            with pytest.raises(RefusedError):
                await vault.call(f"export_{name}", given, request)
        assert len(await vault.events("mail.read")) == before

    run_vault(job)


def test_without_the_ledger_nothing_is_given(run_vault: RunVault) -> None:
    async def job(vault: Vault) -> None:
        owner = Owner()
        await owner.deliver(vault, owner.message(b"text"))
        chosen = Selection()
        given = owner.grant(chosen)
        begun = await vault.call("export_begin", given, export_api.ExportBegin(owner.principal, chosen))
        box = begun.mailboxes[0].id
        vault.ledger.away = True
        for request in (
            export_api.ExportBegin(owner.principal, chosen),
            export_api.ExportPage(owner.principal, chosen, box, 1, 0, 1000),
            export_api.ExportEnd(owner.principal, chosen, 1, bytes(32)),
        ):
            name = type(request).__name__.removeprefix("Export").lower()
            with pytest.raises(UnavailableError):
                await vault.call(f"export_{name}", given, request)
        vault.ledger.away = False
        for bad in (
            export_api.ExportPage(owner.principal, chosen, box, 0, 0, 1000),
            export_api.ExportPage(owner.principal, chosen, box, 1, -1, 1000),
            export_api.ExportPage(owner.principal, chosen, box, 1, 0, 0),
        ):
            with pytest.raises(PostkeepError):
                await vault.call("export_page", given, bad)

    run_vault(job)


def test_what_can_not_be_opened_is_named_and_left_out_and_a_large_one_that_goes_ends_the_export(
    run_vault: RunVault, tmp_path: Path
) -> None:
    async def job(vault: Vault) -> None:
        owner = Owner()
        broken = owner.message(b"broken")
        broken = msgspec.structs.replace(
            broken, content=broken.content[:-1] + bytes([broken.content[-1] ^ 1])
        )
        late = owner.message(b"l" * 9_000_000)
        late = msgspec.structs.replace(late, content=late.content[:-1] + bytes([late.content[-1] ^ 1]))
        await owner.deliver(vault, owner.message(b"one"), broken, owner.message(b"two"), late)
        stranger = Owner()
        lost = stranger.message(b"lost")
        placed = msgspec.structs.replace(lost.placements[0], principal=owner.principal)
        owner.writer = EpochWriter(owner.tenant, owner.principal, 1, stranger.key.public_bytes, 0)
        placed = msgspec.structs.replace(placed, epoch=owner.writer.epoch)
        await owner.deliver(vault, msgspec.structs.replace(lost, tenant=owner.tenant, placements=[placed]))
        chosen = Selection()
        wire = Wire(vault, owner, owner.grant(chosen))
        end = await export(wire, chosen, tmp_path / "out")
        assert (end.messages, end.unreadable) == (2, 3)
        assert messages_in(tmp_path / "out") == Counter([b"one", b"two"])
        assert [line.uid for line in lines_in(tmp_path / "out") if not line.path] == [2, 5]
        assert [line.uid for line in lines_in(tmp_path / "out") if line.damaged] == [4]

        owner.renew()
        await owner.deliver(vault, owner.message(b"L" * 20_000_000))
        user = grant(owner.tenant, owner.principal)
        inbox = (await vault.call("mailboxes", user, api.ListMailboxes(owner.principal))).mailboxes[0].id
        flag = api.StoreFlags(owner.principal, inbox, [(6, 6)], "add", ("\\Deleted",))
        await vault.call("store_flags", user, flag)
        pages = 0

        async def keepers() -> Keepers:
            nonlocal pages
            pages += 1
            if pages == 6:  # the list, small ones, two pieces of the damaged one, the first of the large one
                await vault.call("expunge", user, api.Expunge(owner.principal, inbox))
            return Keepers(VaultClient(wire), KmsClient(wire), b"grant")

        head = contents.Head(contents.FORMAT, "a@b", "", "", "", 0, 0, "", "", 0)
        subject = Subject(head, owner.tenant, owner.principal, chosen)
        with pytest.raises(ConflictError) as gone:
            await Exporter(subject, keepers, lambda _octets: None).run()
        assert gone.value.code == "conflict.export"
        assert pages == 6

    run_vault(job)
