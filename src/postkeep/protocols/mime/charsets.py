"""Charsets of mail: an allow-list of names, each with the decoder that senders mean by it.

Names come from strangers, so they never reach Python's own codec registry, which also knows `zip`,
`rot13` and `unicode_escape`. UTF-7 is left out: it hides markup in plain ASCII.
"""

import re
from functools import lru_cache
from typing import Final

_NAMES: Final = {
    "ascii": "us-ascii ascii ansi_x3.4-1968 iso646-us 646 us",
    "utf-8": "utf-8 utf8 unicode-1-1-utf-8 utf_8 utf-8-bom cp65001",
    "utf-16": "utf-16 unicode ucs-2",
    "utf-16-le": "utf-16le",
    "utf-16-be": "utf-16be",
    "cp1252": "iso-8859-1 iso8859-1 iso_8859-1 latin1 latin-1 l1 windows-1252 cp1252 cp-1252 x-ansi ansi",
    "gb18030": "gb18030 gb2312 gbk gb_2312-80 x-gbk cp936 windows-936 euc-cn csgb2312 ms936 gb-2312",
    "hz": "hz hz-gb-2312",
    "big5hkscs": "big5 big5-hkscs big5hkscs x-x-big5 csbig5 cp950 windows-950 big-5 big5-eten",
    "euc_jp": "euc-jp eucjp x-euc-jp cseucpkdfmtjapanese",
    "cp932": "shift_jis shift-jis sjis x-sjis ms_kanji windows-31j cp932 ms932 csshiftjis",
    "iso2022_jp_2004": "iso-2022-jp-2004 iso-2022-jp-3",
    "iso2022_jp_ext": "iso-2022-jp iso-2022-jp-1 iso-2022-jp-2 iso-2022-jp-ms csiso2022jp cp50220 cp50221",
    "cp949": "euc-kr euckr ks_c_5601-1987 ks_c_5601 ks_c_5601-1989 ksc5601 ksc_5601 korean cp949 uhc",
    "iso2022_kr": "iso-2022-kr csiso2022kr",
    "koi8-r": "koi8-r koi8r koi8 cskoi8r",
    "koi8-u": "koi8-u koi8-ru",
    "cp1251": "windows-1251 cp1251 cp-1251 win-1251 x-cp1251",
    "cp874": "tis-620 windows-874 iso-8859-11 cp874",
    "cp1254": "iso-8859-9 latin5 windows-1254",
    "mac-roman": "macintosh mac x-mac-roman",
}
_SAME: Final = (
    *(f"iso-8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)),
    *(f"windows-{page}" for page in (1250, 1253, 1255, 1256, 1257, 1258)),
    *("cp437", "cp850", "cp852", "cp855", "cp866", "utf-32"),
)
_DECODERS: Final = {name: codec for codec, names in _NAMES.items() for name in names.split()} | {
    name: name for name in _SAME
}
_GUESSES: Final = ("utf-8", "gb18030", "cp1252")
_ANSWER_OCTETS_MAX: Final = 16 * 1024 * 1024  # no single value is decoded beyond this
_NAME_OCTETS_MAX: Final = 40  # the longest registered name in use is shorter
_NAMES_CACHED_MAX: Final = 256
_RTL_SUFFIX: Final = re.compile(r"-[ei]\Z")


def decoder(charset: bytes) -> str | None:
    """Return the Python codec for a charset's name; None: unknown or not allowed."""
    return _decoder(charset) if len(charset) <= _NAME_OCTETS_MAX else None


@lru_cache(maxsize=_NAMES_CACHED_MAX)
def _decoder(charset: bytes) -> str | None:
    name = charset.decode("latin-1").strip(" '\"").lower()
    return _DECODERS.get(name) or _DECODERS.get(_RTL_SUFFIX.sub("", name))


def decode_octets(octets: bytes, charset: bytes = b"") -> str:
    """Decode text. Octets that the charset does not have become U+FFFD; an unknown charset is guessed."""
    octets = octets[:_ANSWER_OCTETS_MAX]
    codec = decoder(charset) if charset else None
    if codec is None:
        return _guess(octets)
    if codec == "ascii" and not octets.isascii():
        return _guess(octets)
    return octets.decode(codec, "replace")


def _guess(octets: bytes) -> str:
    for codec in _GUESSES:
        try:
            return octets.decode(codec)
        except UnicodeDecodeError:
            continue
    return octets.decode("latin-1")
