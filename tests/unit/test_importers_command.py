"""`runfold import claude-code` without a broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

RECORDED = Path(__file__).parent.parent / "transcripts" / "recorded"
MALFORMED = 13
NOBODY = "127.0.0.1:1"


def run(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if "RUNFOLD" not in name}
    command = "from runfold.deploy.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", command, "import", "claude-code", *arguments],
        env={**environment, "HOME": str(home), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_dry_run_counts_and_names_what_is_malformed(tmp_path: Path) -> None:
    done = run(str(RECORDED), "--dry-run", "--format", "json", "--broker", NOBODY, home=tmp_path)
    assert done.returncode == 0
    counts = json.loads(done.stdout)
    assert (counts["sessions"], counts["subagents"], counts["turns"]) == (11, 3, 13)
    assert counts["malformed"] == len(counts["malformed_lines"]) == MALFORMED
    named = [line for line in done.stderr.splitlines() if ".jsonl:" in line]
    assert len(named) == MALFORMED
    assert "99999999.jsonl:6: cwd is 17, not a text" in named[4].replace(
        "-9999-4999-8999-999999999999", ""
    )
    assert f"warning: {MALFORMED} malformed lines were left out" in done.stderr


def test_strict_makes_malformed_lines_a_failure(tmp_path: Path) -> None:
    arguments = ("--dry-run", "--strict", "--broker", NOBODY)
    assert run(str(RECORDED), *arguments, home=tmp_path).returncode == 1
    assert run(str(RECORDED / "-home-dev-shop"), *arguments, home=tmp_path).returncode == 0


def test_a_missing_folder_is_a_wrong_use(tmp_path: Path) -> None:
    done = run("--dry-run", home=tmp_path)
    assert done.returncode == 2
    assert "/.claude/projects: no such file or folder" in done.stderr


def test_without_a_broker_nothing_is_imported(tmp_path: Path) -> None:
    done = run(str(RECORDED), "--broker", NOBODY, home=tmp_path)
    assert done.returncode == 1
    assert NOBODY in done.stderr
