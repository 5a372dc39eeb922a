"""What SECURITY.md promises, as far as it is of the whole checkout; and that its tests exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = [
    path
    for name in ("domain", "strategies", "execution", "bot")
    for path in sorted((ROOT / name).rglob("*.py"))
]
OWNERS_ALONE = re.compile(
    r"withdraw3|usdSend|spotSend|sendAsset|usdClassTransfer|approveAgent|approveBuilderFee"
    r"|vaultTransfer|subAccountTransfer|cDeposit|cWithdraw|tokenDelegate|convertToMultiSigUser"
)
"""Hyperliquid's names of what moves money or rights."""
AND_YET = ("execution/venues/hyperliquid/emulator/", "execution/venues/hyperliquid/private.py")
"""The other side, and who hears of transfers that a person made."""
SECRET = re.compile(
    r"(?<![0-9a-zA-Z])(?:0x)?[0-9a-fA-F]{64}(?![0-9a-zA-Z])"
    r"|BEGIN [A-Z ]*PRIVATE KEY"
    r"|(?<!\d)\d{8,10}:[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"  # of a bot of Telegram
)
CURVE = "0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141"


def test_nothing_that_moves_money_has_a_name_where_something_is_signed() -> None:
    named = [
        path.relative_to(ROOT).as_posix()
        for path in PRODUCT
        if OWNERS_ALONE.search(path.read_text("utf-8"))
    ]

    assert named
    assert [name for name in named if not name.startswith(AND_YET)] == []


def test_no_key_and_no_token_is_in_the_checkout() -> None:
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [
        ROOT / name
        for name in listed.stdout.decode().split("\0")
        # Tests have keys of their own, which open nothing; locks have hashes.
        if name and not name.startswith("tests/") and not name.endswith((".lock", ".png"))
    ]
    found = {
        match
        for path in files
        if path.is_file()
        for match in SECRET.findall(path.read_text("utf-8"))
    }

    assert len(files) > 200
    assert found <= {CURVE}


IMPORTS = """
import importlib, sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind", "subprocess.Popen"):
        sys.stderr.write(f"{event} {arguments}")
        raise SystemExit(9)
sys.addaudithook(watch)
for name in sys.argv[1:]:
    importlib.import_module(name)
print(len(sys.modules))
"""


def test_importing_everything_asks_nobody_anything() -> None:
    names = [
        path.relative_to(ROOT).as_posix().removesuffix(".py").removesuffix("/__init__")
        for path in PRODUCT
        if path.name != "__main__.py"
    ]
    modules = [name.replace("/", ".") for name in names]
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *modules], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > len(modules) > 100


def test_every_test_that_the_table_names_exists() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    rows = re.findall(r"^\| \d+ \|", text, re.MULTILINE)
    named = re.findall(r"`(tests/[\w/.]+\.py)(?:::(\w+))?`", text)
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).is_file() or (name and f"def {name}(" not in (ROOT / file).read_text())
    ]

    assert missing == []
    assert len(rows) == 32
    assert len(named) > 32
