"""What an operator copies: complete, without privileges, and in step with the program."""

import configparser
import re
import shutil
import subprocess
import sys
import time
import tomllib
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, Gauge

from bot.settings import Metrics as MetricsSettings
from bot.settings import Notify as NotifySettings
from execution.metrics import serve
from tools import pin_images

ADDRESS = f"127.0.0.1:{MetricsSettings().port}"


@pytest.fixture
def compose(deploy: Path) -> Any:
    return yaml.safe_load((deploy / "compose.yaml").read_text())


UNITS = ("fundarb-live", "fundarb-notify", "fundarb-paper", "fundarb-watchdog")


@pytest.fixture
def both(deploy: Path, compose: Any) -> Any:
    """The services of both compose files, the second's laid over the first's."""
    testnet = yaml.safe_load((deploy / "compose.testnet.yaml").read_text())
    services = {name: dict(service) for name, service in compose["services"].items()}
    for name, service in testnet["services"].items():
        services[name] = services.get(name, {}) | service
    return services


@pytest.fixture(params=UNITS)
def unit(request: pytest.FixtureRequest, deploy: Path) -> configparser.SectionProxy:
    """What each of the units says of its service."""
    return service_of(deploy / "systemd" / f"{request.param}.service")


def service_of(path: Path) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # directives have capitals
    parser.read(path)
    assert set(parser.sections()) == {"Unit", "Service", "Install"}
    return parser["Service"]


def test_prometheus_asks_where_the_bot_answers(deploy: Path) -> None:
    config = yaml.safe_load((deploy / "prometheus" / "prometheus.yml").read_text())

    asked = {
        job["job_name"]: place
        for job in config["scrape_configs"]
        for place in job["static_configs"][0]["targets"]
    }
    assert asked == {
        "fundarb": ADDRESS,
        "fundarb-watchdog": f"127.0.0.1:{MetricsSettings().watchdog_port}",
        "fundarb-notify": f"127.0.0.1:{NotifySettings().port}",
    }


def test_alertmanager_delivers_where_messages_are_taken(deploy: Path) -> None:
    config = yaml.safe_load((deploy / "alertmanager" / "alertmanager.yml").read_text())

    urls = {hook["url"] for to in config["receivers"] for hook in to["webhook_configs"]}
    place = f"http://127.0.0.1:{NotifySettings().port}"
    assert urls == {f"{place}/alerts", f"{place}/alive"}


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


def test_every_container_is_without_privileges_and_watched(deploy: Path, both: Any) -> None:
    dockerfile = (deploy / "Dockerfile").read_text()
    for name, service in both.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        assert service["logging"]["options"]["max-size"], name
        assert "healthcheck" in service or "HEALTHCHECK" in dockerfile, name


def test_no_port_is_open_to_the_network(both: Any) -> None:
    ports = [port for service in both.values() for port in service.get("ports", [])]

    assert ports == ["127.0.0.1:3000:3000"]


def test_the_files_that_compose_mounts_exist(deploy: Path, compose: Any) -> None:
    mounts = [
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
    ]

    assert [m for m in mounts if m.startswith(".") and not (deploy / m).exists()] == []
    assert {m for m in mounts if not m.startswith(".")} == set(compose["volumes"])


@pytest.mark.parametrize(
    "name", ["compose.yaml", "compose.testnet.yaml", "kubernetes/fundarb.yaml"]
)
def test_every_image_of_ours_has_the_version_of_the_project(deploy: Path, name: str) -> None:
    project = tomllib.loads((deploy.parent / "pyproject.toml").read_text())["project"]
    ours = re.findall(r"image: fundarb:(\S+)", (deploy / name).read_text())

    assert set(ours) == {project["version"]}


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


def test_secrets_are_files_and_none_of_them_is_in_the_checkout(deploy: Path, both: Any) -> None:
    told = "".join(str(service.get("environment", "")) for service in both.values())
    assert not re.search("key|token|secret|passw", told, re.IGNORECASE)

    ignored = (deploy.parent / ".gitignore").read_text().splitlines()
    assert "deploy/secrets/" in ignored


REGISTRY = """#!/bin/sh
test "$1 $2 $3" = "buildx imagetools inspect" || exit 1
case "$4" in %s*) echo "no such manifest" >&2; exit 1;; esac
printf 'sha256:%%s\\n' "$(printf '%%s' "$4" | sha256sum | cut -c1-64)"
"""
"""A stand-in for docker: a digest made of the name, and none for one name."""


@pytest.mark.parametrize("unknown", ["nothing", "grafana"])
def test_base_images_are_pinned_by_what_the_registry_says(
    deploy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unknown: str
) -> None:
    (docker := tmp_path / "docker").write_text(REGISTRY % unknown)
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name in pin_images.FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        loose = re.sub(r"@sha256:\w{64}", "", (deploy / name).read_text())
        (tmp_path / name).write_text(loose)
    before = {name: (tmp_path / name).read_text() for name in pin_images.FILES}
    assert [name.partition(":")[0] for name in pin_images.unpinned(tmp_path)] == [
        "grafana/grafana",
        "prom/alertmanager",
        "prom/prometheus",
        "python",
    ]

    if unknown == "grafana":
        with pytest.raises(SystemExit, match=r"grafana.*no such manifest"):
            pin_images.main(tmp_path)
        assert before == {name: (tmp_path / name).read_text() for name in pin_images.FILES}
        return
    for _ in range(2):  # a second time changes nothing
        pin_images.main(tmp_path)
        for name, old in before.items():
            new = (tmp_path / name).read_text()
            images = re.findall(r"(?:^FROM |image: )(\S+)", new, re.MULTILINE)
            assert images
            for image in images:
                tag, _, digest = image.partition("@sha256:")
                wanted = "" if "fundarb:" in tag else sha256(tag.encode()).hexdigest()
                assert digest == wanted
            assert re.sub(r"@sha256:\w{64}", "", new) == re.sub(r"@sha256:\w{64}", "", old)
    assert pin_images.unpinned(tmp_path) == []


def test_what_is_not_pinned_is_said_to_be_so(deploy: Path) -> None:
    told = "named by version, not by digest" in (deploy / "README.md").read_text()

    assert told is bool(pin_images.unpinned(deploy))


# --- systemd ---------------------------------------------------------------------------------


def test_the_paper_service_starts_the_paper_bot(deploy: Path) -> None:
    unit = service_of(deploy / "systemd" / "fundarb-paper.service")

    assert unit["ExecStart"] == "/opt/fundarb/bin/fundarb paper --speed 60 --state %S/fundarb/paper"


def test_a_service_stops_as_a_person_would_stop_it_and_is_not_started_over_a_mistake(
    unit: configparser.SectionProxy,
) -> None:
    assert unit["KillSignal"] == "SIGINT"
    assert unit["SuccessExitStatus"] == "130"
    assert unit["RestartPreventExitStatus"] == "2 3"


def test_a_service_that_acts_is_ended_when_it_does_not_get_on(deploy: Path) -> None:
    for name in ("fundarb-live", "fundarb-paper", "fundarb-watchdog"):
        unit = service_of(deploy / "systemd" / f"{name}.service")
        assert (unit["Type"], unit["WatchdogSec"]) == ("notify", "60"), name


def test_a_key_comes_as_a_credential_and_never_by_the_environment(
    unit: configparser.SectionProxy,
) -> None:
    assert "Environment" not in unit
    for option in ("--key-file", "--to"):
        if option in unit["ExecStart"]:
            name = unit["LoadCredential"].partition(":")[0]
            assert f"{option} credential:{name} " in unit["ExecStart"]


@pytest.mark.parametrize(
    ("directive", "value"),
    [
        ("User", "fundarb"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("UMask", "0077"),
        ("LimitCORE", "0"),
    ],
)
def test_a_service_has_no_privileges(
    unit: configparser.SectionProxy, directive: str, value: str
) -> None:
    assert unit[directive] == value


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_itself_finds_little_exposed(deploy: Path, name: str) -> None:
    path = deploy / "systemd" / f"{name}.service"
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(path)]
    judged = subprocess.run(command, capture_output=True, check=False)

    assert judged.returncode == 0, judged.stdout.decode()[-200:]


# --- Kubernetes, and what healthy means -------------------------------------------------------


def test_a_pod_is_without_privileges_and_has_one_process_for_one_state(deploy: Path) -> None:
    text = (deploy / "kubernetes" / "fundarb.yaml").read_text()
    kinds = {each["kind"]: each for each in yaml.safe_load_all(text)}
    pod = kinds["StatefulSet"]["spec"]["template"]["spec"]

    assert kinds["StatefulSet"]["spec"]["replicas"] == 1
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        locked = container["securityContext"]
        assert locked["readOnlyRootFilesystem"] is True
        assert locked["capabilities"] == {"drop": ["ALL"]}
        assert locked["allowPrivilegeEscalation"] is False
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    assert "ingress" not in kinds["NetworkPolicy"]["spec"]


@pytest.mark.parametrize(("age", "code"), [(5.0, 0), (60.0, 1), (None, 1)])
def test_healthy_is_what_gets_on(deploy: Path, age: float | None, code: int) -> None:
    registry = CollectorRegistry()
    if age is not None:
        Gauge("fundarb_x_timestamp_seconds", "x", registry=registry).set(time.time() - age)
    page = serve(registry, 0)
    try:
        metric = "fundarb_x_timestamp_seconds"
        command = [sys.executable, str(deploy / "healthy.py"), page.url, metric]
        asked = subprocess.run(command, capture_output=True, check=False)
    finally:
        page.close()

    assert asked.returncode == code
