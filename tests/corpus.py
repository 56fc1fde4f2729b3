"""A varied corpus of mail, made anew from a seed: charsets, attachments, nesting, breakage.

Every message carries words that occur nowhere else, in subject, addresses, bodies and file names, so that
a search through raw bytes can tell whether a message lies somewhere in the clear.
"""

import base64
import quopri
import random
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

PHRASES: Final = {
    "us-ascii": "The minutes of the meeting are below; please answer by Friday.",
    "utf-8": "Grüße aus Zürich: 会议纪要, протокол, 議事録, 회의록.",
    "iso-8859-1": "Voilà le procès-verbal de la réunion d'été.",
    "windows-1252": "The price is 20 €, “net”.",
    "gb2312": "请查收附件中的会议纪要,谢谢。",
    "gb18030": "请查收附件:㐀㐁 会议纪要。",
    "big5": "請查收附件中的會議紀要。",
    "iso-2022-jp": "議事録をご確認ください。",
    "shift_jis": "議事録をご確認ください。",
    "euc-kr": "회의록을 확인해 주십시오.",
    "koi8-r": "Протокол заседания во вложении.",
}
"""A sentence for each charset that the corpus writes."""


class Sample(NamedTuple):
    """A message with CRLF line ends, and the words in it that a raw search finds."""

    data: bytes
    canaries: tuple[str, ...]


def messages(count: int, seed: int) -> Iterator[Sample]:
    """Make `count` messages; the same seed makes the same ones."""
    writer = _Writer(random.Random(seed), seed)
    for number in range(count):
        yield writer.write(number)


class _Writer:
    def __init__(self, rnd: random.Random, seed: int) -> None:
        self._rnd = rnd
        self._seed = seed
        self._number = 0
        self._words: list[str] = []
        self._shapes: tuple[tuple[int, Callable[[], bytes]], ...] = (
            (40, self._plain),
            (25, self._alternative),
            (15, self._attachments),
            (6, self._nested),
            (5, self._related),
            (4, self._deep),
            (5, self._broken),
        )

    def write(self, number: int) -> Sample:
        self._number, self._words = number, []
        shape = self._rnd.choices([make for _, make in self._shapes], [weight for weight, _ in self._shapes])[
            0
        ]
        data = self._header() + shape()
        return Sample(data, tuple(word for word in self._words if word.encode() in data))

    def _canary(self) -> str:
        word = f"zq{self._seed:x}x{self._number:x}x{len(self._words)}x{self._rnd.getrandbits(40):010x}"
        self._words.append(word)
        return word

    def _charset(self) -> str:
        return self._rnd.choice(list(PHRASES))

    def _encoded_word(self, charset: str) -> str:
        octets = PHRASES[charset][:12].encode(charset, "replace")
        if self._rnd.random() < 0.5:
            return f"=?{charset}?B?{base64.b64encode(octets).decode()}?="
        quoted = "".join(f"={octet:02X}" for octet in octets)
        return f"=?{charset}?Q?{quoted}?="

    def _header(self) -> bytes:
        rnd = self._rnd
        sender, subject = self._canary(), self._canary()
        display = rnd.choice(
            ["", '"Example, Person" ', "Person Example ", self._encoded_word(self._charset()) + " "]
        )
        others = ", ".join(
            f"Other {index} <{self._canary()}@example.org>" for index in range(rnd.randint(1, 4))
        )
        date = f"{rnd.choice(['Tue, ', ''])}{rnd.randint(1, 28)} Nov 2026 10:00:00"
        mark = rnd.choice(["", "Re: ", "Fwd: ", "[list] "]) + self._encoded_word(self._charset())
        lines = [
            "Received: from client.example.net (client.example.net [192.0.2.7])",
            "\tby relay.example.net with ESMTPS id 4F2A; Tue, 24 Nov 2026 10:00:00 +0800",
            f"From: {display}<{sender}@example.net>",
            f"To: {others}",
            f"Subject: {mark} {subject}",
            f"Date: {date} {rnd.choice(['+0800', '-0330', 'GMT'])}",
            f"Message-ID: <{self._number}.{rnd.getrandbits(60):x}@example.net>",
            "MIME-Version: 1.0",
        ]
        if rnd.random() < 0.4:
            lines.append(
                f"References: <{rnd.getrandbits(60):x}@example.com>\r\n <{rnd.getrandbits(60):x}@example.com>"
            )
        if rnd.random() < 0.3:
            lines.append(f"Cc: team: {self._canary()}@example.org, b@example.org;")
        return "\r\n".join(lines).encode() + b"\r\n"

    def _text(self, charset: str, subtype: str = "plain") -> bytes:
        rnd = self._rnd
        count = min(3000, int(rnd.lognormvariate(4, 1.2)) + 1)
        rows = [rnd.choice(["> ", "", ""]) + PHRASES[charset] for _ in range(count)]
        rows[rnd.randrange(len(rows))] += f" {self._canary()}"
        rows.append(f"{self._canary()} .")
        if subtype == "html":
            rows = [f"<p>{row}</p>" for row in rows]
        octets = "\r\n".join(rows).encode(charset, "replace") + b"\r\n"
        encoding = rnd.choice(["8bit", "quoted-printable", "8bit", "base64"])
        if encoding == "quoted-printable":
            octets = quopri.encodestring(octets.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
        elif encoding == "base64":
            octets = base64.encodebytes(octets).replace(b"\n", b"\r\n")
        kind = f'Content-Type: text/{subtype}; charset="{charset}"\r\n'
        return f"{kind}Content-Transfer-Encoding: {encoding}\r\n\r\n".encode() + octets

    def _plain(self) -> bytes:
        return self._text(self._charset())

    def _multipart(self, subtype: str, parts: list[bytes]) -> bytes:
        boundary = f"=_{self._rnd.getrandbits(64):016x}"
        kind = f'Content-Type: multipart/{subtype};\r\n\tboundary="{boundary}"\r\n\r\npreamble\r\n'.encode()
        joined = b"".join(b"--" + boundary.encode() + b"\r\n" + part + b"\r\n" for part in parts)
        return kind + joined + b"--" + boundary.encode() + b"--\r\n"

    def _alternative(self) -> bytes:
        charset = self._charset()
        return self._multipart("alternative", [self._text(charset), self._text(charset, "html")])

    def _attachment(self) -> bytes:
        rnd = self._rnd
        name = f"{self._canary()}.pdf"
        form = rnd.choice(
            [
                f'attachment; filename="{name}"',
                f"attachment; filename*=utf-8''%E4%BC%9A{name}",
                f"attachment; filename*0*=gb18030''%BB%E1; filename*1={name}",
            ]
        )
        data = base64.encodebytes(rnd.randbytes(min(700_000, int(rnd.lognormvariate(9, 1.5)))))
        head = f"Content-Type: application/pdf\r\nContent-Disposition: {form}\r\n"
        return head.encode() + b"Content-Transfer-Encoding: base64\r\n\r\n" + data.replace(b"\n", b"\r\n")

    def _attachments(self) -> bytes:
        parts = [self._text(self._charset())] + [self._attachment() for _ in range(self._rnd.randint(1, 3))]
        return self._multipart("mixed", parts)

    def _related(self) -> bytes:
        image = b"Content-Type: image/png\r\nContent-ID: <logo@x>\r\n"
        image += b"Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n"
        return self._multipart("related", [self._text("utf-8", "html"), image])

    def _enclosed(self) -> bytes:
        return b"Content-Type: message/rfc822\r\n\r\n" + self._header() + self._alternative()

    def _nested(self) -> bytes:
        return self._multipart("mixed", [self._text(self._charset()), self._enclosed(), self._attachment()])

    def _deep(self) -> bytes:
        part = self._text("us-ascii")
        for _ in range(self._rnd.randint(3, 12)):
            part = self._multipart("mixed", [part, b"\r\nno header here\r\n"])
        return part

    def _broken(self) -> bytes:
        word = self._canary().encode()
        return self._rnd.choice(
            [
                b"Content-Type: multipart/mixed\r\n\r\nno boundary " + word + b"\r\n",
                b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nnever closed " + word + b"\r\n",
                b"Content-Type: text/plain; charset=\r\nContent-Transfer-Encoding: x-unknown\r\n\r\n"
                + word
                + b"\r\n",
                b"Content-Type: ;;;\r\nContent-Disposition: \xff\xfe\r\n\r\n\x00\x01raw \xe4\xbc "
                + word
                + b"\r\n",
                b"no header line at all\r\nContent-Type: text/plain; charset=gb2312\r\n\r\n\xb0\xff"
                + word
                + b"\r\n",
            ]
        )
