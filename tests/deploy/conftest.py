"""The dashboard's text, and what a running bot and a real Prometheus make of it."""

import json
from pathlib import Path
from typing import Any

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.fixture(scope="session")
def deploy() -> Path:
    return DEPLOY


@pytest.fixture(scope="session")
def dashboard(deploy: Path) -> Any:
    return json.loads((deploy / "grafana" / "dashboards" / "fundarb.json").read_text())


@pytest.fixture(scope="session")
def queries(dashboard: Any) -> list[tuple[str, str]]:
    """(panel's title, PromQL with Grafana's variables filled in), of every panel."""
    return [
        (
            panel["title"],
            target["expr"].replace("$__rate_interval", "10s").replace("$pair", ".*"),
        )
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]
