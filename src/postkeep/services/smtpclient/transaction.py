"""One message to one server: MAIL, RCPT and the content, in as few round trips as the server allows.

PIPELINING: sender, recipients and DATA go in one write. CHUNKING: the content goes with BDAT, and where it is
small in the same write as well, so that a message costs one round trip (RFC 3030 section 4.2, RFC 2920).
"""

from collections.abc import Sequence
from typing import Final

from postkeep.base.address import Address
from postkeep.protocols.smtp.client import Answer, Step
from postkeep.protocols.smtp.parameters import MailParameters
from postkeep.protocols.smtp.replies import Reply
from postkeep.services.smtpclient.values import RecipientParams, RecipientReply, Timeouts
from postkeep.services.smtpclient.wire import Wire

GROUP_OCTETS_MAX: Final = 64 * 1024
"""A message up to this size goes along with its envelope: more would be wasted if nobody is accepted."""

GROUP_RECIPIENTS_MAX: Final = 100
"""RCPT commands sent without waiting: their replies must fit into the buffers between us (RFC 2920)."""

_SEND_NOW: Final = 354
_CLOSING: Final = 421


class _ClosingError(Exception):
    """The server says 421: everyone still in the running has that for a reply."""


class Transaction:
    """One transaction on a connection."""

    def __init__(self, wire: Wire, timeouts: Timeouts, recipients: Sequence[RecipientParams]) -> None:
        self._wire = wire
        self._core = wire.core
        self._timeouts = timeouts
        self._recipients = recipients
        self._replies: dict[int, tuple[Step, Reply]] = {}
        """What decided for a recipient, by its place; missing: still in the running."""
        self._content_octets = 0

    async def run(
        self, sender: Address | None, parameters: MailParameters, data: bytes
    ) -> list[RecipientReply]:
        """Send the message and return every recipient's reply."""
        try:
            if self._core.supports("PIPELINING") and len(self._recipients) <= GROUP_RECIPIENTS_MAX:
                await self._run_in_groups(sender, parameters, data)
            else:
                await self._run_stepwise(sender, parameters, data)
        except _ClosingError:
            self._wire.close()
        return [
            RecipientReply(recipient.address, *self._replies[place])
            for place, recipient in enumerate(self._recipients)
        ]

    async def _run_in_groups(self, sender: Address | None, parameters: MailParameters, data: bytes) -> None:
        core = self._core
        chunking = core.supports("CHUNKING")
        core.mail(sender, parameters)
        for recipient in self._recipients:
            core.rcpt(recipient.address, recipient.parameters)
        together = chunking and len(data) <= GROUP_OCTETS_MAX
        if together:
            self._send_chunk(data)
        elif not chunking:
            core.data()
        answers = await self._ask_all()
        if together:
            if all(step is not Step.CONTENT for step, _ in self._replies.values()):
                await self._reset()
            return
        if chunking:
            await self._finish_with_chunk(data)
        else:
            await self._finish_with_data(answers[-1].reply, data)

    async def _run_stepwise(self, sender: Address | None, parameters: MailParameters, data: bytes) -> None:
        core = self._core
        core.mail(sender, parameters)
        await self._ask_all()
        if self._settled():
            return
        pipelining = core.supports("PIPELINING")
        for place, recipient in enumerate(self._recipients, 1):
            core.rcpt(recipient.address, recipient.parameters)
            if not pipelining or place % GROUP_RECIPIENTS_MAX == 0:
                await self._ask_all()
        await self._ask_all()
        if core.supports("CHUNKING"):
            await self._finish_with_chunk(data)
        elif not self._settled():
            core.data()
            await self._finish_with_data((await self._ask_all())[-1].reply, data)
        else:
            await self._reset()

    def _settled(self) -> bool:
        """Whether nobody is left in the running."""
        return len(self._replies) == len(self._recipients)

    async def _finish_with_chunk(self, data: bytes) -> None:
        if self._settled():
            await self._reset()
            return
        self._send_chunk(data)
        await self._ask_all()

    def _send_chunk(self, data: bytes) -> None:
        self._content_octets = len(data)
        self._core.bdat(data)

    async def _finish_with_data(self, go: Reply, data: bytes) -> None:
        if go.code != _SEND_NOW:
            self._decide_rest(Step.DATA, go)
            await self._reset()
            return
        if self._settled():
            self._core.abandon_content()
        else:
            self._content_octets = len(data)
            self._core.content(data)
        await self._ask_all()

    async def _reset(self) -> None:
        """Leave the connection fit for the next message."""
        self._core.rset()
        await self._ask_all()

    async def _ask_all(self) -> list[Answer]:
        """Send, wait for every outstanding reply, and note what each decides."""
        timeouts = self._timeouts
        extra = self._content_octets / timeouts.octets_per_second_min
        await self._wire.flush(timeouts.data + extra)
        answers = []
        for _ in range(self._core.outstanding):
            seconds = timeouts.content + extra if self._content_octets else timeouts.command
            answer = await self._wire.answer(seconds)
            if answer.reply.code == _CLOSING:
                self._decide_rest(answer.step, answer.reply)
                raise _ClosingError
            self._note(answer)
            answers.append(answer)
        return answers

    def _note(self, answer: Answer) -> None:
        if answer.step is Step.RCPT and not answer.reply.positive:
            self._replies.setdefault(answer.index, (Step.RCPT, answer.reply))
        elif (answer.step is Step.MAIL and not answer.reply.positive) or answer.step is Step.CONTENT:
            self._decide_rest(answer.step, answer.reply)

    def _decide_rest(self, step: Step, reply: Reply) -> None:
        for place in range(len(self._recipients)):
            self._replies.setdefault(place, (step, reply))
