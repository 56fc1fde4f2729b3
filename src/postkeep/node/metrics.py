"""Metrics of all processes as one page in Prometheus' text format (exposition format 0.0.4)."""

import re
from collections.abc import Mapping
from typing import Final

from prometheus_client import REGISTRY, generate_latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SAMPLE: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)\Z")


def own_page() -> bytes:
    """Return this process's metrics."""
    return generate_latest(REGISTRY)


def merge(pages: Mapping[str, bytes]) -> bytes:
    """Join pages by metric family; every sample gets the label `instance` of the process it came from."""
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for instance, page in pages.items():
        family = ""
        for line in page.decode("utf-8", "replace").splitlines():
            if line.startswith("# "):
                family = line.split(" ", 3)[2] if line.count(" ") > 1 else family
                lines = heads.setdefault(family, [])
                kind = line.split(" ", 2)[1]
                if not any(known.startswith(f"# {kind} ") for known in lines):
                    lines.append(line)
            elif match := _SAMPLE.match(line):
                name, labels, value = match.groups()
                labels = f'instance="{instance}"' + (f",{labels}" if labels else "")
                samples.setdefault(family, []).append(f"{name}{{{labels}}} {value}")
    out: list[str] = []
    for family, lines in heads.items():
        out += [*lines, *samples.get(family, [])]
    return ("\n".join(out) + "\n").encode()
