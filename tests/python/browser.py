"""Headless Chromium, with what the tests of a report ask it."""

import json
import shutil
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.remote.webelement import WebElement

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTH, HEIGHT = 1280, 1240


def installed(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise FileNotFoundError(f"{name} is missing: install Debian's packages chromium and chromium-driver")
    return path


class Browser:
    """A Chromium that logs what pages request and complain about."""

    def __init__(self):
        options = webdriver.ChromeOptions()
        options.binary_location = installed("chromium")
        for flag in FLAGS:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        # A dialog is an error, and is not closed.
        options.set_capability("unhandledPromptBehavior", "ignore")
        self.driver = webdriver.Chrome(options=options, service=Service(installed("chromedriver")))
        self.window(WIDTH, HEIGHT)

    def quit(self):
        self.driver.quit()

    def cdp(self, command: str, **arguments):
        return self.driver.execute_cdp_cmd(command, arguments)

    def window(self, width: int, height: int):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.cdp("Emulation.setDeviceMetricsOverride", **metrics)

    def media(self, media: str = "", scheme: str = "light"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.cdp("Emulation.setEmulatedMedia", media=media, features=features)

    def open(self, file: Path):
        """Opens a file in a new document, and forgets what was logged before."""
        self.driver.get("about:blank")
        self.driver.get_log("performance")
        self.driver.get_log("browser")
        self.driver.get(file.as_uri())

    def run(self, script: str, *arguments):
        """The value of a script's `return`. The page's Content-Security-Policy does not apply to it."""
        return self.driver.execute_script(script, *arguments)

    def run_async(self, script: str, *arguments):
        """The value that an asynchronous function with this body returns."""
        wrapped = f"const done = arguments[arguments.length - 1]; (async () => {{ {script} }})().then(done);"
        return self.driver.execute_async_script(wrapped, *arguments)

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements("css selector", selector)

    def press(self, *keys: str):
        """Presses keys, one after the other, wherever the focus is."""
        chain = ActionChains(self.driver, duration=0)
        for key in keys:
            chain.send_keys(key)
        chain.perform()

    def spent(self) -> float:
        """The milliseconds of script, style and layout since the page was opened."""
        self.cdp("Performance.enable")
        metrics = {metric["name"]: metric["value"] for metric in self.cdp("Performance.getMetrics")["metrics"]}
        return 1000 * sum(metrics[f"{part}Duration"] for part in ("Script", "RecalcStyle", "Layout"))

    def requested(self) -> list[str]:
        """The addresses that were requested since the last call or `open`."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent]

    def complaints(self) -> list[str]:
        """What the console has: errors of scripts, and what the Content-Security-Policy refused."""
        return [entry["message"] for entry in self.driver.get_log("browser")]
