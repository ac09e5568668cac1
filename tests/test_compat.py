import importlib
import importlib.metadata as metadata
import importlib.util
import subprocess
import sys
from types import ModuleType

import mmcv
import numpy as np
import pytest
from mmengine.config import Config, utils

from autokd_mm import compat, ops


def fresh(code, timeout=240):
    """Run ``code`` in a process that has imported nothing."""
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          timeout=timeout)


# ---------------------------------------------------------------------- the finder
def finders():
    return [finder for finder in sys.meta_path if isinstance(finder, compat._EmptyModules)]


def test_there_is_one_finder():
    compat.prepare()
    compat.prepare()
    assert len(finders()) == 1


def test_it_answers_for_its_six_names_only():
    finder = finders()[0]
    assert len(compat._QUANTISATION) == 6
    for name in compat._QUANTISATION:
        assert finder.find_spec(name).loader is finder
        for near in (name + 'x', name[:-1], name.rsplit('.', 1)[0], name + '.base',
                     name.split('.', 1)[1]):
            assert near in compat._QUANTISATION or finder.find_spec(near) is None
    for name in ('torch', 'mmrazor', 'mmrazor.models', 'mmrazor.models.losses', 'numpy', 'os'):
        assert finder.find_spec(name) is None


def test_what_it_serves_is_inert():
    for name, classes in compat._QUANTISATION.items():
        module = importlib.import_module(name)
        assert module.__all__ == list(classes)
        for one in classes:
            assert isinstance(getattr(module, one)(), object)
    with pytest.raises(ImportError):
        importlib.import_module('mmrazor.models.quantizers.base')


def test_mmrazor_is_usable():
    import mmrazor.models
    assert mmrazor.models.SingleTeacherDistill
    assert mmrazor.models.algorithms.MMArchitectureQuant


def test_mmcv_shows_its_own_version_again():
    versions = []
    for name in ('onedl-mmcv', 'mmcv', 'mmcv-lite'):
        try:
            versions.append(metadata.version(name))
        except metadata.PackageNotFoundError:
            pass
    assert mmcv.__version__ in versions


@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
def test_hues_turn_back(backend):
    """A third of a turn back makes red blue, one on makes it green."""
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 2] = 255  # BGR
    back, on = (mmcv.adjust_hue(red, hue, backend=backend) for hue in (-1 / 3, 1 / 3))
    assert back[0, 0].argmax() == 0 and on[0, 0].argmax() == 1
    assert back.dtype == np.uint8 and back[0, 0].max() > 250
    with pytest.raises(ValueError):
        mmcv.adjust_hue(red, -0.6, backend=backend)


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < '2.0.0',
                    reason='earlier ones let negative numbers wrap around')
def test_one_that_does_not_turn_back_is_mended(monkeypatch):
    """mmcv 2.2's addition, and what else it does, stays."""
    def theirs(img, hue_factor, backend=None):
        """Their words."""
        return img + np.uint8(hue_factor * 255), backend

    for module in (mmcv, mmcv.image, mmcv.image.photometric):
        monkeypatch.setattr(module, 'adjust_hue', theirs)
    compat.let_hues_turn_back()
    mended = mmcv.adjust_hue
    assert mended is mmcv.image.photometric.adjust_hue is mmcv.image.adjust_hue is not theirs
    assert mended.__doc__ == 'Their words.'
    image = np.full((1, 1, 3), 100, np.uint8)
    assert mended(image, -0.2, backend='x')[0].tolist() == [[[49, 49, 49]]]
    assert mended(image, 0.2, 'x')[1] == 'x' and mended(image, 0.2)[0][0, 0, 0] == 151
    compat.let_hues_turn_back()
    assert mmcv.adjust_hue is mended


# ---------------------------------------------------------------------- what is missing
@pytest.mark.parametrize('package, error, reason, install', [
    ('mmcv', ModuleNotFoundError("No module named 'mmcv'"),
     "ModuleNotFoundError: No module named 'mmcv'", '--no-deps mmcv-lite==2.2.0'),
    ('mmcv', ImportError('libtorch.so: cannot open\nshared object'), 'ImportError: libtorch.so: '
     'cannot open', '--no-deps mmcv-lite==2.2.0'),
    ('mmengine', AssertionError('too old'), 'AssertionError: too old', 'onedl-mmengine==0.10.12'),
    ('mmrazor.models', RuntimeError(), 'RuntimeError: ', 'mmrazor==1.0.0'),
    ('optuna', ModuleNotFoundError('x'), 'ModuleNotFoundError: x', '"optuna>=4"'),
    ('another', ModuleNotFoundError('x'), 'ModuleNotFoundError: x', 'another'),
])
def test_one_line_says_what_to_install(monkeypatch, package, error, reason, install):

    def fail(name):
        raise error

    monkeypatch.setattr(compat.importlib, 'import_module', fail)
    with pytest.raises(ImportError) as info:
        compat.require(package)
    assert str(info.value).startswith(
        f'autokd_mm cannot use {package} ({reason}); install it with: pip install {install}')
    assert '\n' not in str(info.value) and info.value.__suppress_context__


def test_require_gives_the_module():
    assert compat.require('mmcv') is mmcv
    assert isinstance(compat.require('mmrazor.models'), ModuleType)


BLOCK = '''
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Block())
'''


def test_a_missing_package_in_a_fresh_process():
    done = fresh(BLOCK.format(name='mmcv') + 'import mmengine, autokd_mm')
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: autokd_mm cannot use mmcv (ModuleNotFoundError: No module "
                           "named 'mmcv'); install it with: pip install --no-deps mmcv-lite==2.2.0")
    assert 'During handling' not in done.stderr and 'direct cause' not in done.stderr


# ---------------------------------------------------------------------- import order
@pytest.mark.parametrize('first', ['import mmpretrain.models, mmdet.models',
                                   'from autokd_mm.registry import MODELS'])
def test_import_order_does_not_matter(first):
    if 'mmdet' in first and ops.stands_in():
        pytest.skip('without the compiled mmcv, mmdet.models can be imported behind us only')
    code = f'''
{first}
import mmcv
before = mmcv.__version__
import autokd_mm
assert mmcv.__version__ == before, mmcv.__version__
from mmrazor.registry import MODELS
assert MODELS.get('mmrazor.FrozenTeacherDistill') and MODELS.get('mmrazor.SingleTeacherDistill')
'''
    done = fresh(code)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == ''


def test_the_space_alone_imports_no_torch():
    """With the package's own __init__ out of the way, as a tool that only reads a study may."""
    code = '''
import sys
from types import ModuleType
package = ModuleType('autokd_mm')
package.__path__ = [sys.argv[1] if len(sys.argv) > 1 else {path!r}]
sys.modules['autokd_mm'] = package
from autokd_mm.space import DistillerSpace
import autokd_mm.search
assert DistillerSpace().count() > 500_000
assert not [name for name in sys.modules if name.split('.')[0] in ('torch', 'mmengine', 'mmcv')]
'''.format(path=str(compat.__file__).rsplit('compat', 1)[0])
    done = fresh(code)
    assert done.returncode == 0, done.stderr[-2000:]


# ---------------------------------------------------------------------- mmseg bases
@pytest.mark.skipif(importlib.util.find_spec('mmseg') is None, reason='mmseg is optional')
def test_mmseg_bases_are_found(tmp_path):
    assert utils.MODULE2PACKAGE['mmseg'] in ('mmseg', 'mmsegmentation')
    path = tmp_path / 'config.py'
    path.write_text("_base_ = 'mmseg::_base_/models/fcn_r50-d8.py'\n")
    assert Config.fromfile(str(path)).model.type == 'EncoderDecoder'


@pytest.mark.parametrize('base, kind', [
    ('mmdet::_base_/models/retinanet_r50_fpn.py', 'RetinaNet'),
    ('mmpretrain::_base_/models/resnet18.py', 'ImageClassifier')])
def test_other_bases_are_found(tmp_path, base, kind):
    if importlib.util.find_spec(base.split(':')[0]) is None:
        pytest.skip('optional')
    path = tmp_path / 'config.py'
    path.write_text(f'_base_ = {base!r}\n')
    assert Config.fromfile(str(path)).model.type == kind
