"""Results on screen: as a table for people, as JSON or CSV for programs."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
from rich import box
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from runfold.deploy.cli.terminal import OUT, Format

Row = dict[str, Any]

STATUS_COLOURS = {
    "success": "green",
    "running": "cyan",
    "pending": "cyan",
    "failure": "red",
    "timeout": "red",
    "partial": "yellow",
    "cancelled": "yellow",
    "orphaned": "magenta",
}


def print_rows(rows: Sequence[Row], output: Format, columns: Sequence[str] | None = None) -> None:
    """Print `rows`; `columns` gives the header where there are none."""
    if output is Format.TABLE:
        OUT.print(_table(rows, _names(rows, columns)))
    else:
        OUT.file.write(rows_as_text(rows, output, columns))


def rows_as_text(rows: Sequence[Row], output: Format, columns: Sequence[str] | None = None) -> str:
    """Return what `print_rows` prints, for a file: nothing is cut, coloured or replaced."""
    if output is Format.JSON:
        return _json(rows) + "\n"
    stream = io.StringIO()
    names = _names(rows, columns)
    if output is Format.CSV:
        stream.write(_csv_line(names))
        for row in rows:
            stream.write(_csv_line([_as_text(row[name], "microseconds") for name in names]))
    else:
        Console(file=stream, width=_FILE_WIDTH, color_system=None).print(_table(rows, names))
    return stream.getvalue()


_FILE_WIDTH = 10_000
_SPECIAL = re.compile(r'[",\r\n]|^ | $')


def _names(rows: Sequence[Row], columns: Sequence[str] | None) -> list[str]:
    return list(rows[0]) if rows else list(columns or ())


def _json(rows: Sequence[Row]) -> str:
    try:
        options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
        return orjson.dumps(list(rows), default=_as_json, option=options).decode()
    except TypeError:  # DuckDB has integers of 128 bits
        return json.dumps(list(rows), default=_as_json, indent=2, ensure_ascii=False)


def _csv_line(fields: Sequence[str]) -> str:
    """Return one line of CSV; Python's own writer leaves a carriage return unquoted."""
    quoted = ['"' + field.replace('"', '""') + '"' if _SPECIAL.search(field) else field
              for field in fields]  # fmt: skip
    return (",".join(quoted) or '""') + "\n"


def _table(rows: Sequence[Row], names: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    numeric = {name for name in names if any(_is_number(row[name]) for row in rows)}
    for name in names:
        justify: JustifyMethod = "right" if name in numeric else "left"
        table.add_column(Text(name), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_as_text(row[name])) for name in names))
    return table


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _as_text(value: Any, timespec: str = "milliseconds") -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        moment = value.astimezone(UTC) if value.tzinfo else value
        return moment.isoformat(sep=" ", timespec=timespec).replace("+00:00", "Z")
    if isinstance(value, list | dict):
        return orjson.dumps(value, default=_as_json, option=orjson.OPT_NON_STR_KEYS).decode()
    return value.hex() if isinstance(value, bytes) else str(value)


def _as_json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.isoformat() if isinstance(value, date) else str(value)


def plain(text: str | None) -> str:
    """Return `text` so that nothing in it is taken for markup."""
    return escape(text or "")


def styled(markup: str) -> Text:
    """Return what `markup` stands for; `:words:` stay what they are."""
    return Text.from_markup(markup, emoji=False)


def coloured_status(status: str | None) -> str:
    """Return a status in its colour."""
    colour = STATUS_COLOURS.get(status or "", "white")
    return f"[{colour}]{plain(status)}[/]"


def human_duration(milliseconds: float | None) -> str:
    """Return a duration as people say it: 340 ms, 12.3 s, 4 m 05 s, 2 h 11 m."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} m"


def human_count(count: float | None) -> str:
    """Return a count in four characters or so: 812, 12.3k, 4.1M."""
    if count is None:
        return ""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if abs(count) >= size:
            divisor = 1e3 if unit == "k" else size
            return f"{count / divisor:.1f}{unit}"
    return f"{count:,.0f}"


def human_usd(usd: float | None) -> str:
    """Return a cost: two decimals, four where it is below a cent, nothing for none."""
    if not usd:
        return ""
    return f"${usd:,.2f}" if abs(usd) >= 0.01 else f"${usd:.4f}"


def human_ago(moment: datetime | None, now: datetime) -> str:
    """Return how long ago something was: 12 s, 5 m, 3 h, 2 d."""
    if moment is None:
        return ""
    seconds = (now - moment).total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{max(0, seconds):.0f} s ago"
