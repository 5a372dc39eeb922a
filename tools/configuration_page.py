"""Writes docs/configuration.md: keys and defaults from the code, meanings from the shipped file.

Run it by ``.venv/bin/python tools/configuration_page.py`` when a setting has changed.
"""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from bot.config_files import config_file
from bot.report import plain
from bot.settings import PREFIX, SECTIONS
from domain.money import decimal_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"

HEAD = """\
# Configuration

<!-- Written by tools/configuration_page.py: change config/default.toml and run it again. -->

Every setting has a default, so a run needs no file. Three layers are read; the later one wins, key by key:

1. `config/default.toml`, which ships with the program and says the same as the tables below;
2. the file of `--config FILE`, which needs only the keys that differ;
3. environment variables.

| command | does |
|---|---|
| `fundarb config init` | writes `fundarb.toml`: every key, with its default and meaning |
| `fundarb config check fundarb.toml` | judges a file and prints the limits in force |
| `fundarb config show --config fundarb.toml` | prints every value, and where it is from |

An unknown key, a value of the wrong kind and a contradiction stop the start with exit code 2, and whatever looks like a
secret too: none belongs here. One line names the key and the file.

## Conventions

- The end of a name is its unit: `_seconds`, `_minutes`, `_hours`, `_ms` (milliseconds), `_bps` (hundredths of a percent).
- Any other share or rate is a plain fraction: `0.01` is 1 %. A percent sign is not a number.
- Money is in the venue's quote asset: USDC on Hyperliquid.
- *Exposure* is quantity times price of one leg. *Capital* is what a pair ties up: spot, margin and reserve.
- Ages are judged beyond the feed's own step: a bar an hour is not stale for an hour.

## Environment variables

`{prefix}SECTION__KEY` sets one key, with two underscores between section and key. A variable that sets nothing stops the
start, so that a misspelt limit cannot pass unnoticed.

```sh
{example}=0.02 fundarb config check
```

A run that is resumed may have other settings than it began with, but not another capital, inventory or strategy.
"""  # noqa: E501 - a page's lines are longer than the code's
TAIL = """
## What is no setting

`config/symbols.toml` lists the pairs that may be traded, and `config/venues/*.toml` hold each venue's fees, lots, ticks,
margin tiers and quote model. They ship with the program; no option replaces them. On Hyperliquid `FARTCOIN`, `PUMP` and `kBONK`
are traded only where `--pairs` names them. The venue counts kBONK in thousands of coins; the bot, its books and its history count coins.

`config/events.toml` is the table of events that the bot is careful before; `calendar.file` names one of your own instead
([Market guards](concepts/market-guards.md#events)).
"""  # noqa: E501


def page() -> str:
    """The whole page."""
    head = HEAD.format(prefix=PREFIX, example=f"{PREFIX}RISK__DAILY_LOSS_MAX")
    texts = _texts(config_file("default.toml").read_text(encoding="utf-8"))
    return head + "".join(_section(name, texts) for name in SECTIONS) + TAIL


def _section(name: str, texts: dict[str, str]) -> str:
    rows = [
        f"| `{field.name}` | {_shown(field.default)} | {texts[f'{name}.{field.name}']} |"
        for field in msgspec.structs.fields(SECTIONS[name])
    ]
    table = "\n".join(["| key | default | meaning |", "|---|---|---|", *rows])
    return f"\n## `[{name}]`\n{texts[name]}\n\n{table}\n"


def _texts(shipped: str) -> dict[str, str]:
    """What the comment right above each key and section says: ``risk``, ``risk.leverage_cap``."""
    texts: dict[str, str] = {}
    said: list[str] = []
    section = ""
    for line in shipped.splitlines():
        if line.startswith("#"):
            said.append(line.removeprefix("#").strip())
            continue
        if match := re.match(r"\[(\w+)\]", line):
            section = match[1]
            texts[section] = " ".join(said)
        elif match := re.match(r"(\w+) =", line):
            texts[f"{section}.{match[1]}"] = " ".join(said)
        said = []
    return texts


def _shown(default: Any) -> str:
    """The default as it would be written into a file."""
    if isinstance(default, str):
        return f"`{default}`" if default else "none"
    if isinstance(default, bool):
        return str(default).lower()
    number = decimal_of(default) if isinstance(default, float) else Decimal(default)
    return plain(number)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
