"""A browser without a window, where there is one."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")


def lacking() -> str:
    """What the tests would need and there is not, or ""."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed"
    if not _browser():
        return f"none of {', '.join(BROWSERS)} is installed"
    return "" if shutil.which("chromedriver") else "chromedriver is not installed"


def _browser() -> str | None:
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def browsing() -> Iterator[Any]:
    """A browser that keeps what its console says."""
    from selenium.webdriver import Chrome
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = _browser() or ""
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def visit(driver: Any, file: Path, width: int, scheme: str = "light") -> None:
    """Open the file in a window of that width, all that can be unfolded unfolded."""
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
    driver.get(file.as_uri())
    driver.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
