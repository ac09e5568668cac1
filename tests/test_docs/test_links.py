"""Relative links of the README and of the pages lead somewhere, to a heading, too."""
import re
from pathlib import Path

import pytest
from printed_pages import ROOT

PAGES = sorted(ROOT.glob('*.md')) + sorted(
    path for path in (ROOT / 'docs').rglob('*.md') if '_build' not in path.parts) + sorted(
    (ROOT / 'configs').rglob('README.md'))
_CODE = re.compile(r'^```.*?^```|`[^`\n]*`', re.S | re.M)
_LINK = re.compile(r'\]\(([^)\s]+)\)')


def anchors(path):
    """Of the headings of a page, as GitHub and MyST make them."""
    text = re.sub(r'^```.*?^```', '', path.read_text(encoding='utf-8'), flags=re.S | re.M)
    found = set()
    for heading in re.findall(r'^#+ (.*)$', text, re.M):
        words = re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', heading).lower()
        slug = re.sub(r'[^\w\- ]', '', words).strip().replace(' ', '-')
        found.add(slug if slug not in found else f'{slug}-1')
    return found


@pytest.mark.parametrize('page', PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page):
    text = _CODE.sub('', page.read_text(encoding='utf-8'))
    for link in _LINK.findall(text):
        if re.match(r'[a-z]+:', link):
            continue
        name, _, anchor = link.partition('#')
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert ROOT in (target, *target.parents), f'{link} leaves the project'
        if anchor:
            assert anchor in anchors(target), link


def test_every_picture_is_shown_somewhere():
    shown = ''.join(page.read_text(encoding='utf-8') for page in PAGES)
    pictures = [path for path in (ROOT / 'docs' / 'images').iterdir() if path.is_file()]
    assert pictures and all(f'images/{path.name}' in shown for path in pictures)


def test_a_link_to_nowhere_is_noticed(tmp_path):
    page = Path(tmp_path / 'page.md')
    page.write_text('# One heading\n\n[a](other.md) `[b](c.md)`\n')
    assert anchors(page) == {'one-heading'}
    assert _LINK.findall(_CODE.sub('', page.read_text())) == ['other.md']
