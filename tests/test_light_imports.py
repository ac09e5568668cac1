"""The search needs NumPy and Optuna alone; everything is registered before it can be built."""
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Only what `pip install autokd_mm` brings: NumPy, Optuna and what Optuna requires.
ALONE = '''
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution

def files_of(name, seen):
    """Top folders and modules of a distribution and of all that it requires."""
    if name in seen:
        return set()
    seen.add(name)
    try:
        found = distribution(name)
    except PackageNotFoundError:  # for another platform
        return set()
    tops = {file.parts[0].split('.')[0] for file in found.files or ()}
    for line in found.requires or ():
        if 'extra ==' not in line:
            tops |= files_of(re.match('[A-Za-z0-9._-]+', line).group(0), seen)
    return tops

class Alone:
    allowed = files_of('optuna', set()) | files_of('numpy', set()) | {'autokd_mm'}

    def find_spec(self, name, path=None, target=None):
        top = name.split('.')[0]
        if path is not None or top in self.allowed:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None and 'site-packages' in str(spec.origin):
                raise ModuleNotFoundError(f'No module named {name!r}', name=name)

sys.meta_path.insert(0, Alone())
'''
BLOCK_MMCV = '''
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name == 'mmcv':
            raise ModuleNotFoundError("No module named 'mmcv'", name=name)
sys.meta_path.insert(0, Block())
'''
ONE_LINE = ("autokd_mm cannot use mmcv (ModuleNotFoundError: No module named 'mmcv'); install it "
            'with: pip install --no-deps mmcv-lite==2.2.0')


def fresh(code, *args):
    """Run ``code`` in a process that has imported nothing."""
    return subprocess.run([sys.executable, '-c', code, *args], capture_output=True, text=True,
                          timeout=240)


def test_a_search_with_numpy_and_optuna_alone():
    done = fresh(ALONE + '''
import resource
import numpy
import optuna

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
from autokd_mm.search import MCTSSampler
from autokd_mm.space import DistillerSpace
megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
assert megabytes < 60, megabytes

space = DistillerSpace(dict(transform=['none', 'spatial_attention']))
study = optuna.create_study(direction='maximize', sampler=MCTSSampler(seed=0))
study.optimize(lambda trial: space.suggest(trial).feature_weight, n_trials=20)
assert study.best_value == 50
try:
    import torch
except ModuleNotFoundError:
    pass
else:
    raise AssertionError('torch was not blocked')
found = {name.split('.')[0] for name in sys.modules}
assert not found & {'torch', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'mmrazor',
                    'sklearn', 'scipy', 'rich', 'joblib', 'cv2', 'matplotlib'}, found
''')
    assert done.returncode == 0, done.stderr[-2000:]


LOOK = '''
from mmengine.registry import DATASETS, HOOKS, LOOPS, MODELS
for registry, name in ((LOOPS, 'SearchLoop'), (MODELS, 'FeatureLoss'), (DATASETS, 'SeededViews'),
                       (MODELS, 'FrozenTeacherDistill'), (HOOKS, 'SparseTrainingHook')):
    assert registry.get(f'mmrazor.{name}').__module__.startswith('autokd_mm.'), name
assert not [one for one in sys.meta_path if type(one).__module__ == 'autokd_mm.registration']
'''


def test_our_package_first(tmp_path):
    for name in ('mmengine-0.10.7', 'onedl_mmengine-0.10.12'):  # in front of what is installed
        (tmp_path / f'{name}.dist-info').mkdir()
        text = 'Name: {}\nVersion: {}\n'.format(*name.split('-'))
        (tmp_path / f'{name}.dist-info' / 'METADATA').write_text(text)
    done = fresh('''
import sys
sys.path.insert(0, sys.argv[1])
import autokd_mm
assert not {'torch', 'mmengine', 'mmcv', 'mmrazor'} & set(sys.modules)
from mmengine.config import utils
from importlib.metadata import PackageNotFoundError, distribution
try:
    distribution('mmsegmentation')
except PackageNotFoundError:
    assert utils.MODULE2PACKAGE['mmseg'] == 'mmseg'  # as `_base_ = 'mmseg::...'` needs it
import mmengine
assert 'mmrazor' not in sys.modules
''' + LOOK + '''
import mmcv, mmrazor
assert mmrazor.__spec__.loader is mmrazor.__loader__
assert type(mmrazor.__loader__).__module__ != 'autokd_mm.registration'
autokd_mm.register_all_modules()
from mmengine import DefaultScope
assert DefaultScope.get_current_instance() is None
autokd_mm.register_all_modules(init_default_scope=True)
assert DefaultScope.get_current_instance().scope_name == 'mmrazor'
''', str(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == ''
    assert len(re.findall('InstallationWarning: .*engine and .*engine; mend', done.stderr)) == 1


@pytest.mark.parametrize('first', ['import mmengine, autokd_mm; assert "mmrazor" in sys.modules',
                                   'import autokd_mm.proxy.trainer',
                                   'import autokd_mm, mmrazor.models.losses'])
def test_other_orders(first):
    done = fresh(f'import sys\n{first}\n{LOOK}')
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == ''


def test_what_is_missing_is_told_at_first_use_and_again():
    done = fresh(BLOCK_MMCV + '''
import warnings
import autokd_mm
for module in ('mmrazor', 'autokd_mm.engine', 'mmrazor.registry'):
    with warnings.catch_warnings(record=True):
        try:
            __import__(module)
        except ImportError as error:
            print(error)
            assert error.__suppress_context__ and module not in sys.modules
warnings.simplefilter('error')  # MMEngine passes over errors of imports, not over this
from mmengine.registry import LOOPS
LOOPS.get('mmrazor.SearchLoop')
''')
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stderr[-2000:]
    assert all(line.startswith(ONE_LINE) for line in lines)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith('UserWarning: ' + ONE_LINE)


def test_a_tool_tells_what_is_missing_in_one_line():
    done = fresh(BLOCK_MMCV + '''
import runpy
tool = sys.argv[1]
sys.argv = [tool, 'config.py']
sys.path.insert(0, tool.rsplit('/', 1)[0])
runpy.run_path(tool, run_name='__main__')
''', str(ROOT / 'tools' / 'train.py'))
    assert done.returncode != 0
    assert done.stderr.startswith('error: ' + ONE_LINE) and len(done.stderr.splitlines()) == 1
