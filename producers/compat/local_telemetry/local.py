"""The NDJSON files: one for each day in UTC, one JSON object on each line."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


class NDJSONWriter:
    """Appends records to `events_YYYYMMDD.ndjson` in a folder, which is made where it is missing.

    Delivery: each line is on the disk when `append` returns; processes take turns by a file lock.
    """

    def __init__(self, ndjson_dir: Path | str) -> None:
        self.ndjson_dir = Path(ndjson_dir)
        try:
            self.ndjson_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            logger.warning("NDJSON directory cannot be made: %s", error)

    def append(self, payload: dict[str, Any]) -> tuple[bool, str]:
        """Append one object; return whether it is on the disk, and a message. Never raises."""
        path = self.ndjson_dir / f"events_{datetime.now(UTC):%Y%m%d}.ndjson"
        try:
            line = f"{json.dumps(payload, default=str)}\n".encode()
            with path.open("ab") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                stream.write(line)
                stream.flush()
                os.fsync(stream.fileno())
        except Exception as error:  # noqa: BLE001  any object may be in the payload
            return False, f"[FAIL] NDJSON write error: {error}"
        return True, f"[OK] Wrote to {path.name}"

    def read_file(self, date_str: str) -> list[Any]:
        """Return the objects of a day, `YYYYMMDD`, without lines that hold none.

        Raises: FileNotFoundError where there is no file of that day.
        """
        path = self.ndjson_dir / f"events_{date_str}.ndjson"
        if not path.exists():
            raise FileNotFoundError(f"NDJSON file not found: {path}")
        records = []
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            if not line.strip():
                continue
            try:
                records.append(json.loads(line))
            except ValueError as error:
                logger.warning("%s:%d: invalid JSON: %s", path, number, error)
        return records

    def list_files(self) -> list[Path]:
        """Return the files of all days, the oldest first."""
        return sorted(self.ndjson_dir.glob("events_*.ndjson"))

    def get_file_info(self, filepath: Path) -> dict[str, Any]:
        """Return name, size, lines and path of a file. Raises: FileNotFoundError."""
        if not filepath.exists():
            raise FileNotFoundError(f"File not found: {filepath}")
        content = filepath.read_bytes()
        return {
            "filename": filepath.name,
            "size_bytes": len(content),
            "line_count": sum(1 for line in content.splitlines() if line.strip()),
            "path": str(filepath),
        }
