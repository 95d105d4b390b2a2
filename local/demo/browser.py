"""A real Chromium without a screen, which trusts a certificate authority only where it was installed, as people do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.wait import WebDriverWait

from local import dockerd_packages

PROGRAMS = {"chromium": "chromium", "chromium-driver": "chromedriver", "libnss3-tools": "certutil"}
TIMEOUT_S = 240
"""Only guards against waiting for ever."""
WINDOW = "1280,800"
NOTEBOOK_CARD = ".jp-LauncherCard[data-category='Notebook']"
CELL = ".jp-Notebook .jp-Cell .cm-content"
OUTPUT = ".jp-OutputArea-output"


@contextmanager
def browser(home: Path, authority: Path) -> Iterator[WebDriver]:
    """A browser with a home folder of its own, in which the PEM file `authority` is installed.

    Raises MissingPackagesError where it is not there and cannot be installed.
    """
    dockerd_packages.provide_programs(PROGRAMS)
    _install(authority, home)
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    arguments = ["headless=new", "no-sandbox", "hide-scrollbars", f"user-data-dir={home / 'profile'}"]
    for argument in [*arguments, f"window-size={WINDOW}"]:
        options.add_argument(f"--{argument}")
    service = Service("/usr/bin/chromedriver", env={**os.environ, "HOME": str(home)})
    driver = webdriver.Chrome(options=options, service=service)
    try:
        driver.set_page_load_timeout(TIMEOUT_S)
        yield driver
    finally:
        driver.quit()


def run_cell(driver: WebDriver, url: str, code: str) -> str:
    """Open JupyterLab, start a notebook and run one cell, by mouse and keyboard; answers what it printed."""
    wait = WebDriverWait(driver, TIMEOUT_S)
    driver.get(url)
    wait.until(lambda page: page.find_elements(By.CSS_SELECTOR, NOTEBOOK_CARD))[0].click()
    wait.until(lambda page: "| Idle" in page.find_element(By.TAG_NAME, "body").text)
    cell = driver.find_elements(By.CSS_SELECTOR, CELL)[0]
    keys = ActionChains(driver).click(cell).send_keys(code)
    keys.key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).perform()
    printed = wait.until(lambda page: [each.text for each in page.find_elements(By.CSS_SELECTOR, OUTPUT) if each.text])
    return "\n".join(printed)


def _install(authority: Path, home: Path) -> None:
    """What the page at /ca says for Chrome on Linux."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True, exist_ok=True)
    for arguments in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "GPULease", "-i", str(authority)]):
        subprocess.run(["certutil", "-d", f"sql:{store}", *arguments], check=True, capture_output=True)
