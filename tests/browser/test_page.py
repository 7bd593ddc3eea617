"""The page in a real Chromium: it shows the lake, stays fresh, and runs nothing of the agents'."""

from __future__ import annotations

import json
import shlex
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from runfold.deploy.page.questions import AGENTS_SHOWN
from runfold.deploy.page.routes import page_routes
from runfold.producers.collector.app import build_app
from runfold.producers.collector.collector import Collector
from runfold.producers.collector.log_writer import LogWriter
from tests.ending_with_us import ending_with_us
from tests.lakes_of_events import LakeOfEvents, event, now_us

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
_WAIT_SECONDS = 60
_SCRIPT = "<script>document.title='taken'</script>"
_OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--window-size=1280,900",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    programs = [shutil.which(each) for each in ("chromium", "chromedriver")]
    assert all(programs), "there is no Chromium here; `make browser` installs Debian's"
    options = webdriver.ChromeOptions()
    options.binary_location = str(programs[0])
    for each in (*_OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(each)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    program = tmp_path_factory.mktemp("driver") / "chromedriver"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(ending_with_us([str(programs[1])]))} "$@"\n')
    program.chmod(0o755)
    driver = webdriver.Chrome(options=options, service=Service(str(program)))
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def served(lake: Path) -> Iterator[str]:
    """Serve the page over a lake, without a Kafka, which it does not need."""
    collector = Collector(LogWriter("127.0.0.1:1"))
    app = build_app(collector, [page_routes(collector, lake)])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        give_up_at = time.monotonic() + _WAIT_SECONDS
        while not server.started:
            assert time.monotonic() < give_up_at
            assert thread.is_alive()
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def a_fleet(lake: Path) -> LakeOfEvents:
    return LakeOfEvents(lake).put(
        event("crawl-1", "run.started", agent_name="crawler", project="docs"),
        event("crawl-1", "tool.started", 1, tool_name="fetch"),
        event("crawl-1", "tool.ended", 2, tool_name="fetch", status="success", duration_ms=840.0),
        event("crawl-1", "llm.called", 3, model="claude", input_tokens=1200, output_tokens=340),
        event("crawl-1", "run.ended", 4, status="success"),
        event("sum-1", "run.started", 2, agent_name="summarizer", parent_run_id="crawl-1"),
        event("sum-1", "error.raised", 3, error_message=_SCRIPT),
        event("sum-1", "run.ended", 4, status="failure"),
        recorded_at_us=now_us(),
    )  # fmt: skip


def text(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.TAG_NAME, "body").text


def test_a_reader_goes_from_the_fleet_to_a_run_to_its_sub_run(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    a_fleet(tmp_path / "lake")
    with served(tmp_path / "lake") as url:
        browser.get(url + "/")
        assert "crawler" in text(browser)
        assert "summarizer" in text(browser)
        browser.save_screenshot(str(SCREENSHOTS / "fleet.png"))
        browser.find_element(By.LINK_TEXT, "crawl-1").click()
        rows = [each.text for each in browser.find_elements(By.CSS_SELECTOR, "#timeline tr")]
        assert [row.split()[1] for row in rows[1:]] == [
            "run.started", "tool.started", "tool.ended", "llm.called", "run.ended",
        ]  # fmt: skip
        assert "840 ms" in rows[3]
        assert "1,200 → 340" in rows[4]
        browser.save_screenshot(str(SCREENSHOTS / "run.png"))
        browser.find_element(By.LINK_TEXT, "sum-1").click()
        assert browser.current_url == url + "/runs/sum-1"
        assert "failure" in text(browser)
        browser.find_element(By.LINK_TEXT, "crawl-1").click()
        assert browser.current_url == url + "/runs/crawl-1"
        said: Any = browser
        assert [each for each in said.get_log("browser") if each["level"] == "SEVERE"] == []


def test_what_agents_wrote_is_shown_and_never_run(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    a_fleet(tmp_path / "lake")
    with served(tmp_path / "lake") as url:
        browser.get(url + "/runs/sum-1")
        assert browser.title == "runfold: sum-1"
        assert _SCRIPT in text(browser)


def test_the_page_shows_what_is_new_without_a_reload(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    lake = a_fleet(tmp_path / "lake")
    with served(tmp_path / "lake") as url:
        browser.get(url + "/?agent_name=crawler")
        browser.execute_script("window.loadedOnce = true")
        assert "summarizer" not in text(browser)
        lake.put(event("crawl-2", "run.started", 9, agent_name="crawler"), recorded_at_us=now_us())
        WebDriverWait(browser, _WAIT_SECONDS).until(lambda _: "crawl-2" in text(browser))
        assert browser.execute_script("return window.loadedOnce")


def asked_for(browser: webdriver.Chrome) -> list[str]:
    """Return what pages have loaded since this was asked last."""
    said: Any = browser
    told = [json.loads(each["message"])["message"] for each in said.get_log("performance")]
    sent = [each["params"] for each in told if each["method"] == "Network.requestWillBeSent"]
    return [each["request"]["url"] for each in sent]


def test_the_apis_are_described_without_asking_any_other_host(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    wanted = {"/api/v1/events", "/v1/traces", "/healthz"}
    with served(tmp_path / "lake") as url:
        asked_for(browser)
        browser.get(url + "/docs")
        WebDriverWait(browser, _WAIT_SECONDS).until(
            lambda _: wanted <= set(text(browser).replace("\u200b", "").split())
        )
        one = browser.find_element(By.CSS_SELECTOR, "[data-path='/v1/traces']")
        one.click()
        WebDriverWait(browser, _WAIT_SECONDS).until(lambda _: "gen_ai.request" in text(browser))
        browser.save_screenshot(str(SCREENSHOTS / "docs.png"))
        loaded = [each for each in asked_for(browser) if each.startswith("http")]
        assert f"{url}/openapi.json" in loaded
        assert {each for each in loaded if not each.startswith(url + "/")} == set()
        said: Any = browser
        assert [each for each in said.get_log("browser") if each["level"] == "SEVERE"] == []


def test_a_lake_that_is_not_there_yet_is_said(browser: webdriver.Chrome, tmp_path: Path) -> None:
    with served(tmp_path / "no-lake") as url:
        browser.get(url + "/")
        assert "Nothing to show yet" in text(browser)
        browser.get(url + "/runs/nobody")
        assert "Nothing to show yet" in text(browser)


def test_long_names_do_not_widen_the_page_on_a_phone(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    word, texts = "w" * 200, {"error_type": "E" * 80, "error_message": "m" * 3000}
    LakeOfEvents(tmp_path / "lake").put(
        event(word, "run.started", agent_name=word, project=word),
        event(word, "tool.ended", 1, tool_name=word, attributes='{"path":"' + "p" * 900 + '"}'),
        event(word, "run.ended", 2, status="failure", **texts),
        recorded_at_us=now_us(),
    )
    narrow = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    try:
        with served(tmp_path / "lake") as url:
            for path in ("/", f"/runs/{word}"):
                browser.get(url + path)
                assert "w" * 20 in text(browser)
                width = "return document.documentElement.scrollWidth"
                assert browser.execute_script(width) == 390
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_of_many_agents_the_last_are_shown_and_all_on_demand(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    LakeOfEvents(tmp_path / "lake").put(
        *(event(f"r-{n}", "run.started", n, agent_name=f"agent-{n:02}") for n in range(30)),
        recorded_at_us=now_us(),
    )
    agents = "//h2[starts-with(., 'Agents')]/following::table[1]//td/a"
    with served(tmp_path / "lake") as url:
        browser.get(url + "/")
        shown = [each.text for each in browser.find_elements(By.XPATH, agents)]
        assert shown == [f"agent-{n:02}" for n in range(29, 29 - AGENTS_SHOWN, -1)]
        browser.find_element(By.LINK_TEXT, "all").click()
        assert len(browser.find_elements(By.XPATH, agents)) == 30


def test_a_lake_without_runs_says_what_brings_some(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    a_fleet(tmp_path / "lake")
    with served(tmp_path / "lake") as url:
        browser.get(url + "/?agent_name=nobody")
        assert "No runs like these yet" in text(browser)
