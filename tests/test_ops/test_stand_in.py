"""When the stand-in is taken, and what it says of operations that nobody wrote."""
import importlib.util
import pickle
import subprocess
import sys
import warnings
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import mmcv
import pytest
import torch
from mmcv.utils.ext_loader import check_ops_exist

from autokd_mm import compat, ops
from autokd_mm.errors import AutoKDWarning, OperationMissing, UserError
from autokd_mm.ops import stand_in as room

SUFFIX = EXTENSION_SUFFIXES[0]


def loaded(folder):
    """``mmcv._ext`` as our finder finds it in a folder."""
    finder = room._Extension('PACKAGE')
    spec = finder.find_spec('mmcv._ext', [str(folder)])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_is_one_finder():
    for _ in range(2):
        compat.stand_in_for_mmcv()
    assert sum(isinstance(finder, room._Extension) for finder in sys.meta_path) == 1


def test_it_answers_for_one_name_only():
    finder = room._Extension('PACKAGE')
    for name in ('mmcv', 'mmcv.ops', 'mmcv._ext2', '_ext', 'mmcv._ext.nms', 'torch'):
        assert finder.find_spec(name, mmcv.__path__) is None
    assert check_ops_exist()


def test_one_that_loads_is_used(tmp_path):
    (tmp_path / '_ext.py').write_text('nms = "compiled"')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        module = loaded(tmp_path)
    assert module.nms == 'compiled' and module.__spec__.origin == str(tmp_path / '_ext.py')
    assert not hasattr(module, 'softnms')


def test_none_is_replaced_without_a_word(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        module = loaded(tmp_path)
    assert isinstance(module, room.StandIn)


@pytest.mark.parametrize('version, told', [
    ('2.3.6', 'they were most likely built for another'),
    ('2.3.6+pt2.9.1cu128', 'they were built for torch 2.9.1'),
    ('2.3.6+torch2.9.cpu', 'they were built for torch 2.9')])
def test_one_that_does_not_load_is_replaced_with_a_warning(tmp_path, monkeypatch, version, told):
    (tmp_path / f'_ext{SUFFIX}').write_text('not an object file')
    monkeypatch.setattr('importlib.metadata.version', lambda name: version)
    with pytest.warns(AutoKDWarning) as told_by:
        module = loaded(tmp_path)
    assert isinstance(module, room.StandIn)
    (one, ) = told_by
    line = str(one.message)
    assert line.startswith(f'the compiled operations of onedl-mmcv {version} do not load with '
                           f'torch {torch.__version__}; {told} (')
    assert '\n' not in line and SUFFIX in line


def test_a_version_that_nobody_knows(monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr('importlib.metadata.version', version)
    assert room._package() == ('mmcv', 'most likely built for another')


def test_every_operation_is_where_the_table_says():
    module = room.StandIn('PACKAGE')
    for name, file in ops.OPERATIONS.items():
        assert getattr(module, name).__module__ == f'autokd_mm.ops.{file}'
        assert getattr(module, name).__doc__


def test_the_table_is_of_names_that_mmcv_asks_for():
    asking = ''.join(path.read_text(encoding='utf-8')
                     for path in Path(mmcv.__path__[0], 'ops').glob('*.py'))
    assert [name for name in ops.OPERATIONS if f"'{name}'" not in asking] == []


def test_one_that_nobody_wrote_says_so_when_it_is_called():
    module = room.StandIn('onedl-mmcv==2.3.6')
    ext = module.nms_rotated
    with pytest.raises(OperationMissing) as error:
        ext(torch.zeros(1, 5), iou_threshold=0.5)
    assert str(error.value) == (
        'nms_rotated is an operation of the compiled mmcv, which is not there, and has no '
        'stand-in; install it with: pip install onedl-mmcv==2.3.6')
    assert isinstance(error.value, UserError) and isinstance(error.value, NotImplementedError)
    with pytest.raises(AttributeError, match='__wrapped__'):
        getattr(module, '__wrapped__')  # noqa: B009
    with pytest.raises(TypeError):  # of a module, and not one of ours
        pickle.dumps(module)


WITHOUT_COMPILED = '''
import warnings
import autokd_mm
assert 'torch' not in __import__('sys').modules
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter('always')
    import mmcv.ops
    from autokd_mm import ops
told = [str(one.message) for one in told if 'compiled' in str(one.message)]
import torch
assert ops.stands_in() and len(told) == {warned}, told
boxes = torch.tensor([[0., 0, 4, 4], [0, 0, 4, 5]])
print(mmcv.ops.nms(boxes, torch.tensor([.5, .9]), 0.5)[1].tolist())
try:
    mmcv.ops.nms_rotated(torch.zeros(1, 5), torch.zeros(1), 0.5)
except Exception as error:
    print(type(error).__name__, error)
'''


@pytest.mark.parametrize('broken', [False, True])
def test_mmcv_in_a_process_of_its_own(tmp_path, broken):
    """mmcv as it is installed, but for its extension."""
    package = tmp_path / 'mmcv'
    package.mkdir()
    for path in Path(mmcv.__path__[0]).iterdir():
        if not path.name.startswith('_ext'):
            (package / path.name).symlink_to(path)
    if broken:
        (package / f'_ext{SUFFIX}').write_text('not an object file')
    run = subprocess.run(
        [sys.executable, '-c', f'import sys; sys.path.insert(0, {str(tmp_path)!r})\n'
         + WITHOUT_COMPILED.format(warned=int(broken))], capture_output=True, text=True,
        timeout=120)
    assert run.returncode == 0, run.stderr
    kept, missing = run.stdout.splitlines()
    assert kept == '[1]'
    assert missing.startswith('OperationMissing nms_rotated is an operation of the compiled mmcv')
    assert missing.endswith('pip install onedl-mmcv==2.3.6 built with MMCV_WITH_OPS=1 '
                            '(or mmcv==2.1.0)')
