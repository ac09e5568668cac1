"""A search as one page for a browser: what was found, how sure it is, what mattered.

``facts`` reads the studies, ``sections`` and ``branches`` (the tree) make values of them in the
words of ``meaning``, ``plots`` draws curves, ``render`` fills the templates. No torch, nothing of
OpenMMLab; jinja2 and matplotlib are imported where they are used.
"""
from autokd_mm.page.facts import Facts, facts_of
from autokd_mm.page.keeping import Page
from autokd_mm.page.render import PAGE, page, write_page

__all__ = ['Facts', 'PAGE', 'Page', 'facts_of', 'page', 'write_page']
