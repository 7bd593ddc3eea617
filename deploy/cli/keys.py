"""`runfold keys`: who may send to a collector, and read from it."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from runfold.deploy.cli.runs import duration
from runfold.deploy.cli.tables import Row, print_rows
from runfold.deploy.cli.terminal import ERR, OUT, Broker, DataDir, Format
from runfold.deploy.settings import load_settings
from runfold.schemas.access_key import AccessKey, Scope, digest_of, new_key_id, new_secret
from runfold.schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from runfold.producers.key_log import KeyLog

keys_app = typer.Typer(
    name="keys",
    no_args_is_help=True,
    help="Say who may send to the collector, and read from it.",
)

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_COLUMNS = (
    "key_id",
    "standing",
    "scopes",
    "project",
    "host",
    "requests_per_second",
    "created_at",
    "expires_at",
    "description",
)
_ONCE = "[dim]It is shown this once: runfold keeps a digest. Send it as X-API-Key or bearer.[/]"

Output = Annotated[Format, typer.Option("--format", "-f", help="How to print.")]
KeyId = Annotated[str, typer.Argument(help="The key's id, as `runfold keys ls` has it.")]


@keys_app.command("create")
def create(
    scope: Annotated[
        list[Scope] | None,
        typer.Option("--scope", help="What it allows; may be given several times; admin is all."),
    ] = None,
    project: Annotated[
        str | None,
        typer.Option("--project", help="All that it sends and reads belongs to this project."),
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="It sends events of this host only.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="SPAN", help="Valid so long, like 90d.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option("--rate", min=0.001, help="Requests a second; others are told to wait."),
    ] = None,
    description: Annotated[str, typer.Option("--description", help="Whose it is.")] = "",
    sha256: Annotated[
        str | None,
        typer.Option(
            "--sha256",
            metavar="HEX",
            help="Let in a key that exists elsewhere, by its SHA-256, in place of a new one.",
        ),
    ] = None,
    output: Output = Format.TABLE,
    broker: Broker = None,
    data_dir: DataDir = None,
) -> None:
    """Make a key and print it, this once. It allows to send (`ingest`) where no scope is given."""
    if sha256 is not None and not _SHA256.fullmatch(sha256.lower()):
        raise ConfigurationError("--sha256: 64 hexadecimal digits are a SHA-256")
    now = _now()
    key_id = new_key_id()
    secret = None if sha256 is not None else new_secret(key_id)
    key = AccessKey(
        key_id,
        digest_of(secret) if secret is not None else bytes.fromhex(sha256 or ""),
        tuple(scope or [Scope.INGEST]),
        now,
        description=description,
        project=project,
        host=host,
        expires_at=None if expires is None else now + _us(expires, "--expires"),
        requests_per_second=rate,
    )
    asyncio.run(_log(broker, data_dir).write(key))
    _hand_out(key, secret, output)


@keys_app.command("ls")
def ls(
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Revoked and expired ones too.")
    ] = False,
    output: Output = Format.TABLE,
    broker: Broker = None,
    data_dir: DataDir = None,
) -> None:
    """List the keys, newest first, without their secrets."""
    keys = asyncio.run(_log(broker, data_dir).read()).values()
    now = _now()
    rows = [
        _row(each, now)
        for each in sorted(keys, key=lambda key: -key.created_at)
        if everything or each.standing(now) == "valid"
    ]
    if output is Format.TABLE and not rows:
        OUT.print("no keys; `runfold keys create` makes one")
        return
    print_rows(rows, output, _COLUMNS)


@keys_app.command("revoke")
def revoke(key_id: KeyId, broker: Broker = None, data_dir: DataDir = None) -> None:
    """Let a key in no more, within seconds, at all collectors."""
    asyncio.run(_revoke(_log(broker, data_dir), key_id))
    OUT.print(f"revoked {key_id}")


@keys_app.command("rotate")
def rotate(
    key_id: KeyId,
    grace: Annotated[
        str, typer.Option("--grace", metavar="SPAN", help="The old secret is valid so long; or 0.")
    ] = "24h",
    output: Output = Format.TABLE,
    broker: Broker = None,
    data_dir: DataDir = None,
) -> None:
    """Give a key another secret, and print it, this once. The old one is valid for a while."""
    secret = new_secret(key_id)
    overlap = timedelta() if grace.strip() == "0" else timedelta(microseconds=_us(grace, "--grace"))
    key = asyncio.run(_rotate(_log(broker, data_dir), key_id, digest_of(secret), overlap))
    _hand_out(key, secret, output)


async def _revoke(log: KeyLog, key_id: str) -> None:
    from dataclasses import replace

    key = await _known(log, key_id)
    if key.revoked_at is None:
        await log.write(replace(key, revoked_at=_now()))


async def _rotate(log: KeyLog, key_id: str, digest: bytes, grace: timedelta) -> AccessKey:
    now = _now()
    key = await _known(log, key_id)
    if key.standing(now) != "valid":
        raise ConfigurationError(f"key {key_id} is {key.standing(now)}; create another")
    rotated = key.rotated(digest, now=now, grace=grace)
    await log.write(rotated)
    return rotated


async def _known(log: KeyLog, key_id: str) -> AccessKey:
    keys = await log.read()
    if key_id not in keys:
        raise ConfigurationError(f"there is no key {key_id!r}; `runfold keys ls --all` lists them")
    return keys[key_id]


def _hand_out(key: AccessKey, secret: str | None, output: Format) -> None:
    if output is Format.TABLE:
        OUT.print(secret or f"key {key.key_id} is let in")
        if secret is not None:
            ERR.print(_ONCE)
    else:
        shown = {"key_id": key.key_id, "key": secret, **_row(key, _now())}
        print_rows([shown], output)


def _row(key: AccessKey, now: int) -> Row:
    row = {
        "key_id": key.key_id,
        "standing": key.standing(now),
        "scopes": " ".join(key.scopes),
        "project": key.project,
        "host": key.host,
        "requests_per_second": key.requests_per_second,
        "created_at": _moment(key.created_at),
        "expires_at": _moment(key.expires_at),
        "description": key.description,
    }
    return {name: row[name] for name in _COLUMNS}


def _moment(us: int | None) -> datetime | None:
    return None if us is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


def _us(text: str, option: str) -> int:
    span = duration(text)
    if span is None:
        raise ConfigurationError(f"{option}: {text!r} is no time span, like 30m, 24h or 90d")
    return round(span.total_seconds() * 1_000_000)


def _now() -> int:
    return time.time_ns() // 1000


def _log(broker: str | None, data_dir: object) -> KeyLog:
    from runfold.producers.key_log import KeyLog

    return KeyLog(load_settings(broker=broker, data_dir=data_dir).bootstrap)
