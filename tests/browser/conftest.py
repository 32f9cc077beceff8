"""A headless Chromium that reads reports: Debian's, driven by selenium. LOSSRT_REQUIRE_BROWSER=1 forbids skipping."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.page import Browser

INSTALL = "install them with `apt-get install chromium chromium-driver` and `pip install -e '.[browser]'`"
# Nothing leaves the machine, and root may start it.
SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-sync",
    "--disable-component-update",
    "--disable-background-networking",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    missing = [
        name
        for name, there in (
            ("chromium", program),
            ("chromedriver", driver),
            ("selenium", importlib.util.find_spec("selenium")),
        )
        if not there
    ]
    if missing:
        stop = pytest.fail if os.environ.get("LOSSRT_REQUIRE_BROWSER") == "1" else pytest.skip
        stop(f"{', '.join(missing)}: missing; {INSTALL}")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(program)
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options=options, service=Service(driver)) as started:
        yield Browser(started)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where a test writes its page."""
    return tmp_path / "report.html"
