"""`runfold dlq show KEY`: everything that is known of one dead letter."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.table import Table
from rich.text import Text

from runfold.deploy.cli.dlq.selection import Topic, letter_of, read_index, read_key
from runfold.deploy.cli.tables import Row, print_rows
from runfold.deploy.cli.terminal import EXIT_USAGE, OUT, Broker, DataDir, Format, fail
from runfold.deploy.settings import Settings, load_settings
from runfold.processors.dead_letter_index import LetterEntry
from runfold.processors.dead_letter_log import DeadLetterLog
from runfold.schemas.codec.confluent import event_framing
from runfold.schemas.codec.partial import Readable, read_what_can_be
from runfold.schemas.kept_letter import KeptLetter

_SHOWN_BYTES = 256
_LINE_BYTES = 16


def show(
    key: Annotated[str, typer.Argument(help="partition/offset, as ls --each shows it.")],
    raw: Annotated[
        Path | None, typer.Option("--raw", metavar="FILE", help="Write the record's bytes there.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", "-f", help="How to print.")] = Format.TABLE,
    topic: Topic = None,
    broker: Broker = None,
    data_dir: DataDir = None,
) -> None:
    """Show one dead letter: why, its bytes, what can be read of it, what was done about it."""
    settings = load_settings(topic=topic, broker=broker, data_dir=data_dir)
    wanted = read_key(key, settings.topic)
    entry = letter_of(wanted, read_index(settings.bootstrap).entries())
    letter = asyncio.run(_letter(settings, entry))
    if raw is not None:
        _write(letter, raw)
    readable = read_what_can_be(letter.value, event_framing(settings.schema_registry))
    if output is Format.TABLE:
        OUT.print(_table(entry, letter, readable))
    else:
        print_rows([_row(entry, letter, readable)], output)


async def _letter(settings: Settings, entry: LetterEntry) -> KeptLetter:
    letters = [
        each async for some in DeadLetterLog(settings.bootstrap).letters([entry]) for each in some
    ]
    return letters[0]


def _write(letter: KeptLetter, file: Path) -> None:
    if letter.value is None:
        raise fail("the record has no value: there is nothing to write", code=EXIT_USAGE)
    try:
        file.write_bytes(letter.value)
    except OSError as error:
        raise fail(f"cannot write {file}: {error.strerror}") from error


def _row(entry: LetterEntry, letter: KeptLetter, readable: Readable) -> Row:
    return {
        "key": entry.place.key,
        "topic_id": entry.place.topic_id,
        "reason": entry.reason,
        "message": entry.message,
        "recorded_at": entry.recorded_at,
        "state": entry.state.value,
        "record_key": entry.run_id,
        "headers": [{"name": name, "value": _text(value)} for name, value in letter.headers],
        "bytes": entry.value_bytes,
        "first_bytes": None if letter.value is None else letter.value[:_SHOWN_BYTES].hex(),
        "event": readable.event,
        "unreadable_from": readable.ends_at,
        "resolutions": [
            {"state": each.state.value, "at": each.at, "event_id": each.event_id, "by": each.by}
            for each in entry.resolutions
        ],
    }


def _table(entry: LetterEntry, letter: KeptLetter, readable: Readable) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, text in _facts(entry, letter, readable):
        if text:
            table.add_row(name, Text(text))
    return table


def _facts(
    entry: LetterEntry, letter: KeptLetter, readable: Readable
) -> list[tuple[str, str | None]]:
    size = "none" if letter.value is None else f"{len(letter.value):,} bytes"
    return [
        ("letter", entry.place.key),
        ("topic id", entry.place.topic_id),
        ("reason", entry.reason),
        ("message", entry.message),
        ("recorded", f"{entry.recorded_at:%Y-%m-%d %H:%M:%S.%f} UTC"),
        ("key", "none" if letter.key is None else _text(letter.key)),
        *(("header", f"{name}: {_text(value)}") for name, value in letter.headers),
        ("value", size),
        ("bytes", _dump((letter.value or b"")[:_SHOWN_BYTES])),
        ("readable", _readable(readable)),
        ("state", entry.state.value),
        *(("history", _history(each)) for each in entry.resolutions),
    ]


def _readable(readable: Readable) -> str:
    if readable.event is None:
        return "nothing"
    text = orjson.dumps(readable.event, option=orjson.OPT_INDENT_2, default=str).decode()
    return text if readable.ends_at is None else f"{text}\nand nothing from {readable.ends_at} on"


def _history(resolution: Any) -> str:
    by = f" by {resolution.by}" if resolution.by else ""
    at = f"{resolution.at:%Y-%m-%d %H:%M:%S} UTC"
    return f"{at}  {resolution.state.value}{by} as event {resolution.event_id}"


def _text(value: bytes | None) -> str | None:
    """Return bytes as text where they are some, else as hexadecimal digits."""
    if value is None:
        return None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value.hex()
    return text if text.isprintable() else value.hex()


def _dump(content: bytes) -> str:
    lines = []
    for start in range(0, len(content), _LINE_BYTES):
        line = content[start : start + _LINE_BYTES]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in line)
        lines.append(f"{start:04x}  {line.hex(' '):<{3 * _LINE_BYTES}} {text}")
    return "\n".join(lines)
