"""The page as one file that needs nothing beside it."""
from __future__ import annotations

import base64
import os
from datetime import datetime
from pathlib import Path
from typing import Optional, Sequence

from optuna.study import Study

from autokd_mm.errors import ConfigError
from autokd_mm.page import commands, meaning, plots, sections
from autokd_mm.page.branches import grow
from autokd_mm.page.facts import Facts, facts_of
from autokd_mm.page.numbers import duration, number, percent, signed
from autokd_mm.version import __version__
from autokd_mm.whole_file import whole_file

PAGE = 'report.html'
_TEMPLATES = Path(__file__).parent / 'templates'
_LARGEST = 2 ** 20  # bytes of a picture that goes into the page


def write_page(work_dir: str, study: Optional[Study], final: Optional[Study],
               path: Optional[str] = None, at_work: bool = False) -> str:
    """Write the page of a search in one step; returns its path.

    Args:
        work_dir: of the search. study, final: its studies, which may not be there yet.
        path: to write; by default ``report.html`` in the work dir.
        at_work: it is the search that writes, between two of its runs.

    Raises:
        ConfigError: jinja2 is not installed.
        StudyError: the studies cannot be read.
        OSError: the file cannot be written.
    """
    path = path or os.path.join(work_dir, PAGE)
    text = page(facts_of(work_dir, study, final, at_work))
    with whole_file(path, 'w', encoding='utf-8', errors='replace') as file:
        file.write(text)
    return path


def page(facts: Facts) -> str:
    """The page.

    Raises:
        ConfigError: jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        raise ConfigError('a page needs jinja2, which is not installed: pip install jinja2') \
            from None
    loader = Environment(loader=FileSystemLoader(str(_TEMPLATES)), autoescape=True,
                         undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    loader.filters.update(signed=signed, number=number, percent=percent, duration=duration,
                          option=meaning.option_text, level=meaning.name_of,
                          command=command)
    drawn = plots.installed()
    pictures = {name: draw(facts) if drawn else None
                for name, draw in (('course', plots.course), ('curves', plots.curves))}
    rows, left = sections.trials(facts)
    return loader.get_template('report.html').render(
        facts=facts, name=os.path.basename(os.path.abspath(facts.work_dir)),
        style=Markup((_TEMPLATES / 'style.css').read_text(encoding='utf-8')),
        answer=sections.answer(facts), sure=sections.sure(facts),
        mattered=sections.mattered(facts), believed=sections.prior(facts),
        tree=grow(facts.done, facts.top.number if facts.top is not None else None),
        pictures={name: found and (Markup(found[0]), found[1])
                  for name, found in pictures.items()},
        missing='' if drawn else plots.MISSING, rows=rows, rows_left=left,
        cost=sections.cost(facts), repeat=commands.repeat(facts), maps=_picture(facts),
        here=os.getcwd(), best=sections.best_so_far(facts),
        version=__version__, now=datetime.now().strftime('%Y-%m-%d %H:%M'))


def command(words: Sequence[str]) -> str:
    """A command whose lines break between its words alone, as it is drawn; copied it is one."""
    from markupsafe import Markup
    return Markup('<pre>{}</pre>').format(Markup(' ').join(
        Markup('<span>{}</span>').format(word) for word in words))


def maps_of(work_dir: str, number: int) -> str:
    """Where the picture is that shows the maps of a winner."""
    return os.path.join(work_dir, f'maps_trial_{number}.png')


def _picture(facts: Facts) -> str:
    """Maps of the winner as a data URL; '' where there are none."""
    if facts.top is None:
        return ''
    try:
        with open(maps_of(facts.work_dir, facts.top.number), 'rb') as file:
            content = file.read(_LARGEST + 1)
    except OSError:
        return ''
    if len(content) > _LARGEST or not content.startswith(b'\x89PNG'):
        return ''
    return 'data:image/png;base64,' + base64.b64encode(content).decode()
