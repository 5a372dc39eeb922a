"""Figures are collected while benchmarks run and written to ``docs/benchmarks.md`` at the end."""

import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Written by `make bench`. Absolute times belong to the machine that made them
({machine}); where there is a floor, it was measured in the same run, and the
ratio to it travels better than the seconds. Processor seconds count user and system time.

| what | measured | floor in the same run | ratio | bound | command |
|---|---|---|---|---|---|
"""


class Figures:
    """One row a figure; printed as it is made."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    def add(
        self,
        what: str,
        measured: str,
        *,
        floor: str = "",
        ratio: float | None = None,
        bound: str = "",
        command: str = "make bench",
    ) -> None:
        shown = "" if ratio is None else f"{ratio:.1f}"
        row = f"| {what} | {measured} | {floor} | {shown} | {bound} | `{command}` |"
        print(row)
        self.rows.append(row)


@pytest.fixture(scope="session")
def figures() -> Iterator[Figures]:
    collected = Figures()
    yield collected
    machine = f"{platform.machine()}, Python {platform.python_version()}, 2 shared cores"
    PAGE.write_text(HEAD.format(machine=machine) + "\n".join(collected.rows) + "\n")
