"""The results as a person reads them."""

from typing import Any

OURS = "Postkeep"


def one_line(cell: dict[str, Any], name: str) -> str:
    """Describe one measurement as it is made."""
    figures = cell[name]
    return (
        f"{name:28} {cell['corpus']:5} x{cell['connections']:<3} {'TLS  ' if cell['starttls'] else 'plain'} "
        f"250: {figures['rate']:8.1f}/s  visible: {figures['visible_rate']:8.1f}/s  "
        f"p99 {figures['final_p99_ms']:7.1f} ms  CPU {figures['cpu_seconds_per_1000']:6.3f} s/1000"
    )


def markdown(results: dict[str, Any]) -> str:
    """Return the whole report."""
    machine = results["machine"]
    where = (
        f"{machine['when']}, {machine['cores']} cores of {machine['cpu']}, Linux {machine['kernel']}, "
        f"Python {machine['python']}, load average {machine['load_before']} before the run "
        f"and {machine.get('load_after', '-')} after it."
    )
    lines = ["# Benchmark results", "", where, ""]
    for name, about in results["servers"].items():
        lines.append(f"* **{name}**: {about['versions']}; CPU from {about['cpu_from']}.")
    names = list(results["servers"])
    lines += ["", *_table(results["cells"], names)]
    if len(names) == 2:
        lines += ["", *_ratios(results["cells"], names)]
    if "internals" in results:
        lines += ["", "| inside Postkeep | figure | aim |", "|---|---:|---:|"]
        lines += [f"| {row['what']} | {row['figure']} | {row['aim']} |" for row in results["internals"]]
    return "\n".join(lines) + "\n"


def _table(cells: list[dict[str, Any]], names: list[str]) -> list[str]:
    lines = [
        "| load | server | 250/s | visible/s | lag, s | final reply p50 / p99, ms | CPU-s per 1,000 |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for cell in cells:
        for name in names:
            f = cell[name]
            lines.append(
                f"| {_load(cell)} | {name} | {f['rate']:.0f} | **{f['visible_rate']:.0f}** "
                f"| {max(0.0, f['visible_lag_seconds']):.2f} "
                f"| {f['final_p50_ms']:.1f} / {f['final_p99_ms']:.1f} "
                f"| **{f['cpu_seconds_per_1000']:.2f}** |"
            )
    return lines


def _ratios(cells: list[dict[str, Any]], names: list[str]) -> list[str]:
    peer = next(name for name in names if name != OURS)
    lines = [
        "| load | visible rate, times the peer's (aim 6) | share of its CPU (aim 1/8) | times its p99 |",
        "|---|---:|---:|---:|",
    ]
    for cell in cells:
        ours, theirs = cell[OURS], cell[peer]
        lines.append(
            f"| {_load(cell)} | {ours['visible_rate'] / theirs['visible_rate']:.1f} "
            f"| 1/{theirs['cpu_seconds_per_1000'] / ours['cpu_seconds_per_1000']:.1f} "
            f"| {ours['final_p99_ms'] / theirs['final_p99_ms']:.2f} |"
        )
    return lines


def _load(cell: dict[str, Any]) -> str:
    kind = {"four": "4 KB", "mixed": "mixed"}[cell["corpus"]]
    return f"{kind}, {cell['connections']} conn., {'STARTTLS' if cell['starttls'] else 'plain'}"
