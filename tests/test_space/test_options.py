import re
from pathlib import Path

from autokd_mm.space import LEVELS, options


def test_every_level_has_options():
    assert tuple(options.DEFAULT_OPTIONS) == LEVELS
    assert set(options.NUMERIC_LEVELS) < set(LEVELS)
    assert set(options.BOX_LEVELS) < set(LEVELS)
    assert set(options.SCHEDULE_LEVELS) < set(LEVELS)
    assert set(options.BOX_TRANSFORMS) < set(options.DEFAULT_OPTIONS['transform'])
    assert set(options.RELATION_DISTANCES) < set(options.DEFAULT_OPTIONS['distance'])


def test_the_defaults_are_those_of_the_docs():
    """The table of docs/search_space.md, row by row."""
    text = (Path(__file__).parents[2] / 'docs' / 'search_space.md').read_text()
    rows = [[cell.strip() for cell in line.strip('|').split('|')]
            for line in text.splitlines() if line.startswith('| `')]
    told = {}
    for levels, choices, *_ in rows:
        names = re.findall('`([a-z_]+)`', levels)
        if set(names) <= set(options.DEFAULT_OPTIONS):
            for name, some in zip(names, choices.split(';') if len(names) > 1 else [choices]):
                words = re.findall('`([a-z0-9_]+)`', some)
                told[name] = tuple(words or map(float, re.findall(r'[0-9.]+', some.split('(')[0])))
    assert told == options.DEFAULT_OPTIONS


def test_the_defaults_are_valid_options():
    assert options.checked_options(options.DEFAULT_OPTIONS) == options.DEFAULT_OPTIONS


def test_one_option_may_stand_alone():
    assert options.checked_options(dict(distance='l2', temperature=2.5, patch_grid=[3])) == dict(
        distance=('l2', ), temperature=(2.5, ), patch_grid=(3, ))
