"""The wire format is written twice, so that either side may find the other wrong."""

import ast
from pathlib import Path

from execution.venues.hyperliquid.emulator import emulator

FOLDER = Path(emulator.__file__).parent
ALLOWED = (
    "domain.",
    "execution.venues.simulated",
    "execution.venues.hyperliquid.emulator",
    "execution.ports.Reply",
)


def ours(path: Path) -> set[str]:
    """Everything of this project that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith(("domain", "strategies", "execution", "bot"))}


def test_the_emulator_shares_nothing_with_the_client() -> None:
    imported = {name for path in FOLDER.glob("*.py") for name in ours(path)}

    assert len(imported) > 20
    assert {name for name in imported if not name.startswith(ALLOWED)} == set()
