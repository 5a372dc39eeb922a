"""The documents say what is so: links lead somewhere, commands and examples run, names exist."""

import doctest
import json
import os
import re
import shlex
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import strategies.cash_and_carry
from bot.backtest.coverage import Coverage
from bot.cli import running
from bot.cli.main import run
from bot.export import COLUMNS
from bot.report import build, encode, plain
from bot.settings import PREFIX, SECTIONS, Settings, entries
from bot.view import view
from domain.money import decimal_of
from domain.time import MINUTE
from execution.metrics import FAMILIES, NOTIFY, RECORDED, WATCHDOG
from execution.risk.halts import CONDITIONS, LATCHED
from tests.example_snapshot import SNAPSHOT
from tests.unit.bot.synthetic_run import PAIRS, random_run
from tools import configuration_page, terminal_picture

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
TOP = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES = [*TOP, *DOCS, ROOT / "deploy" / "README.md"]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in PAGES}
SETTINGS = {
    f"{section}.{key}": value
    for section in SECTIONS
    for key, value in entries(Settings(), section).items()
}
LINES_MAX = 160  # of a page: longer ones are not read
LOOKED_UP = {"docs/configuration.md", "docs/runbook.md"}  # by key or by alarm, not read through


def blocks(text: str, language: str) -> Iterator[str]:
    """The contents of fenced blocks of one language."""
    yield from re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def prose(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def section(text: str, name: str) -> str:
    """What stands between a page's ``<!-- name -->`` and ``<!-- /name -->``."""
    found = re.search(rf"<!-- {name} -->(.*?)<!-- /{name} -->", text, re.DOTALL)
    assert found is not None, name
    return found[1]


def table(text: str, heading: str) -> list[list[str]]:
    """The rows of the first table whose heading begins so, cell by cell."""
    rows = text[text.index(f"| {heading} |") :].split("\n\n", maxsplit=1)[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def names(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


# --- links, length, index --------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """What a heading can be linked by: lower case, hyphens for spaces, no other signs."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", TEXTS)
def test_every_link_inside_the_checkout_leads_somewhere(name: str) -> None:
    page = ROOT / name
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(TEXTS[name])):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        whole = file.exists() and ROOT in (file, *file.parents)
        if not whole or (anchor and anchor not in anchors(file.read_text("utf-8"))):
            broken.append(target)

    assert broken == []


def test_the_index_leads_to_every_page() -> None:
    linked = set(re.findall(r"\]\(([^)\s#]+)", TEXTS["docs/README.md"]))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in DOCS} - {"README.md"}

    assert pages - linked == set()


@pytest.mark.parametrize(
    "name", [name for name in TEXTS if name.startswith("docs/") and name not in LOOKED_UP]
)
def test_a_page_is_short_enough_to_be_read(name: str) -> None:
    assert len(TEXTS[name].splitlines()) <= LINES_MAX


# --- commands --------------------------------------------------------------------------------


def commands(text: str) -> Iterator[list[str]]:
    """The words after ``fundarb`` of every command line, in blocks and in running text."""
    shown = [line.removeprefix("$ ") for block in ("sh", "console") for line in lines(text, block)]
    shown += re.findall(r"`(fundarb [^`]+)`", prose(text))
    for line in shown:
        words = shlex.split(re.sub(r"\s#.*|…", "", line))
        while words and re.fullmatch(r"[A-Z_]+=\S+", words[0]):
            words = words[1:]
        if words and words[0].rpartition("/")[2] == "fundarb":
            yield words[1:]


def lines(text: str, language: str) -> Iterator[str]:
    for block in blocks(text, language):
        yield from block.replace("\\\n", " ").splitlines()


COMMANDS = sorted({tuple(words) for text in TEXTS.values() for words in commands(text)})


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory with what the examples name, and no settings from outside."""
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    for name in ("DIR", "config", "state"):
        (tmp_path / name).mkdir()
    for name in ("paper.toml", "default.toml"):
        (tmp_path / "config" / name).write_text((ROOT / "config" / name).read_text())
    (tmp_path / "FILE").touch()
    return tmp_path


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_line_parses(
    words: tuple[str, ...],
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run([*words, "--help"]) == 0, capsys.readouterr().err

    if words[0] == "paper" or words[:2] == ("backtest", "--data"):  # all but the run itself
        asked: list[dict[str, object]] = []
        monkeypatch.setattr(running, "run", lambda **request: asked.append(request))
        assert run(words) == 0, capsys.readouterr().err
        assert [request["mode"] for request in asked] == [words[0]]
    elif words[0] == "config" and len(words) > 1:
        if words[1] != "init":
            assert run(["config", "init"]) == 0
        assert run(words) == 0, capsys.readouterr().err


def test_the_documents_show_every_command_that_there_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["--help"]) == 0
    listed = capsys.readouterr().out.split("Commands:")[1].split("First steps:")[0]
    there = set(re.findall(r"^  ([a-z]+)  ", listed, re.MULTILINE))

    assert len(there) > 5
    assert there - {words[0] for words in COMMANDS} == set()


def examples(language: str, start: str) -> list[Any]:
    return [
        pytest.param(block, id=name)
        for name, text in TEXTS.items()
        for block in blocks(text, language)
        if block.startswith(start)
    ]


@pytest.mark.parametrize("block", examples("console", "$ fundarb"))
def test_a_worked_example_prints_what_the_page_says(
    block: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line, _, expected = block.partition("\n")

    assert run(shlex.split(line)[2:]) == 0
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize("name", [name for name in TEXTS if ">>> " in TEXTS[name]])
def test_the_sums_on_a_page_are_right(name: str) -> None:
    source = "\n".join(blocks(TEXTS[name], "python"))
    test = doctest.DocTestParser().get_doctest(source, {}, name, name, 0)
    told: list[str] = []

    assert len(test.examples) > 2
    failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=told.append)
    assert failed == 0, "".join(told)


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target
        for text in TEXTS.values()
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)
    }

    assert len(named) > 3
    assert named - targets == set()


# --- names -----------------------------------------------------------------------------------


def paths(value: object, at: str = "") -> Iterator[str]:
    """Every field of a document: ``equity.start``, ``open[].mark``."""
    if at in ("pairs[].pnl", "unassigned", "decisions.refused", "opening[]", "coverage[]"):
        yield at
    elif isinstance(value, dict) and value:
        for name, part in value.items():
            yield from paths(part, f"{at}.{name}" if at else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield from paths(value[0], f"{at}[]")
    else:
        yield f"{at}[]" if at in ("opening", "coverage") else at


def document() -> Any:
    traded = random_run(1)
    whole = build(traded.facts, traded.books, PAIRS, traded.closing(coverage=[]))
    return json.loads(encode(whole))


def test_every_field_of_the_result_is_explained_and_no_other() -> None:
    rows = table(section(TEXTS["docs/backtest.md"], "fields"), "field")

    assert {name for row in rows for name in names(row[0])} == set(paths(document()))


def test_the_coverage_is_explained_field_by_field() -> None:
    explained = names(section(TEXTS["docs/backtest.md"], "coverage"))

    assert explained == set(Coverage.__struct_fields__)


def test_the_exported_tables_have_the_columns_that_the_page_names() -> None:
    rows = table(section(TEXTS["docs/backtest.md"], "tables"), "table")

    assert {row[0].strip("`"): re.findall(r"`(\w+)`", row[1]) for row in rows} == {
        name: list(columns) for name, columns in COLUMNS.items()
    }


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "docs/architecture.md"])
def test_every_setting_that_is_named_exists_with_that_default(name: str) -> None:
    sections = "|".join(SECTIONS)
    pattern = rf"`((?:{sections})\.\w+)`(?: \(([\d.]+)\))?"
    fields = set(paths(document()))
    wrong = []
    for key, value in re.findall(pattern, TEXTS[name]):
        if key in fields or key.endswith((".md", ".toml", ".py", ".env")):
            continue
        default = SETTINGS.get(key)
        if default is None or (value and value != shown(default)):
            wrong.append((key, value, default))
    for variable in re.findall(rf"{PREFIX}([A-Z]+__[A-Z_]+)", TEXTS[name]):
        key = variable.lower().replace("__", ".", 1)
        if key not in SETTINGS and key != "section.key":
            wrong.append((variable, "", None))

    assert wrong == []


def shown(value: Any) -> str:
    return plain(decimal_of(value) if isinstance(value, float) else Decimal(value))


def test_every_word_that_a_decision_starts_with_is_explained() -> None:
    said = strategies.cash_and_carry.__doc__
    assert said is not None
    rows = table(TEXTS["docs/paper.md"], "word")

    counted = set(re.findall(r"``(\w+)``", said.split("counted:")[1]))
    assert {name for row in rows for name in names(row[0])} == counted


def test_every_limit_is_explained() -> None:
    rows = table(TEXTS["docs/operations.md"], "limit")

    assert [row[0].strip("`") for row in rows] == [*LATCHED, *CONDITIONS]


def test_every_metric_is_listed_as_it_is_exported() -> None:
    rows = table(section(TEXTS["docs/monitoring.md"], "metrics"), "metric")
    listed: tuple[Any, ...] = (*FAMILIES, *RECORDED, *NOTIFY, *WATCHDOG)
    every = {each.name: each for each in listed}
    exported = [[f"`{f.name}`", ", ".join(f.labels), f.help] for f in every.values()]
    mentioned = set(re.findall(r"\bfundarb_\w+", "".join(TEXTS.values())))

    assert rows == exported, "\n".join(f"| {' | '.join(row)} |" for row in exported)
    assert mentioned <= set(every)


def test_the_configuration_page_is_up_to_date() -> None:
    written = configuration_page.PAGE.read_text("utf-8")

    assert written == configuration_page.page(), "run tools/configuration_page.py"


# --- the picture -----------------------------------------------------------------------------


def is_self_contained(drawn: str) -> bool:
    addresses = set(re.findall(r"https?://[^\s\"')]+", drawn))
    return addresses == {"http://www.w3.org/2000/svg"} and "@font-face" not in drawn


def test_the_picture_says_that_its_market_is_synthetic_and_fetches_nothing() -> None:
    drawn = terminal_picture.PICTURE.read_text("utf-8")

    assert "SYNTHETIC&#160;MARKET" in drawn
    assert is_self_contained(drawn)
    assert not re.search(r"/(?:work|root|home|tmp)/", drawn)


def test_the_picture_is_drawn_the_same_wherever_it_is_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = terminal_picture.svg(view(SNAPSHOT))
    for name, value in {"NO_COLOR": "1", "COLUMNS": "40", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)

    assert terminal_picture.svg(view(SNAPSHOT)) == drawn
    assert is_self_contained(drawn)


def test_the_picture_is_of_a_run_over_the_generated_market() -> None:
    drawn = terminal_picture.svg(terminal_picture.paper_view(10 * MINUTE))

    assert "SYNTHETIC&#160;MARKET" in drawn
    assert "HYPE" in drawn
