"""Destruction orders, holds, certificates and media: texts, in English and in Chinese."""

from typing import Final

TEXTS: Final[dict[str, tuple[str, str]]] = {}
