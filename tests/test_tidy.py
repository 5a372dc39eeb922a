"""Rules over the source text that no linter has; each is shown an offence it must find."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("domain", "strategies", "execution", "bot")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# The only places that may ask what time it is.
CLOCKS = {"bot/clock.py"}
# The only place that draws chance which nobody may foresee.
KEYS_DRAWN = {"bot/web/tokens.py"}
# Functions longer than 70 lines, and how long: a length may go down, a new line may not come in.
GIANTS: dict[str, int] = {}
# Run by name and not imported: the console command, and `python -m`.
ENTRIES = {"bot.cli.main", "bot.__main__"}
# The exchange is the other side; of the bot it knows the words on the wire between them.
EXCHANGE = "execution.venues.simulated"
EXCHANGE_MAY_IMPORT = ("domain", "execution.effects", "execution.events", EXCHANGE)
HEAVY = ("numpy", "pandas", "polars", "ccxt", "pydantic")
MONEY = ("execution/ledger/", "domain/money.py")

FORBIDDEN_CALLS = (
    "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns",
    "time.perf_counter", "time.perf_counter_ns", "datetime.datetime.now",
    "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
    "random.", "uuid.", "secrets.", "os.urandom",
)  # fmt: skip
FOREIGN_WORDS = re.compile(
    r"/(?:work|root|farm|home)/\w|pypi\.org|pythonhosted\.org|registry\.npmjs|deb\.debian\.org"
    r"|extra-inde[x]-url|\bsub-?agent|\b(?:this|developer) session\b"
    r"|\bCE[O]\b|\bFIXM[E]\b|\bTOD[O]\b"
)

Rule = Callable[[str], Iterator[str]]


@cache
def parsed(source: str) -> ast.Module:
    return ast.parse(source)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    return name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(nodes: Iterator[ast.AST]) -> Iterator[tuple[str, str]]:
    """(local name, full dotted name) of everything imported."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    """What an expression such as ``datetime.now`` refers to; empty where it is no name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, "")
    if isinstance(node, ast.Attribute) and (owner := dotted(node.value, names)):
        return f"{owner}.{node.attr}"
    return ""


def functions(source: str) -> Iterator[tuple[str, int]]:
    """Every function's name and the lines of its body: a signature only declares."""
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.body[0].lineno + 1


def clock_or_chance(source: str) -> Iterator[str]:
    """Reads of a clock, draws of chance. ``random.Random(seed)`` is neither."""
    tree = parsed(source)
    names = dict(imports(ast.walk(tree)))
    seeded = {
        id(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and (node.args or node.keywords)
        if dotted(node.func, names) == "random.Random"
    }
    annotations = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.arg | ast.AnnAssign | ast.FunctionDef)
        for annotation in (node.returns if isinstance(node, ast.FunctionDef) else node.annotation,)
        if annotation is not None
        for part in ast.walk(annotation)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute | ast.Name) or id(node) in seeded | annotations:
            continue
        full = dotted(node, names)
        if any(full == bad or (bad[-1] == "." and full.startswith(bad)) for bad in FORBIDDEN_CALLS):
            yield f"line {node.lineno}: {full}"


def floats(source: str) -> Iterator[str]:
    for node in ast.walk(parsed(source)):
        literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
        call = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "float"
        if literal or call:
            assert isinstance(node, ast.expr)
            yield f"line {node.lineno}: {ast.unparse(node)}"


def unexplained_broad_except(source: str) -> Iterator[str]:
    """A handler of everything that neither raises again nor says why, on its line or the next."""
    lines = source.splitlines()
    for node in ast.walk(parsed(source)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        last = node.body[-1]
        if isinstance(last, ast.Raise) and last.exc is None:
            continue
        caught = "" if node.type is None else ast.unparse(node.type)
        if node.type is not None and not re.search(r"\b(Base)?Exception\b", caught):
            continue
        comments = " ".join(
            line.partition("#")[2] for line in lines[node.lineno - 1 : node.lineno + 1]
        )
        if len(re.sub(r"noqa: \w+|[^a-z]", "", comments)) < 10:
            yield f"line {node.lineno}: except {caught}"


def inexact_sum(source: str) -> Iterator[str]:
    """Built-in sums that may be of floats: their result differs between Python versions.

    Counting (``sum(1 for …)``, ``sum(a == b for …)``) and exact sums (``sum(…, ZERO)``) are not.
    """
    for node in ast.walk(parsed(source)):
        if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "sum":
            continue
        first = node.args[0]
        counts = isinstance(first, ast.GeneratorExp) and isinstance(
            first.elt, ast.Constant | ast.Compare
        )
        exact = [ast.unparse(start) for start in node.args[1:]] in (["ZERO"], ["Decimal(0)"])
        if not counts and not exact:
            yield f"line {node.lineno}: {ast.unparse(node)}; use math.fsum, or sum(…, ZERO)"


def heavy_at_top(source: str) -> Iterator[str]:
    for _, full in imports(iter(parsed(source).body)):
        if full.split(".", maxsplit=1)[0] in HEAVY:
            yield full


def foreign_to_the_exchange(source: str) -> Iterator[str]:
    for _, full in imports(ast.walk(parsed(source))):
        ours = full.split(".", maxsplit=1)[0] in PACKAGES
        if ours and not any(f"{full}.".startswith(f"{name}.") for name in EXCHANGE_MAY_IMPORT):
            yield full


def foreign_words(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        if found := FOREIGN_WORDS.search(line):
            yield f"line {number}: {found.group()}"


OFFENCES: list[tuple[Rule, str]] = [
    (clock_or_chance, "import time\nnow = time.time_ns()"),
    (clock_or_chance, "import time as t\nnow = t.monotonic()"),
    (clock_or_chance, "from time import perf_counter\nnow = perf_counter()"),
    (clock_or_chance, "from datetime import UTC, datetime\nnow = datetime.now(UTC)"),
    (clock_or_chance, "import random\nx = random.random()"),
    (clock_or_chance, "import random\nx = random.Random()"),
    (clock_or_chance, "from random import gauss\nx = gauss(0, 1)"),
    (clock_or_chance, "from uuid import uuid4\nx = uuid4()"),
    (clock_or_chance, "import os\nx = os.urandom(8)"),
    (clock_or_chance, "import time\nclock = field(default_factory=time.time)"),
    (floats, "x = 0.5"),
    (floats, "x = float('1')"),
    (unexplained_broad_except, "try:\n    f()\nexcept Exception:\n    pass"),
    (unexplained_broad_except, "try:\n    f()\nexcept (OSError, BaseException):\n    pass"),
    (unexplained_broad_except, "try:\n    f()\nexcept:  # noqa: E722\n    pass"),
    (inexact_sum, "x = sum(prices)"),
    (inexact_sum, "x = sum((p for p in prices), 0.0)"),
    (heavy_at_top, "import polars as pl"),
    (heavy_at_top, "from pydantic import BaseModel"),
    (foreign_to_the_exchange, "from execution.ledger.pnl import PnL"),
    (foreign_to_the_exchange, "def f():\n    import bot.engine"),
    (foreign_words, "path = '/" + "root/x'"),
    (foreign_words, "--index https://pypi" + ".org/simple"),
    (foreign_words, "# FIX" + "ME later"),
]
INNOCENT: list[tuple[Rule, str]] = [
    (clock_or_chance, "import random\nx = random.Random(seed)"),
    (clock_or_chance, "import random\ndef f(rng: random.Random) -> float: ..."),
    (clock_or_chance, "from datetime import datetime\nx = datetime.fromtimestamp(0)"),
    (clock_or_chance, "from somewhere import Random\nx = random.random()"),
    (floats, "x: float = y"),
    (unexplained_broad_except, "try:\n    f()\nexcept ValueError:\n    pass"),
    (
        unexplained_broad_except,
        "try:\n    f()\nexcept Exception:  # noqa: BLE001 - the run goes on\n    pass",
    ),
    (unexplained_broad_except, "try:\n    f()\nexcept BaseException:\n    g()\n    raise"),
    (inexact_sum, "x = sum(1 for p in prices)"),
    (inexact_sum, "x = sum(p > 0 for p in prices)"),
    (inexact_sum, "x = sum((p for p in prices), ZERO)"),
    (heavy_at_top, "def f():\n    import polars"),
    (foreign_to_the_exchange, "from domain.money import ZERO\nfrom execution import effects"),
]


@pytest.mark.parametrize(("rule", "source"), OFFENCES)
def test_a_rule_finds_what_it_forbids(rule: Rule, source: str) -> None:
    assert list(rule(source))


@pytest.mark.parametrize(("rule", "source"), INNOCENT)
def test_a_rule_leaves_alone_what_it_allows(rule: Rule, source: str) -> None:
    assert list(rule(source)) == []


def assert_tidy(rule: Rule, paths: Iterable[Path]) -> None:
    found = [f"{name_of(p)} {offence}" for p in paths for offence in rule(p.read_text("utf-8"))]
    assert not found, "\n".join(found)


def test_functions_do_not_creep_past_sixty_lines() -> None:
    lengths = {
        f"{name_of(path)}:{name}": length
        for path in SOURCES
        for name, length in functions(path.read_text())
    }

    assert {f: n for f, n in lengths.items() if 60 < n <= 70} == {}, "split them"
    longer = {f: n for f, n in lengths.items() if n > 70}
    assert {f: n for f, n in longer.items() if n > GIANTS.get(f, 0)} == {}, "split them"
    assert {f: n for f, n in GIANTS.items() if longer.get(f) != n} == {}, "shorten the list"


def test_time_and_chance_come_in_as_arguments() -> None:
    assert_tidy(clock_or_chance, (p for p in SOURCES if name_of(p) not in CLOCKS | KEYS_DRAWN))


def test_money_modules_have_no_floats() -> None:
    money = [path for path in SOURCES if name_of(path).startswith(MONEY)]

    assert money
    assert_tidy(floats, money)


def test_every_broad_except_says_why() -> None:
    assert_tidy(unexplained_broad_except, SOURCES)


def test_floats_are_summed_the_same_way_on_every_python() -> None:
    # Displays and readers of history add up whole numbers and what is only shown.
    aside = ("bot/cli/", "bot/backtest/")

    assert_tidy(inexact_sum, (p for p in SOURCES if not name_of(p).startswith(aside)))


def test_data_frames_and_venue_libraries_are_imported_where_they_are_used() -> None:
    columns = "bot/backtest/"

    assert_tidy(heavy_at_top, (p for p in SOURCES if columns not in name_of(p)))


def test_the_simulated_exchange_knows_only_the_words() -> None:
    exchange = (path for path in SOURCES if module_of(path).startswith(EXCHANGE))

    assert_tidy(foreign_to_the_exchange, exchange)


def test_every_file_is_imported_by_another() -> None:
    imported = {
        prefix
        for path in SOURCES
        for _, full in imports(ast.walk(parsed(path.read_text())))
        for prefix in (full, full.rpartition(".")[0])
        if prefix != module_of(path)
    }
    files = {module_of(path) for path in SOURCES if path.name != "__init__.py"}

    nobody_imports = sorted(files - imported - ENTRIES)
    assert not nobody_imports, "\n".join(nobody_imports)


def test_the_running_bot_loads_no_data_frames_and_no_venue_library() -> None:
    script = "import sys, bot.engine, bot.cli.main; print(*sys.modules, sep='\\n')"
    out = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)

    loaded = set(out.stdout.decode().split())
    assert "bot.engine" in loaded
    assert loaded.isdisjoint(HEAVY)


@pytest.fixture(scope="session")
def tracked() -> list[Path]:
    """Every file of the checkout that git would take."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if out.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for name in out.stdout.decode().split("\0") if (path := ROOT / name).is_file()]


def test_the_product_speaks_of_itself_alone(tracked: list[Path]) -> None:
    texts = (path for path in tracked if path.suffix not in {".png", ".svg", ".lock"})

    assert_tidy(foreign_words, texts)


def test_no_market_data_and_no_large_file_is_in_the_checkout(tracked: list[Path]) -> None:
    data = {".parquet", ".feather", ".gz", ".sqlite", ".db"}
    large = [name_of(p) for p in tracked if p.suffix in data or p.stat().st_size > 600_000]

    assert large == []


def test_the_changelog_is_in_order() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    versions = [tuple(map(int, heading.split("."))) for heading in headings[1:]]

    assert headings[0] == "Unreleased"
    assert all(newer > older for newer, older in pairwise(versions))
