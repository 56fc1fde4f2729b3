"""A certificate as a document to be filed: the same facts on paper, in English or Chinese.

The document proves nothing by itself: it prints the digest of the JSON certificate, which does, and says how
that one is checked.
"""

import datetime as dt
import hashlib
import io
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

import msgspec
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, KeepTogether, Paragraph, SimpleDocTemplate, Table, TableStyle

from postkeep.model.warrant import Unit
from postkeep.services.destruction.certificate import Body, Certificate
from postkeep.services.destruction.order import STEPS
from postkeep.services.destruction.paper_texts import TEXTS

CHINESE_FILES: Final = (
    Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc"),
    Path("/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf"),
    Path("/usr/share/fonts/truetype/arphic/uming.ttc"),
)
"""Where Linux systems keep a Chinese font that can be embedded, so that every reader shows the same."""
CHINESE_BUILT_IN: Final = "STSong-Light"
"""Without one: a font of Adobe-GB1 that PDF readers bring themselves; nothing is embedded."""
_LABEL_WIDTH: Final = 46 * mm
_VALUE_WIDTH: Final = 124 * mm
_RULE: Final = colors.HexColor("#b8bec6")
_SHADE: Final = colors.HexColor("#f3f5f7")


def write_pdf(certificate: bytes, *, chinese: bool) -> bytes:
    """Return the document of a certificate. It is not checked here: `certificate.verify` does that."""
    whole = msgspec.json.decode(certificate, type=Certificate)
    pages = _Pages(whole, hashlib.sha256(certificate.strip()).hexdigest(), chinese=chinese)
    return pages.write()


class _Pages:
    """The document on its way."""

    def __init__(self, whole: Certificate, digest: str, *, chinese: bool) -> None:
        self._whole = whole
        self._digest = digest
        self._column = int(chinese)
        self._chinese = chinese
        font, bold = (_chinese_font(),) * 2 if chinese else ("Helvetica", "Helvetica-Bold")
        wrap = "CJK" if chinese else None
        self._font = font
        self._title = ParagraphStyle("title", fontName=bold, fontSize=18, leading=24, spaceAfter=2 * mm)
        self._head = ParagraphStyle(
            "head", fontName=bold, fontSize=11, leading=15, spaceBefore=3.5 * mm, spaceAfter=1.5 * mm
        )
        self._text = ParagraphStyle("text", fontName=font, fontSize=9, leading=12, wordWrap=wrap)
        self._code = ParagraphStyle("code", fontName="Courier", fontSize=8, leading=11, wordWrap="CJK")

    def write(self) -> bytes:
        """Lay out everything."""
        body = self._whole.body
        target = io.BytesIO()
        document = SimpleDocTemplate(
            target,
            pagesize=A4,
            leftMargin=20 * mm,
            rightMargin=20 * mm,
            topMargin=14 * mm,
            bottomMargin=14 * mm,
            title=self._say("title"),
            author=body.installation,
            subject=body.certificate,
            invariant=True,
        )
        parts: list[Flowable] = [
            Paragraph(self._say("title"), self._title),
            Paragraph(self._say("lead.backup" if body.unit == Unit.BACKUP else "lead"), self._text),
            *self._subject(body),
            *self._steps(body),
            *self._search(body),
            *self._proof(),
            *self._limits(body),
        ]
        document.build(parts, onFirstPage=self._foot, onLaterPages=self._foot)
        return target.getvalue()

    def _subject(self, body: Body) -> list[Flowable]:
        rows = [
            ("number", body.certificate, True),
            ("installation", body.installation, True),
            ("unit", self._say(f"unit.{body.unit}"), False),
            ("tenant", _shown(body.tenant), True),
            ("principal", _shown(body.principal), True),
            ("mailbox", body.mailbox, True),
            (
                "uids",
                ", ".join(f"{low}-{high}" if low != high else f"{low}" for low, high in body.uids),
                True,
            ),
            ("category", body.category, False),
            ("backup", body.backup, True),
            ("reason", body.reason, False),
            ("requested_by", body.requested_by, True),
            ("request", body.request, True),
        ]
        if body.unit == Unit.BACKUP:
            return self._section("what", [row for row in rows if row[1]])
        counted = [
            ("messages", str(body.messages), False),
            ("keys", str(body.keys), False),
            ("room", self._say(f"room.{body.room}"), False),
        ]
        return self._section("what", [row for row in rows if row[1]] + counted)

    def _steps(self, body: Body) -> list[Flowable]:
        taken = [step for step in STEPS if step in body.steps]
        return self._section("steps", [(f"step.{step}", _moment(body.steps[step]), False) for step in taken])

    def _search(self, body: Body) -> list[Flowable]:
        search = body.search
        if search is None:
            return []
        result = self._say("found.nothing") if not search.found else ", ".join(search.found)
        rows = [
            ("result", result, False),
            ("sought", self._say("sought.of").format(sought=search.secrets_sought, all=body.secrets), False),
            ("control", self._say("control.yes" if search.control_found else "control.no"), False),
            ("directories", ", ".join(search.directories), True),
            ("extent", self._say("extent.of").format(files=search.files, octets=search.octets), False),
            ("time", f"{_moment(search.began_ms)} - {_moment(search.ended_ms)}", False),
        ]
        return self._section("search", rows)

    def _proof(self) -> list[Flowable]:
        ledger = self._whole.ledger
        origin, size, root = ledger.checkpoint.split("\n", 3)[:3]
        rows = [
            ("digest", self._digest, True),
            ("ledger", f"{origin} #{ledger.index}", True),
            ("checkpoint", f"{size} / {root}", True),
            ("signatures", "Ed25519, ML-DSA-44", True),
            ("check", "postkeep certificate verify FILE --key DIR", True),
        ]
        return self._section("proof", rows)

    def _limits(self, body: Body) -> list[Flowable]:
        lines = [Paragraph(self._say(f"limit.{limit}"), self._text) for limit in body.limits]
        return [KeepTogether([Paragraph(self._say("limits"), self._head), *lines])]

    def _section(self, title: str, rows: list[tuple[str, str, bool]]) -> list[Flowable]:
        cells = [
            [
                Paragraph(self._say(label), self._text),
                Paragraph(escape(value), self._code if code and value.isascii() else self._text),
            ]
            for label, value, code in rows
        ]
        table = Table(cells, colWidths=[_LABEL_WIDTH, _VALUE_WIDTH])
        table.setStyle(
            TableStyle(
                [
                    ("VALIGN", (0, 0), (-1, -1), "TOP"),
                    ("LINEBELOW", (0, 0), (-1, -1), 0.4, _RULE),
                    ("BACKGROUND", (0, 0), (0, -1), _SHADE),
                    ("TOPPADDING", (0, 0), (-1, -1), 1.5),
                    ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
                ]
            )
        )
        return [KeepTogether([Paragraph(self._say(title), self._head), table])]

    def _foot(self, canvas: object, document: object) -> None:
        canvas.setFont(self._font, 7)  # type: ignore[attr-defined]
        page = document.page  # type: ignore[attr-defined]
        line = f"{self._whole.body.certificate}    {self._say('page').format(page=page)}"
        canvas.drawCentredString(A4[0] / 2, 9 * mm, line)  # type: ignore[attr-defined]

    def _say(self, key: str) -> str:
        return TEXTS[key][self._column]


def _chinese_font() -> str:
    """Make a Chinese font known to the writer; return its name."""
    for file in CHINESE_FILES:
        if file.exists():
            pdfmetrics.registerFont(TTFont(file.stem, str(file)))
            return file.stem
    pdfmetrics.registerFont(UnicodeCIDFont(CHINESE_BUILT_IN))
    return CHINESE_BUILT_IN


def _shown(identifier: str) -> str:
    return "" if set(identifier) <= {"0"} else identifier


def _moment(ms: int) -> str:
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
