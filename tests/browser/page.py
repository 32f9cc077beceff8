"""One page in a browser: opened with a theme and a width, asked by selectors."""

__all__ = ["Browser"]

import base64
from pathlib import Path
from typing import Any

CONTRAST = """
const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
const linear = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const behind = (element) => {
  const layers = [];
  for (let at = element; at; at = at.parentElement) {
    const [r, g, b, a = 1] = numbers(getComputedStyle(at).backgroundColor);
    layers.push([r, g, b, a]);
    if (a === 1) break;
  }
  return layers.reduceRight((under, [r, g, b, a]) => [r, g, b].map((v, i) => a * v + (1 - a) * under[i]), [255, 255, 255]);
};
const found = new Map();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest("script, style, legend")) continue;
  const style = getComputedStyle(element);
  const ink = numbers(element.closest("svg") ? style.fill : style.color);
  const [one, other] = [light(ink), light(behind(element))];
  const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  const what = `${element.localName}.${element.className.baseVal ?? element.className}`;
  if (!found.has(what) || found.get(what) > ratio) found.set(what, ratio);
}
return Object.fromEntries(found);
"""


class Browser:
    """A driver of selenium with what the tests ask of it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(
        self, page: Path, *, theme: str = "light", width: int = 1280, scripts: bool = True, fragment: str = ""
    ) -> None:
        """Open a file in a new state: theme, width in CSS px, and whether its scripts run."""
        self.command("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )
        self.media("screen", theme)
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get(f"{page.as_uri()}{fragment}")

    def media(self, kind: str, theme: str) -> None:
        """Show the page as on a screen or on paper, in a theme."""
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.command("Emulation.setEmulatedMedia", media=kind, features=features)

    def command(self, name: str, **options: Any) -> Any:
        """Send a command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, options)

    def run(self, script: str, *values: Any) -> Any:
        """Run a script in the page and return what it returns."""
        return self.driver.execute_script(script, *values)

    def messages(self) -> list[str]:
        """Return what the page has written to the console since it was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def shown(self, selector: str) -> list[str]:
        """Return the texts of the visible elements that match."""
        script = "return [...document.querySelectorAll(arguments[0])].filter(e => e.checkVisibility()).map(e => e.textContent)"
        return list(self.run(script, selector))

    def click(self, selector: str) -> None:
        """Click the first match, where the user would."""
        from selenium.webdriver.common.by import By

        element = self.driver.find_element(By.CSS_SELECTOR, selector)
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def write(self, selector: str, text: str) -> None:
        """Write into a field in the place of what is there."""
        from selenium.webdriver.common.by import By

        field = self.driver.find_element(By.CSS_SELECTOR, selector)
        field.clear()
        field.send_keys(text)

    def contrasts(self) -> dict[str, float]:
        """Return the lowest contrast of visible text with what is behind it, by kind of element (WCAG 2.2)."""
        return dict(self.run(CONTRAST))

    def opening_ms(self) -> float:
        """Return the milliseconds from the start of the navigation to the end of its load event."""
        return float(self.run("return performance.getEntriesByType('navigation')[0].loadEventEnd"))

    def picture(self, path: Path) -> None:
        """Write what the window shows as PNG."""
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"]))
