"""The browser that pages and notebooks are looked at in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rungbook.book.slides import find_browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium that is installed; playwright brings none."""
    from playwright.sync_api import sync_playwright

    found = find_browser()
    if found is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()
