"""Writing a configuration as TOML: sections of scalars and lists, which is all that ours has."""

import json
from typing import Any

import msgspec

from postkeep.node.config import BackupConfig, Config, TlsConfig


def portable_config(config: Config) -> str:
    """Return what of a configuration another machine can use: no passwords, no paths of this one."""
    kept = msgspec.structs.replace(config, categories={}, tls=TlsConfig(), backup=BackupConfig())
    return write_toml(msgspec.to_builtins(kept), msgspec.to_builtins(Config()))


def write_toml(values: dict[str, Any], defaults: dict[str, Any]) -> str:
    """Write sections, leaving out what has its default."""
    lines: list[str] = []
    for name, section in values.items():
        known = defaults.get(name, {})
        _write_section(name, section, known, lines)
    return "\n".join(lines) + "\n"


def _write_section(name: str, section: dict[str, Any], known: dict[str, Any], lines: list[str]) -> None:
    plain = {k: v for k, v in section.items() if not isinstance(v, dict) and v != known.get(k)}
    if plain:
        lines.append(f"[{name}]")
        # JSON's strings, numbers, booleans and lists are TOML's too.
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in plain.items()]
    for key, value in section.items():
        if isinstance(value, dict):
            _write_section(f"{name}.{key}", value, known.get(key, {}), lines)
