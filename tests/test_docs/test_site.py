"""The site is built without a warning; its notebooks are run by ``make docs``."""
import re

import pytest
from printed_pages import ROOT

sphinx = pytest.importorskip('sphinx.application')
for name in ('myst_nb', 'furo'):
    pytest.importorskip(name)


@pytest.mark.timeout(300)
def test_the_site_is_built_without_a_warning(tmp_path, monkeypatch):
    """In this process, which has imported what the API reference needs; all but the writing of
    HTML, which is half of the time and which ``make docs`` does."""
    monkeypatch.setenv('PYTHONPATH', '')  # conf.py adds to it
    said = open(str(tmp_path / 'warnings'), 'w+')
    app = sphinx.Sphinx(str(ROOT / 'docs'), str(ROOT / 'docs'), str(tmp_path / 'out'),
                        str(tmp_path / 'doctrees'), 'dummy', status=None, warning=said,
                        confoverrides=dict(nb_execution_mode='off'))
    app.build()
    said.seek(0)
    assert said.read() == ''
    assert 'weights and the temperature' in app.env.get_doctree('index').astext()
    assert 'Which images' in app.env.get_doctree('keys').astext()
    described = {name for name, *_ in app.env.get_domain('py').get_objects()}
    assert {'autokd_mm.models.losses.FeatureLoss', 'autokd_mm.search.MCTSSampler'} <= described


def test_notebooks_have_no_outputs_and_a_kernel():
    """Written in Markdown; a header makes a page a notebook."""
    pages = sorted((ROOT / 'docs' / 'tutorials').glob('*.md'))
    assert len(pages) >= 4
    for page in pages:
        text = page.read_text(encoding='utf-8')
        assert text.startswith('---\n') and 'name: python3' in text, page
        assert re.search(r'^```\{code-cell\}', text, re.M), page
