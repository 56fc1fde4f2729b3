"""Witnesses of the ledger: texts, in English and in Chinese."""

from typing import Final

TEXTS: Final[dict[str, tuple[str, str]]] = {}
