"""What an operator copies: complete, without privileges, and in step with the program."""

import configparser
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.settings import Metrics as MetricsSettings

ADDRESS = f"127.0.0.1:{MetricsSettings().port}"


@pytest.fixture
def compose(deploy: Path) -> Any:
    return yaml.safe_load((deploy / "compose.yaml").read_text())


@pytest.fixture
def unit(deploy: Path) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # directives have capitals
    parser.read(deploy / "systemd" / "fundarb-paper.service")
    assert set(parser.sections()) == {"Unit", "Service", "Install"}
    return parser["Service"]


def test_prometheus_asks_where_the_bot_answers(deploy: Path) -> None:
    config = yaml.safe_load((deploy / "prometheus" / "prometheus.yml").read_text())

    (job,) = config["scrape_configs"]
    assert job["job_name"] == "fundarb"
    assert job["static_configs"] == [{"targets": [ADDRESS]}]


def test_grafana_is_handed_its_data_source_and_the_dashboard(deploy: Path, compose: Any) -> None:
    provisioning = deploy / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "fundarb.yaml").read_text())[
        "providers"
    ]

    assert (source["type"], source["url"]) == ("prometheus", "http://127.0.0.1:9090")
    mounts = dict(
        v.removesuffix(":ro").split(":") for v in compose["services"]["grafana"]["volumes"]
    )
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"


def test_every_container_is_without_privileges_and_watched(deploy: Path, compose: Any) -> None:
    dockerfile = (deploy / "Dockerfile").read_text()
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        assert "healthcheck" in service or "HEALTHCHECK" in dockerfile, name


def test_no_port_is_open_to_the_network(compose: Any) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]

    assert ports == ["127.0.0.1:3000:3000"]


def test_the_files_that_compose_mounts_exist(deploy: Path, compose: Any) -> None:
    mounts = [
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service["volumes"]
    ]

    assert [m for m in mounts if m.startswith(".") and not (deploy / m).exists()] == []
    assert {m for m in mounts if not m.startswith(".")} == set(compose["volumes"])


def test_the_image_has_the_version_of_the_project(deploy: Path, compose: Any) -> None:
    project = tomllib.loads((deploy.parent / "pyproject.toml").read_text())["project"]

    assert compose["services"]["bot"]["image"] == f"fundarb:{project['version']}"


def test_the_image_installs_only_what_a_hash_pins(deploy: Path) -> None:
    text = (deploy / "Dockerfile").read_text()

    installs = re.findall(r"pip install (.*?)(?:\\?\n)", text)
    assert len(installs) == 3
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)
    assert ADDRESS in text


def test_the_image_copies_what_exists_and_does_not_run_as_root(deploy: Path) -> None:
    text = (deploy / "Dockerfile").read_text()
    sources = [
        name
        for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE)
        for name in line.split()[:-1]
    ]
    ignored = (deploy / "Dockerfile.dockerignore").read_text().splitlines()

    assert [name for name in sources if not (deploy.parent / name).exists()] == []
    assert {f"!{name}" for name in sources} == {line for line in ignored if line[0] == "!"}
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001"]


def test_the_service_starts_the_paper_bot_and_stops_it_as_a_person_would(
    unit: configparser.SectionProxy,
) -> None:
    assert (
        unit["ExecStart"]
        == "/opt/fundarb/bin/fundarb paper --speed 60 --state %S/fundarb/paper"
    )
    assert unit["KillSignal"] == "SIGINT"
    assert unit["SuccessExitStatus"] == "130"
    assert unit["RestartPreventExitStatus"] == "2"


@pytest.mark.parametrize(
    ("directive", "value"),
    [
        ("DynamicUser", "yes"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("UMask", "0077"),
    ],
)
def test_the_service_has_no_privileges(
    unit: configparser.SectionProxy, directive: str, value: str
) -> None:
    assert unit[directive] == value
