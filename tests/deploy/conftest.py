"""The dashboards' text, and what a running bot and a real Prometheus make of it."""

import json
from pathlib import Path
from typing import Any

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
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
