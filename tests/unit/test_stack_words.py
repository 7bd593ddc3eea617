"""What the stack says of a worker that gave up."""

from __future__ import annotations

from pathlib import Path

from runfold.deploy.stack_logs import last_words


def test_the_error_that_a_log_ends_with_is_all_that_is_said(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text('error: of another day\n{"event": "starts"}\nerror: too many\nand so on\n')
    assert last_words(log) == "error: too many\nand so on"


def test_what_duckdb_says_at_the_end_of_a_process_hides_no_error(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    leaked = "nanobind: leaked 27 instances!\n" + ' - leaked instance 0x1 of type "T"\n' * 40
    end = " - ... skipped remainder\nSee https://nanobind.readthedocs.io/en/latest/refleaks.html\n"
    log.write_text("error: the log has gone\n" + leaked + end)
    assert last_words(log) == "error: the log has gone"


def test_without_an_error_the_last_lines_are_said(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text("".join(f"line {number}\n" for number in range(20)))
    assert last_words(log).splitlines() == [f"line {number}" for number in range(5, 20)]
