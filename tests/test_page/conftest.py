"""Browsers for pages."""
import os

import pytest

CHROMIUM = '/usr/bin/chromium'
ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
        '--disable-background-networking', '--disable-component-update', '--disable-sync']


@pytest.fixture(scope='session')
def browser():
    """Headless; Debian's where it is there, otherwise the one that playwright has installed."""
    api = pytest.importorskip('playwright.sync_api')
    with api.sync_playwright() as player:
        path = CHROMIUM if os.path.exists(CHROMIUM) else player.chromium.executable_path
        if not os.path.exists(path):
            pytest.skip(f'no Chromium: neither {CHROMIUM} nor that of `playwright install`')
        found = player.chromium.launch(executable_path=path, args=ARGS)
        yield found
        found.close()
