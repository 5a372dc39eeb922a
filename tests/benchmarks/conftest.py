"""Figures are collected while benchmarks run and written to ``docs/benchmarks.md`` at the end."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Written by `make bench`. Absolute times belong to the machine that made them
({machine}) and to what else it did: on a busy one wall time is a multiple of
processor time (user and system). Where there is a floor, it was measured in the same
run, and the ratio to it travels better than the seconds.

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
def figures(request: pytest.FixtureRequest) -> Iterator[Figures]:
    """The page is written after a whole run alone: a part of it would lose the other figures."""
    collected = Figures()
    yield collected
    options = request.config.option
    if request.session.testsfailed or options.keyword or options.markexpr:
        return
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    PAGE.write_text(HEAD.format(machine=machine) + "\n".join(collected.rows) + "\n")
