import pytest

from autokd_mm.datasets.digit_scenes import ensure_scenes
from autokd_mm.engine.config import load_config
from autokd_mm.pairs.forms import read_forms
from autokd_mm.zoo import make_pair


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('scenes')
    ensure_scenes(str(folder), train=8, val=4, size=64)
    return str(folder)


@pytest.fixture
def pair(tmp_path):
    """``pair(teacher, student)`` writes pair.py; returns what :func:`make_pair` says, and the
    config as the tools read it."""

    def write(teacher, student, **options):
        found = make_pair(str(teacher), str(student), str(tmp_path / 'pair.py'), **options)
        config = load_config(found.path)
        read_forms(config)
        return found, config

    return write
