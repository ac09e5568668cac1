"""The site: ``make docs``. Pages are MyST Markdown, and myst-nb runs the notebooks among them."""
import glob
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
# A notebook runs in a folder of its own, with the package of this checkout and one thread.
os.environ['PYTHONPATH'] = os.pathsep.join(
    filter(None, [str(ROOT), os.environ.get('PYTHONPATH', '')]))
os.environ.setdefault('OMP_NUM_THREADS', '1')

from autokd_mm.version import __version__  # noqa: E402

project = 'autokd_mm'
author = 'The autokd_mm authors'
copyright = '2026, the autokd_mm authors'
version = release = __version__

# Sphinx's page of search results has this name: keys.md includes it, and links go there.
exclude_patterns = ['search.md']

extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']

myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 4  # links to headings as on GitHub
nb_execution_mode = 'cache'
nb_execution_cache_path = str(ROOT / 'build' / 'notebooks')
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_output_stderr = 'remove'

autodoc_default_options = {'members': True, 'imported-members': True, 'show-inheritance': True}
autodoc_member_order = 'bysource'
napoleon_use_ivar = True  # fields of a NamedTuple are documented once

html_theme = 'furo'
html_title = 'autokd_mm'


def _drop_empty_globs(app, page, source):
    """A pattern in the first page's table of contents stands for pages that need not be there."""
    if page == 'index':
        source[0] = '\n'.join(line for line in source[0].split('\n')
                              if not line.endswith('*')
                              or glob.glob(os.path.join(app.srcdir, f'{line}.md')))


def _lead_to_keys(app, page, source):
    if not page.startswith('api/'):  # which has a page of this name itself
        source[0] = re.sub(r'(?<=[(/])search\.md(?=[)#])', 'keys.md', source[0])


def setup(app):
    app.connect('source-read', _drop_empty_globs)
    app.connect('source-read', _lead_to_keys)
