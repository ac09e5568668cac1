"""What ``autokd_mm.search`` and ``autokd_mm.space`` promise is there, and explained."""
import inspect
import re
from dataclasses import is_dataclass

import pytest

from autokd_mm import search, space

NAMES = [(room, name) for room in (search, space) for name in room.__all__]


@pytest.mark.parametrize('room', [search, space])
def test_what_is_imported_is_what_is_promised(room):
    assert list(room.__all__) == sorted(room.__all__)
    imported = {name for name, value in vars(room).items()
                if not name.startswith('_') and not inspect.ismodule(value)}
    assert imported == set(room.__all__)


def test_a_missing_word_is_found():
    assert unexplained(lambda seed, policy: None, 'Args:\n    seed: of all choices') == ['policy']


def unexplained(function, text):
    """The arguments that a docstring does not name."""
    return [name for name in inspect.signature(function).parameters
            if not re.search(rf'\b{name}\b', text)]


@pytest.mark.parametrize('room, name', NAMES, ids=[name for _, name in NAMES])
def test_public_names_are_explained(room, name):
    value = getattr(room, name)
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return  # a constant or a union of two classes
    text = value.__doc__ or ''
    assert text and not text.startswith(f'{name}('), 'no docstring'  # dataclasses make one
    if inspect.signature(value).parameters:
        assert 'Args:' in text or 'Attributes:' in text
    assert not unexplained(value, text)
    made = is_dataclass(value) or hasattr(value, '_fields')  # its __init__ has no source
    source = '' if made else inspect.getsource(value.__init__ if inspect.isclass(value) else value)
    assert 'raise ' not in source or 'Raises:' in text


@pytest.mark.parametrize('room, name', NAMES, ids=[name for _, name in NAMES])
def test_public_methods_are_explained(room, name):
    value = getattr(room, name)
    if not inspect.isclass(value):
        return
    for method, function in vars(value).items():
        function = getattr(function, '__func__', function)
        theirs = any(hasattr(base, method) for base in value.__mro__[1:])
        if method.startswith('_') or not inspect.isfunction(function) or theirs:
            continue
        assert inspect.getdoc(function), f'{name}.{method}'
        assert 'raise ' not in inspect.getsource(function) or 'Raise' in function.__doc__, method
