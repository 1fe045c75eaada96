"""Take the picture of the page that README.md shows: `.venv/bin/python scripts/picture.py`, after scripts/demo.

The demo's collection is ingested if it is not there, served by `search serve`, and asked one question in a headless Chromium.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from search.cli.demo import COLLECTION, prepare
from search.cli.options import load_settings
from search.searcher import open_search

ROOT = Path(__file__).parents[1]
QUESTION = "temporary directory that is deleted afterwards"
SIZE = {"width": 860, "height": 620}  # CSS pixels


def main() -> None:
    """Ingest, serve, ask, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="where the demo's collection is; default: the settings'")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "page.png")
    arguments = parser.parse_args()
    settings = load_settings(arguments.data_dir, COLLECTION)
    with open_search(settings) as searcher:
        prepare(searcher, lambda _: None)
    with serving(settings.data_dir, COLLECTION) as url:
        take(url, QUESTION, arguments.out)


@contextmanager
def serving(data_dir: Path, collection: str) -> Iterator[str]:
    """The URL of a service that ends with the context."""
    command = [str(Path(sys.executable).parent / "search"), "serve", "--port", "0", "--log", "none"]
    command += ["--data-dir", str(data_dir), "--collection", collection]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:  # noqa: S603  # our own words
        try:
            lines = service.stderr or ()
            url = next((url for line in lines if (url := re.search(r"http://[\d.]+:\d+", line))), None)
            if url is None:
                sys.exit("the service did not start; run the same with search serve to see why")
            yield url[0]
        finally:
            service.terminate()


def take(url: str, question: str, out: Path) -> None:
    """Ask the page a question, and write what it shows as a PNG."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no chromium here; install it first (on Debian: apt-get install chromium)")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, device_scale_factor=1.5, color_scheme="light")  # type: ignore[arg-type]
        page.goto(url)
        for _ in range(2):  # the first search loads and warms the models
            page.get_by_role("searchbox").fill(question)
            page.keyboard.press("Enter")
            expect(page.locator("#results > li").first).to_be_visible(timeout=60_000)
            expect(page.get_by_text("Searching …")).to_have_count(0, timeout=60_000)
        page.screenshot(path=out)
        browser.close()


if __name__ == "__main__":
    main()
