"""`make chart`: render the Helm chart into tests/unit/rendered_chart, as its test expects it."""

from __future__ import annotations

import subprocess

from tests.unit.test_deploy_files import OPTIONS, RENDERED, helm_command

if __name__ == "__main__":
    for name in OPTIONS:
        done = subprocess.run(helm_command(name), capture_output=True, text=True, check=True)
        (RENDERED / f"{name}.yaml").write_text(done.stdout, "utf-8")
