"""`make chart`: render the Helm chart into tests/unit/rendered_chart, as its test expects it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[1] / "deploy"
CHART = DEPLOY / "helm" / "runfold"
RENDERED = Path(__file__).parent / "unit" / "rendered_chart"
KUBERNETES = "1.31"
GRAFANA_FILES = [
    *DEPLOY.glob("grafana/dashboards/*.json"),
    *DEPLOY.glob("grafana/provisioning/*/*.yaml"),
]
OPTIONS = {
    "volume": ["--set", "kafka.bootstrap=kafka:9092", "--set", "postgres.existingSecret=postgres"],
    "s3": [
        "--set", "kafka.bootstrap=kafka:9092", "--set", "lake.url=s3://bucket/lake",
        "--set", "s3.region=eu-central-1", "--set", "s3.existingSecret=s3",
        "--set", "postgres.existingSecret=postgres", "--set", "worker.autoscaling.enabled=true",
        "--set", "collector.tlsSecret=tls", "--set", "collector.keysSecret=keys",
    ],
    "grafana": [
        "--set", "kafka.bootstrap=kafka:9092", "--set", "postgres.existingSecret=postgres",
        "--set", "grafana.dashboards=true", "--set", "grafana.alerts=true",
        "--set", "grafana.datasource=true",
    ],
}  # fmt: skip
"""How the chart is rendered."""


def render(name: str) -> list[dict[str, Any]]:
    """Return what the chart renders with those options, Grafana's files by their names alone."""
    command = ["helm", "template", "agents", str(CHART), "--kube-version", KUBERNETES]
    done = subprocess.run([*command, *OPTIONS[name]], capture_output=True, text=True, check=True)
    found = [each for each in yaml.safe_load_all(done.stdout) if each]
    names = {path.read_text("utf-8"): str(path.relative_to(DEPLOY)) for path in GRAFANA_FILES}
    for each in found:
        if each["kind"] == "ConfigMap":
            each["data"] = {key: names[text] for key, text in each["data"].items()}
    return found


def rendered(name: str) -> list[dict[str, Any]]:
    """Return what is checked in of that."""
    text = (RENDERED / f"{name}.yaml").read_text("utf-8")
    return [each for each in yaml.safe_load_all(text) if each]


if __name__ == "__main__":
    for name in OPTIONS:
        text = yaml.safe_dump_all(render(name), sort_keys=False, width=100)
        (RENDERED / f"{name}.yaml").write_text(text, "utf-8")
