import ast
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from autokd_mm.bank.manifest import TornBank
from autokd_mm.engine.pruning import CandidatePruned
from autokd_mm.errors import (AutoKDError, AutoKDWarning, CandidateFailed, CheckpointError,
                              ConfigError, DataError, DegenerateBatchWarning, StudyError,
                              UserError, nearest)
from autokd_mm.proxy.ranks import CandidateOver, RankLost
from autokd_mm.search.tabular import Failed
from autokd_mm.space.walk import NotOffered
from autokd_mm.study.patience import StorageAway

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize('word, valid, told', [
    ('foo', ['food', 'bar'], "'foo' is unknown, did you mean 'food'? Valid: food, bar"),
    ('xyz', ['food', 'bar'], "'xyz' is unknown. Valid: food, bar"),
    (57, (56, 20), "'57' is unknown, did you mean '56'? Valid: 56, 20"),
    ('b', dict(a=1, b2=2), "'b' is unknown, did you mean 'b2'? Valid: a, b2"),
    ('x', [], "'x' is unknown. Valid: "),
])
def test_nearest(word, valid, told):
    assert nearest(word, valid) == told


def test_long_lists_are_cut():
    told = nearest('n14', [f'n{i:02d}' for i in range(15)])
    assert told.startswith("'n14' is unknown, did you mean 'n14'? Valid: n00, n01")
    assert told.endswith('n11 and 3 more')
    assert nearest('x', 'abc', shown=2).endswith('Valid: a, b and 1 more')


def test_a_config_error_is_a_value_error():
    assert issubclass(ConfigError, ValueError)


# ------------------------------------------------------------------------------ the family
@pytest.mark.parametrize('cls', [ConfigError, DataError, CheckpointError])
def test_mistakes_of_values(cls):
    assert issubclass(cls, UserError) and issubclass(cls, ValueError)


def test_what_is_never_a_distillers_fault():
    """A candidate that raises a ValueError or a RuntimeError has failed, and the search goes on."""
    for cls in (StudyError, StorageAway, RankLost, CandidateOver, CandidatePruned):
        assert not issubclass(cls, (ValueError, RuntimeError))


@pytest.mark.parametrize('cls, base', [
    (StorageAway, StudyError), (NotOffered, ConfigError), (Failed, CandidateFailed),
    (TornBank, AutoKDError), (RankLost, AutoKDError), (CandidateOver, AutoKDError),
    (CandidatePruned, AutoKDError)])
def test_the_rooms_errors_belong_to_the_family(cls, base):
    assert issubclass(cls, base) and issubclass(base, AutoKDError)
    assert not issubclass(cls, UserError) or issubclass(base, UserError)


def test_every_error_of_the_package_belongs_to_the_family():
    """Classes that are named in a ``class`` statement with Exception, RuntimeError or ValueError
    alone; ``early_stop._Enough`` and ``half._Nothing`` never leave their files."""
    found = set()
    for path in (ROOT / 'autokd_mm').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.ClassDef):
                bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                if bases and bases <= {'Exception', 'BaseException', 'RuntimeError', 'ValueError'}:
                    found.add(node.name)
    assert found == {'AutoKDError', '_Enough', '_Nothing'}


@pytest.mark.parametrize('cls', [AutoKDError, UserError, ConfigError, DataError, CheckpointError,
                                 StudyError, CandidateFailed])
def test_one_message_and_through_a_pickle(cls):
    """Workers of a dataloader and ranks send them."""
    sent = pickle.loads(pickle.dumps(cls('key: a line')))
    assert type(sent) is cls and str(sent) == 'key: a line'


def test_warnings_can_be_filtered():
    assert issubclass(DegenerateBatchWarning, AutoKDWarning)
    assert issubclass(AutoKDWarning, UserWarning)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('ignore', AutoKDWarning)
        warnings.warn('ours', DegenerateBatchWarning, stacklevel=1)
        assert not seen


def test_the_file_imports_only_the_standard_library():
    path = ROOT / 'autokd_mm' / 'errors.py'
    done = subprocess.run(
        [sys.executable, '-c', f'''
import importlib.util, sys
spec = importlib.util.spec_from_file_location('errors', {str(path)!r})
spec.loader.exec_module(importlib.util.module_from_spec(spec))
print([name for name in sys.modules if name.split('.')[0] in (
    'torch', 'numpy', 'mmengine', 'mmcv', 'mmrazor', 'optuna', 'autokd_mm')])'''],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.stdout.strip() == '[]', done.stderr
