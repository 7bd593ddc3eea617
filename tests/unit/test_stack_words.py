"""What the stack says of a worker that gave up."""

from __future__ import annotations

from pathlib import Path

from runfold.deploy.stack_logs import last_words


def test_the_error_that_a_log_ends_with_is_all_that_is_said(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text('error: of another day\n{"event": "starts"}\nerror: too many\nand so on\n')
    assert last_words(log) == "error: too many\nand so on"


def test_without_an_error_the_last_lines_are_said(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text("".join(f"line {number}\n" for number in range(20)))
    assert last_words(log).splitlines() == [f"line {number}" for number in range(5, 20)]
