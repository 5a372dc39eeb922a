"""The bill of materials says what is locked, and an audit asks about each of it."""

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-sweep.lock")
Release = tuple[str, str]


def make(*words: str) -> subprocess.CompletedProcess[str]:
    """One target, without installing again what is there."""
    command = ["make", "--silent", "--assume-old=.venv/.ready", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def locked(name: str, *, here: bool = False) -> dict[Release, set[str]]:
    """The hashes of each release in a lock; of those that this machine installs, if ``here``."""
    releases: dict[Release, set[str]] = {}
    for block in re.split(r"\n(?=[a-z])", (ROOT / name).read_text("utf-8")):
        found = re.match(r"([a-z][\w.-]*)==([^\s;]+)(?: ; (.+?))? \\\n", block)
        if found and (not here or found[3] is None or Marker(found[3]).evaluate()):
            releases[found[1], found[2]] = set(re.findall(r"sha256:([0-9a-f]{64})", block))
    return releases


def test_the_bill_of_materials_lists_what_is_locked_with_its_hashes(tmp_path: Path) -> None:
    made = make("sbom", f"FILE={tmp_path / 'sbom.json'}")
    assert made.returncode == 0, made.stderr

    bill = json.loads((tmp_path / "sbom.json").read_text("utf-8"))
    listed = {
        (each["name"], each["version"]): {
            digest["content"]
            for reference in each["externalReferences"]
            for digest in reference.get("hashes", ())
        }
        for each in bill["components"]
    }
    assert listed == locked("requirements.lock")
    assert bill["metadata"]["component"]["name"] == "fundarb"
    assert "timestamp" not in bill["metadata"]  # two of the same lock are the same


class Advisories:
    """A stand-in for the service that knows vulnerabilities: ``bad`` names what it knows of."""

    def __init__(self) -> None:
        self.asked: set[Release] = set()
        self.bad = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                about = json.loads(self.rfile.read(int(self.headers["content-length"])))
                name = about["package"]["name"]
                outer.asked.add((name, about["version"]))
                body = json.dumps({"vulns": [advisory(name)]} if name == outer.bad else {}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/query"


def advisory(name: str) -> dict[str, Any]:
    """In the form that OSV publishes: everything below 99 is affected."""
    versions = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99"}]}]
    package = {"name": name, "ecosystem": "PyPI"}
    return {
        "id": "PYSEC-0000-1",
        "modified": "2026-01-01T00:00:00Z",
        "details": "invented",
        "affected": [{"package": package, "ranges": versions}],
    }


@pytest.fixture
def service() -> Iterator[Advisories]:
    made = Advisories()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def test_an_audit_asks_about_each_locked_release_and_fails_for_one_that_is_vulnerable(
    service: Advisories, tmp_path: Path
) -> None:
    at_it = f"--osv-url {service.url} --cache-dir {tmp_path}"
    service.bad = "aiohttp"

    let_pass = make("audit", f"ARGS={at_it} --ignore-vuln PYSEC-0000-1")
    assert let_pass.returncode == 0, let_pass.stderr
    assert service.asked == {each for name in LOCKS for each in locked(name, here=True)}

    found = make("audit", f"ARGS={at_it}")
    assert found.returncode != 0
    assert re.search(r"^aiohttp +\S+ +PYSEC-0000-1 +99$", found.stdout, re.MULTILINE)
