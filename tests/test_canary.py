"""The search for secrets in what the suite leaves finds them, wherever and however they lie."""

import re
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest

from tests.canary import PLANTED

ROOT = Path(__file__).resolve().parents[1]
KEY = "9f0c31a6d27b48e5c1904fae63b7d8250e6a9c4b1f7d3085a2c6e4b9d8f07135"
TOKEN, CHANNEL = "q7Wc-x2LmZ9vT4nB8rJd5KpYf3HsGa6E", "AAyT0kenOfOneBot"
LEAVES = {
    "a_key_in_a_log": f"(tmp_path / 'log').write_text('signing with 0x{KEY}')",
    "a_key_as_bytes": f"(tmp_path / 'db').write_bytes(b'row' + bytes.fromhex('{KEY}'))",
    "a_key_in_base64": "(tmp_path / 'x').write_text('key="
    f"{b64encode(bytes.fromhex(KEY)).decode()}')",
    "a_key_in_capitals_below": "(tmp_path / 'a').mkdir();"
    f" (tmp_path / 'a' / 'b').write_text('{KEY.upper()}, say')",
    "a_token_in_a_page": f"(tmp_path / 'read.token').write_text('{TOKEN}');"
    f" (tmp_path / 'page.html').write_text('let t = \"{TOKEN}\"')",
    "a_channel": f"(tmp_path / 'channels.txt').write_text('tgram://8172:{CHANNEL}/9');"
    f" (tmp_path / 'sent.json').write_text('[\"{CHANNEL}\"]')",
    "the_environment_in_a_file": "(tmp_path / 'crash').write_text(str(dict(os.environ)))",
    "the_environment_on_the_terminal": "print(os.environ['TELEGRAM_BOT_TOKEN'])",
    "what_is_read_back": "print(dict(os.environ)); capsys.readouterr()",
    "a_warning": "logging.getLogger('x').warning(os.environ['TELEGRAM_BOT_TOKEN'])",
    "a_directory_of_the_module": "folder = tmp_path_factory.mktemp('kept');"
    f" (folder / 'dump').write_text('key: {KEY}')",
}
CLEAN = {
    "nothing": "pass",
    "an_address": "(tmp_path / 'log').write_text('0x' + 'a1' * 20)",
    "the_link_that_was_asked_for": f"print('http://127.0.0.1/#token={TOKEN}')",
}
TEST = """
def test_{name}(tmp_path, tmp_path_factory, capsys):
    (tmp_path / "agent.key").write_text("{key}")
    {does}
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a suite says that leaves all these, with the search as its plug-in."""
    folder = tmp_path_factory.mktemp("suite")
    tests = [TEST.format(name=n, key=KEY, does=does) for n, does in (CLEAN | LEAVES).items()]
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text("import logging, os\n" + "".join(tests))
    (folder / "conftest.py").write_text(
        "from tests.canary import nothing_secret_is_left, pytest_runtest_makereport, tmp_path\n"
    )
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}", str(folder)]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    (folder / "test_it.py").unlink()
    assert done.returncode == 1, done.stdout
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", LEAVES)
def test_a_secret_that_is_left_fails_the_test_that_left_it(said: str, name: str) -> None:
    assert re.search(rf"^(ERROR|FAILED) .*::test_{name}\b", said, re.MULTILINE), said


@pytest.mark.parametrize("name", CLEAN)
def test_a_test_that_leaves_none_passes(said: str, name: str) -> None:
    assert f"test_{name}" not in said


@pytest.mark.parametrize("secret", [KEY, TOKEN, CHANNEL, *PLANTED.values()])
def test_what_was_found_is_not_repeated(said: str, secret: str) -> None:
    assert secret not in said


def test_every_process_of_a_test_has_the_planted_secrets() -> None:
    code = f"import os; print(all(os.environ.get(n) == s for n, s in {PLANTED!r}.items()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "True\n"
