"""Take the screenshots of the two pages that README shows. Needs playwright and Chromium.

    python docs/figures/screenshots.py      # after `make repro`, from the repository's root
"""

from pathlib import Path

from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1280, 860
FIGURES = Path(__file__).parent
SHOTS = {"explore": "#examples", "report": "#worst-clips"}


def main() -> None:
    """Write explore.png and report.png: the window after following a link of each page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        for name, anchor in SHOTS.items():
            page.goto(Path("reports", f"{name}.html").resolve().as_uri() + anchor)
            page.wait_for_timeout(1000)  # until the players know their durations
            page.screenshot(path=FIGURES / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
