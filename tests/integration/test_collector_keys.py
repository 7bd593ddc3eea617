"""Keys from their creation to their end, at two collectors, with and without TLS."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path

import httpx
import pytest
import trustme
from aiokafka import AIOKafkaConsumer
from typer.testing import CliRunner

from runfold.deploy.cli.app import app
from runfold.deploy.embedded import KafkaServer
from runfold.producers.key_log import KeyLog
from runfold.schemas.access_key import AccessKey
from tests.collector_process import CollectorProcess
from tests.integration.stack_parts import WAIT_SECONDS, wait_until

EVENT = b'{"event_id":"k-1","run_id":"r","event_type":"run.started","occurred_at":1,"host":"h1"}'


def typed(kafka: KafkaServer, *words: str) -> str:
    """Run `runfold keys`; return what it printed."""
    done = CliRunner().invoke(app, ["keys", *words, "--broker", kafka.bootstrap])
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def post(url: str, key: str | None, verify: ssl.SSLContext | bool = True) -> httpx.Response:
    """Send an event with that key."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    with httpx.Client(verify=verify, timeout=WAIT_SECONDS) as client:
        return client.post(f"{url}/api/v1/events", content=EVENT, headers=headers)


def wait_for(status: int, url: str, key: str, verify: ssl.SSLContext | bool) -> None:
    """Wait until that key is answered so."""
    wait_until(lambda: post(url, key, verify).status_code == status, f"{status} from {url}")


def test_a_key_is_made_limited_rotated_and_revoked_at_all_collectors_within_seconds(
    kafka: KafkaServer, topic_name: str, tmp_path: Path
) -> None:
    [made] = json.loads(typed(kafka, "create", "--project", "shop", "--host", "h1", "-f", "json"))
    secret, key_id = made["key"], made["key_id"]
    other = typed(kafka, "create", "--host", "h2")
    reader = typed(kafka, "create", "--scope", "read", "--expires", "1d")
    authority = trustme.CA()
    files = {"cert": tmp_path / "cert.pem", "key": tmp_path / "key.pem"}
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(files["key"])
    for each in certificate.cert_chain_pems:
        each.write_to_path(files["cert"], append=True)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)

    tls = ("--tls-cert", str(files["cert"]), "--tls-key", str(files["key"]))
    place = (kafka.bootstrap, topic_name)
    with (
        CollectorProcess(*place, tmp_path / "a", "--require-keys") as plain,
        CollectorProcess(*place, tmp_path / "b", "--listen", "0.0.0.0:0", *tls) as exposed,
    ):
        secure = exposed.url.replace("http:", "https:")
        doors: list[tuple[str, ssl.SSLContext | bool]] = [(plain.url, True), (secure, trusted)]
        for url, verify in doors:
            wait_for(200, url, secret, verify)
            assert post(url, secret, verify).json() == {"accepted": 1, "rejected": []}
            assert post(url, None, verify).status_code == 401
            in_url = url.replace("://", f"://key:{secret}@")
            assert post(in_url, None, verify).status_code == 200
            assert post(url, secret[:-1], verify).status_code == 403
            assert post(url, reader, verify).status_code == 403
            [refused] = post(url, other, verify).json()["rejected"]
            assert refused["reason"] == "other_host"
        assert httpx.get(f"{exposed.health_url}/readyz", timeout=WAIT_SECONDS).status_code == 200

        rotated = typed(kafka, "rotate", key_id, "--grace", "1h")
        for url, verify in doors:
            wait_for(200, url, rotated, verify)
            assert post(url, secret, verify).status_code == 200
        typed(kafka, "revoke", key_id)
        for url, verify in doors:
            wait_for(403, url, rotated, verify)
            assert post(url, secret, verify).status_code == 403
        logs = plain.said() + exposed.said()

    everything = typed(kafka, "ls", "--all", "-f", "json")
    shown = {each["key_id"]: each for each in json.loads(everything)}
    assert (shown[key_id]["standing"], shown[key_id]["project"]) == ("revoked", "shop")
    assert key_id not in typed(kafka, "ls", "-f", "csv")
    for presented in (secret, rotated, other, reader):
        assert presented.partition("_")[2].partition("_")[2] not in logs + everything
    [stored] = [each for each in asyncio.run(plain.events()) if each.run_id == "r"]
    assert (stored.project, stored.host) == ("shop", "h1")


async def test_keys_are_followed_where_the_broker_hears_late_of_their_topic(
    kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await asyncio.to_thread(typed, kafka, "create", "-f", "json")
    heard = AIOKafkaConsumer.topics
    late = [set[str]()]

    async def topics(consumer: AIOKafkaConsumer) -> set[str]:
        listed = await heard(consumer)
        return late.pop() if late else listed

    monkeypatch.setattr(AIOKafkaConsumer, "topics", topics)
    found: dict[str, AccessKey | None] = {}
    complete = asyncio.Event()
    async with KeyLog(kafka.bootstrap).following(found.__setitem__, complete.set):
        await asyncio.wait_for(complete.wait(), WAIT_SECONDS)
    assert json.loads(made)[0]["key_id"] in found


def test_a_wrong_use_is_refused_with_its_name(kafka: KafkaServer) -> None:
    for words, named in (
        (("revoke", "nobody"), "nobody"),
        (("create", "--expires", "soon"), "--expires"),
        (("create", "--sha256", "12"), "--sha256"),
    ):
        done = CliRunner().invoke(app, ["keys", *words, "--broker", kafka.bootstrap])
        assert done.exit_code != 0
        assert named in str(done.exception)
