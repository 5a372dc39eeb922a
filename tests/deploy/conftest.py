"""The dashboards' text, and what a running bot and a real Prometheus make of it."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.processes import DEPLOY, ROOT, UNPACKED

PROGRAMS = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")
DASHBOARDS = ("machine", "overview", "pairs")


@pytest.fixture(scope="session")
def deploy() -> Path:
    return DEPLOY


def read(name: str) -> Any:
    return json.loads((DEPLOY / "grafana" / "dashboards" / f"{name}.json").read_text())


@pytest.fixture(params=DASHBOARDS)
def dashboard(request: pytest.FixtureRequest) -> Any:
    """Each of the dashboards in turn."""
    return read(request.param)


@pytest.fixture(scope="session")
def queries() -> list[tuple[str, str]]:
    """(panel's title, PromQL with Grafana's variables filled in), of every panel of them all."""
    return [
        (
            f"{name}: {panel['title']}",
            target["expr"].replace("$__rate_interval", "10s").replace("$pair", ".*"),
        )
        for name in DASHBOARDS
        for panel in read(name)["panels"]
        for target in panel["targets"]
    ]


@pytest.fixture(scope="session")
def programs() -> dict[str, str]:
    """Paths of Prometheus' programs, fetched where this machine has apt and not them."""
    subprocess.run([ROOT / "tools" / "install_prometheus.sh"], check=True)
    found = {
        name: path
        for name in PROGRAMS
        if (path := shutil.which(name) or shutil.which(name, path=UNPACKED))
    }
    if len(found) < len(PROGRAMS):
        pytest.skip("no Prometheus here, and no apt-get to fetch it with")
    return found
