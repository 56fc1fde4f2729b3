"""The messages that are sent: the same every time, made from a seed.

`four` is 4 KB of plain text. `mixed` has a median of 10 KB and a tail to 1 MB: plain text and alternatives
in several charsets (Chinese, Japanese, Cyrillic), transfer encodings, and attachments, as real mail has.
None has a Message-ID: the load generator puts a unique one before each.
"""

import math
import random
import statistics
import struct
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

SEED = 20_261_124
FOUR_BYTES = 4096
MIXED_MEDIAN_BYTES = 10_240
MIXED_SIGMA = 1.6  # of the logarithm of the size: 1 in 400 messages reaches a megabyte
BYTES_MIN, BYTES_MAX = 1_500, 1_000_000
DISTINCT = {"four": 64, "mixed": 400}

ENGLISH = """
the of and a to in is you that it he was for on are as with his they I at be this have from or one had by
word but not what all were we when your can said there use an each which she do how their if will up other
about out many then them these so some her would make like him into time has look two more write go see
number no way could people my than first water been call who oil its now find long down day did get come
made may part invoice meeting schedule contract delivery quarter budget review deadline attached regards
"""
RUSSIAN = """
договор встреча поставка письмо отдел проект срок оплата бюджет отчёт заявка ответ клиент склад номер
"""
CHINESE = "的一是了我不人在他有这个上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能"
JAPANESE = "日本語の会議は来週の月曜日に変更されました。資料を添付しますのでご確認ください。"
WORDS = {language: text.split() for language, text in (("en", ENGLISH), ("ru", RUSSIAN))}


def write(kind: str, directory: Path) -> Path:
    """Write the corpus file of a kind, if it is not there yet; return its path."""
    path = directory / f"corpus-{kind}-{SEED}.bin"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        stuffed = [message.replace(b"\r\n.", b"\r\n..") for message in make_all(kind)]
        path.write_bytes(b"".join(struct.pack("<I", len(m)) + m for m in stuffed))
    return path


def sizes(path: Path) -> list[int]:
    """Return the sizes of a corpus file's messages."""
    data, found, at = path.read_bytes(), [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        found.append(size)
        at += 4 + size
    return found


def make_all(kind: str) -> list[bytes]:
    """Make the messages of a corpus, in the order in which they are sent."""
    draw = random.Random(f"{SEED} {kind}")
    count = DISTINCT[kind]
    if kind == "four":
        return [_plain(draw, number, FOUR_BYTES) for number in range(count)]
    normal = statistics.NormalDist(math.log(MIXED_MEDIAN_BYTES), MIXED_SIGMA)
    quantiles = [math.exp(normal.inv_cdf((n + 0.5) / count)) for n in range(count)]
    wanted = [int(min(BYTES_MAX, max(BYTES_MIN, size))) for size in quantiles]
    draw.shuffle(wanted)
    return [_make_mixed(draw, number, size) for number, size in enumerate(wanted)]


def _make_mixed(draw: random.Random, number: int, size: int) -> bytes:
    """Make one message, again with another aim where the first try was far off its size."""
    kind = _plain if size < 4_000 else _alternative
    if size > 30_000 or (size >= 4_000 and draw.random() < 0.3):
        kind = _with_attachments
    state = draw.getstate()
    first = kind(draw, number, size)
    draw.setstate(state)
    return kind(draw, number, max(200, size * size // len(first)))


def _headed(draw: random.Random, number: int) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    name = draw.choice(["Ada Vogel", "Пётр Иванов", "王小明", "Jörg Müller", "佐藤花子", "Sam Hill"])
    message["From"] = f"{name} <sender{draw.randrange(500)}@client.example>"
    message["To"] = f"Reader <reader{draw.randrange(500)}@bench.test>"
    message["Subject"] = (
        " ".join(draw.choices(WORDS["en"], k=6)) if draw.random() < 0.7 else _words(draw, "zh", 24)
    )
    message["Date"] = f"Tue, {1 + number % 28:02d} Oct 2026 {number % 24:02d}:{number % 60:02d}:00 +0200"
    message["MIME-Version"] = "1.0"
    message["X-Mailer"] = "Bench Mailer 1.0"
    return message


def _plain(draw: random.Random, number: int, size: int) -> bytes:
    message = _headed(draw, number)
    if size == FOUR_BYTES:
        message.replace_header("Subject", " ".join(draw.choices(WORDS["en"], k=6)))
        message.replace_header("From", f"Ada Vogel <sender{draw.randrange(500)}@client.example>")
        message.set_content(_words(draw, "en", size), cte="7bit")
        return message.as_bytes()[: size - 2].rstrip(b"\r\n") + b"\r\n"
    language, charset, cte = draw.choice(
        [
            ("en", "utf-8", "7bit"),
            ("en", "utf-8", "quoted-printable"),
            ("ru", "koi8-r", "base64"),
            ("zh", "gb2312", "base64"),
            ("zh", "utf-8", "8bit"),
            ("ja", "iso-2022-jp", "7bit"),
        ]
    )
    message.set_content(
        _words(draw, language, size // (1 if language == "en" else 3)), charset=charset, cte=cte
    )
    return message.as_bytes()


def _alternative(draw: random.Random, number: int, size: int) -> bytes:
    message = _headed(draw, number)
    language = draw.choice(["en", "en", "ru", "zh", "ja"])
    room = size // (2 if language == "en" else 6)
    text = _words(draw, language, room // 3)
    message.set_content(text)
    rows = "".join(f"<tr><td style='padding:4px'>{line}</td></tr>\n" for line in text.splitlines())
    filler = "".join(f".c{n}{{margin:0;font:14px/20px sans-serif}}\n" for n in range(room // 60))
    html = f"<html><head><style>{filler}</style></head><body><table>{rows}</table></body></html>\n"
    message.add_alternative(html, subtype="html")
    message.set_boundary(f"=_alt_{number}_{draw.randrange(10**9)}")
    return message.as_bytes()


def _with_attachments(draw: random.Random, number: int, size: int) -> bytes:
    message = _headed(draw, number)
    message.set_content(_words(draw, draw.choice(["en", "zh", "ru"]), 900))
    left = max(1_000, size - 4_000) * 3 // 4
    while left > 0:
        part = left if left < 20_000 else draw.randrange(left // 2, left + 1)
        kind, name = draw.choice(
            [
                ("pdf", "report.pdf"),
                ("zip", "数据.zip"),
                ("vnd.ms-excel", "таблица.xls"),
                ("octet-stream", "a.bin"),
            ]
        )
        message.add_attachment(draw.randbytes(part), maintype="application", subtype=kind, filename=name)
        left -= part
    message.set_boundary(f"=_mix_{number}_{draw.randrange(10**9)}")
    return message.as_bytes()


def _words(draw: random.Random, language: str, length: int) -> str:
    lines, have = [], 0
    while have < length:
        if language in WORDS:
            line = " ".join(draw.choices(WORDS[language], k=11))
        elif language == "ja":
            line = JAPANESE[draw.randrange(10) :]
        else:
            line = "".join(draw.choices(CHINESE, k=30)) + "。"
        lines.append(line)
        have += len(line) + 2
    return "\n".join(lines) + "\n"
