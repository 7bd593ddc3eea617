"""What is shipped for Docker, Kubernetes and systemd: pinned, not root, and with real commands."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer.main
import yaml

from runfold.deploy.cli.app import app
from runfold.deploy.settings import PREFIX, Settings
from runfold.processors.metrics import LAG
from tests.render_chart import DEPLOY, GRAFANA_FILES, KUBERNETES, OPTIONS, render, rendered


def compose() -> dict[str, Any]:
    content = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    assert isinstance(content, dict)
    return content


def pods() -> Iterator[dict[str, Any]]:
    for name in OPTIONS:
        for each in rendered(name):
            if each["kind"] in ("Deployment", "StatefulSet"):
                yield each["spec"]["template"]["spec"]


def commands() -> list[list[str]]:
    """Return every command line of runfold that the files have."""
    found = [
        service["command"]
        for service in compose()["services"].values()
        if service["image"].startswith("runfold:")
    ]
    found += [
        shlex.split(line.partition("/bin/runfold ")[2])
        for unit in (DEPLOY / "systemd").glob("*.service")
        for line in unit.read_text("utf-8").splitlines()
        if line.startswith("ExecStart=")
    ]
    for pod in pods():
        found += [container["args"] for container in pod["containers"]]
        for container in pod["containers"]:
            probe = container.get("readinessProbe", {}).get("exec", {}).get("command")
            found += [probe[1:]] if probe else []
    return found


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_every_command_is_one_of_the_command_line(arguments: list[str]) -> None:
    group: Any = typer.main.get_command(app)
    context = group.make_context("runfold", list(arguments))
    name, command, rest = group.resolve_command(context, list(arguments))
    command.make_context(name, rest, parent=context)  # raises where an option is unknown


def test_every_variable_is_a_setting() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    compose_file = DEPLOY / "compose.yaml"
    files = [*DEPLOY.glob("helm/**/*.tpl"), *DEPLOY.glob("helm/**/*.yaml"), compose_file]
    files += [DEPLOY / "Dockerfile", DEPLOY / "systemd" / "runfold.env"]
    of_compose_alone = set(re.findall(r"\$\{(\w+)", compose_file.read_text("utf-8")))
    for file in files:
        named = set(re.findall(r"\b(RUNFOLD_[A-Z_]+)\b", file.read_text("utf-8")))
        of_grafana = {each for each in named if each.startswith("RUNFOLD_POSTGRES_")}
        assert named - of_compose_alone - of_grafana <= known, file


def test_every_service_of_compose_is_pinned_healthy_and_not_root() -> None:
    services = compose()["services"]
    assert set(services) == {"kafka", "postgres", "worker", "collector", "exporter", "grafana"}
    for name, service in services.items():
        tag = service["image"].rpartition(":")[2]
        assert re.fullmatch(r"[0-9]+[.][0-9]+[.0-9]*[-\w]*", tag), name
        assert service["user"].split(":")[0] not in ("0", "root"), name
        assert service["healthcheck"]["test"], name
        assert service["restart"] == "unless-stopped", name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source.startswith("./grafana") or source in compose()["volumes"], name


def test_the_image_runs_as_nobody_special() -> None:
    lines = (DEPLOY / "Dockerfile").read_text("utf-8").splitlines()
    stages = [line for line in lines if line.startswith("FROM ")]
    assert len(stages) == 2
    assert all(re.search(r":[0-9]+[.][0-9]+[.][0-9]+-slim", line) for line in stages)
    assert "USER 10001" in lines[lines.index(stages[-1]) :]


def test_what_services_write_to_is_theirs() -> None:
    """A named volume belongs to whom its folder in the image belongs to; else to root."""
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    made = re.search(r"install -d -o runfold -g runfold (.*)", text)
    assert made is not None
    services = compose()["services"]
    for name in ("worker", "collector", "exporter"):
        targets = {volume.split(":")[1] for volume in services[name]["volumes"]}
        assert targets <= set(made[1].split()), name
    # Since 18 the image has no folder /var/lib/postgresql/data.
    assert services["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]
    assert "PGDATA" not in services["postgres"]["environment"]


@pytest.mark.parametrize("name", ["worker", "collector", "exporter"])
def test_systemd_understands_the_units(name: str, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("there is no systemd here")
    unit = tmp_path / f"runfold-{name}.service"
    text = (DEPLOY / "systemd" / unit.name).read_text("utf-8")
    unit.write_text(text.replace("/opt/runfold/bin/runfold", "/bin/true"), "utf-8")
    done = subprocess.run(
        [program, "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("name", OPTIONS)
def test_the_rendered_chart_is_valid_kubernetes(name: str) -> None:
    kinds = {}
    for each in rendered(name):
        kubernetes_validate.validate(each, KUBERNETES, strict=True)
        kinds[each["kind"], each["metadata"]["name"]] = each
    assert ("StatefulSet", "agents-collector") in kinds
    assert ("Deployment", "agents-worker") in kinds
    assert ("Deployment", "agents-exporter") in kinds
    assert ("PodDisruptionBudget", "agents-worker") in kinds
    assert ("PodDisruptionBudget", "agents-collector") in kinds
    assert (("HorizontalPodAutoscaler", "agents-worker") in kinds) == (name == "s3")
    assert (("PersistentVolumeClaim", "agents-lake") in kinds) == (name != "s3")


def test_workers_are_scaled_by_a_metric_that_they_serve() -> None:
    of_workers = {
        each["kind"]: each["spec"]
        for each in rendered("s3")
        if each["metadata"]["name"] == "agents-worker"
    }
    [metric] = of_workers["HorizontalPodAutoscaler"]["metrics"]
    assert metric["pods"]["metric"]["name"] == LAG.name
    assert "replicas" not in of_workers["Deployment"]  # or each upgrade would undo the scaling


def test_every_pod_has_probes_limits_and_no_rights() -> None:
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"]
        [container] = pod["containers"]
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["readinessProbe"]
        if container["name"] != "exporter":  # which ends by itself where it cannot go on
            assert container["livenessProbe"]
            assert container["startupProbe"]
        assert container["resources"]["limits"]["memory"]


def test_grafanas_sidecars_find_every_file_by_its_label() -> None:
    found: dict[str, tuple[str, str]] = {}
    for each in rendered("grafana"):
        if each["kind"] == "ConfigMap":
            [label] = [name for name in each["metadata"]["labels"] if name.startswith("grafana_")]
            found |= {path: (label, key) for key, path in each["data"].items()}
    for path in GRAFANA_FILES:
        kind = path.relative_to(DEPLOY / "grafana").parts[-2]
        if path.suffix == ".json" or kind != "dashboards":  # where a sidecar puts them is its own
            label, key = found.pop(str(path.relative_to(DEPLOY)))
            assert label == {"alerting": "grafana_alert"}.get(kind, f"grafana_{kind.rstrip('s')}")
            assert Path(key).suffix == path.suffix
    assert not found


def test_selectors_meet_the_pods_that_they_mean() -> None:
    for name in OPTIONS:
        labels = {
            each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"]
            for each in rendered(name)
            if each["kind"] in ("Deployment", "StatefulSet")
        }
        for each in rendered(name):
            if each["kind"] in ("Service", "PodDisruptionBudget"):
                selector = each["spec"]["selector"]
                selector = selector.get("matchLabels", selector)
                assert selector.items() <= labels[each["metadata"]["name"]].items()


@pytest.mark.parametrize("name", OPTIONS)
def test_what_is_checked_in_is_what_the_chart_renders(name: str) -> None:
    if shutil.which("helm") is None:
        pytest.skip("there is no helm here: the chart's rendering is checked as it is checked in")
    assert render(name) == rendered(name)
