"""From a search over mmpretrain's own backbone to weights that plain mmpretrain loads."""
import subprocess
import sys

import pytest

STUDENT = '''model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet_CIFAR', depth=18, in_channels=1, stem_channels=4, base_channels=4),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=32,
              loss=dict(type='CrossEntropyLoss')))
'''

LOAD = '''import sys
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from mmengine.registry import init_default_scope
init_default_scope('mmpretrain')
model = MODELS.build(Config.fromfile(sys.argv[1]).model)
checkpoint = torch.load(sys.argv[2], weights_only=True)
model.load_state_dict(checkpoint['state_dict'], strict=True)
model.eval()
assert model(torch.rand(2, 1, 8, 8)).shape == (2, 10)
loaded = [name for name in sys.modules if name.split('.')[0] in ('autokd_mm', 'mmrazor')]
assert not loaded, loaded
print('loaded', sorted(checkpoint))
'''


@pytest.mark.timeout(300)
def test_plain_mmpretrain_loads_the_student(search, tool, search_config, tmp_path):
    backbone = STUDENT.split('backbone=dict(')[1].split(',\n')[0]
    search_config.write_text(search_config.read_text() + f'''
model['architecture'] = dict(backbone=dict(_delete_=True, {backbone}, head=dict(in_channels=32))
train_cfg['layers'] = dict(student='backbone.layer3')
''')
    best = search('--trials', 2) / 'best_distiller.py'
    tool('train', best, '--work-dir', tmp_path / 'train')
    out = tool('export_student', tmp_path / 'train' / 'epoch_1.pth',
               tmp_path / 'new' / 'student.pth')
    assert 'tensors' in out and not list((tmp_path / 'new').glob('*.unfinished*'))
    (tmp_path / 'plain.py').write_text(STUDENT)
    # In a folder from which this package cannot be found.
    code = tmp_path / 'load.py'
    code.write_text(LOAD)
    process = subprocess.run([sys.executable, str(code), 'plain.py', 'new/student.pth'],
                             cwd=str(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             universal_newlines=True)
    assert process.returncode == 0 and "loaded ['meta', 'state_dict']" in process.stdout, \
        process.stdout


def test_not_a_distillation(tool, tiny_teacher, tmp_path):
    with pytest.raises(tool.Ended, match="has no parameter below 'architecture.'") as ended:
        tool('export_student', tiny_teacher, tmp_path / 'student.pth')
    assert ended.value.code == 2 and not (tmp_path / 'student.pth').exists()


@pytest.mark.parametrize('out', ['file/student.pth', 'file/below/student.pth'])
def test_out_that_cannot_be_written(tool, tmp_path, out):
    import torch
    torch.save(dict(state_dict={'architecture.a': torch.zeros(1)}), str(tmp_path / 'c.pth'))
    (tmp_path / 'file').write_text('')
    with pytest.raises(tool.Ended, match='OUT: .*cannot be written'):
        tool('export_student', tmp_path / 'c.pth', tmp_path / out)


def test_names_and_numbers(tool, tmp_path):
    import torch
    torch.save(dict(state_dict={'architecture.architecture.a': torch.ones(2),
                                'distiller.b': torch.zeros(1)}), str(tmp_path / 'c.pth'))
    tool('export_student', tmp_path / 'c.pth', tmp_path / 's.pth')
    found = torch.load(str(tmp_path / 's.pth'), weights_only=True)['state_dict']
    assert list(found) == ['architecture.a'] and found['architecture.a'].tolist() == [1, 1]


LOAD_DENSE = '''import sys
import types
import torch
try:
    import mmcv._ext
except ImportError:  # plain MMDetection cannot be imported without; none of it is called here
    class Nothing(types.ModuleType):
        def __getattr__(self, name):
            if name.startswith('_'):
                raise AttributeError(name)
            return print
    sys.modules['mmcv._ext'] = Nothing('mmcv._ext')
from mmengine.config import Config
from mmengine.registry import init_default_scope
scope = sys.argv[4]
init_default_scope(scope)
registry = __import__(f'{scope}.registry', fromlist=['MODELS'])
model = registry.MODELS.build(Config.fromfile(sys.argv[1]).model)
checkpoint = torch.load(sys.argv[2], weights_only=True)
model.load_state_dict(checkpoint['state_dict'], strict=True)
model.eval()
with torch.no_grad():
    found = model(torch.linspace(-2, 2, 2 * 3 * 64 * 64).view(2, 3, 64, 64), mode='tensor')
loaded = [name for name in sys.modules if name.split('.')[0] in ('autokd_mm', 'mmrazor')]
assert not loaded, loaded
torch.save(found, sys.argv[3])
'''


@pytest.mark.timeout(300)
@pytest.mark.parametrize('pair, scope', [('retinanet', 'mmdet'), ('deeplabv3', 'mmseg')])
def test_plain_mmdet_and_mmseg_load_the_student(tool, dense_config, tmp_path, pair, scope):
    import torch
    from mmengine.config import Config
    from mmengine.registry import DefaultScope

    from autokd_mm.engine.config import load_config
    from autokd_mm.registry import MODELS
    from autokd_mm.safe_load import load_weights
    path = dense_config('fitnet', pair)
    tool('train', path, '--work-dir', tmp_path / 'train')
    tool('export_student', tmp_path / 'train' / 'epoch_1.pth', tmp_path / 'student.pth')
    config = load_config(str(path))
    Config(dict(model=config.model.architecture)).dump(str(tmp_path / 'plain.py'))
    (tmp_path / 'load.py').write_text(LOAD_DENSE)
    process = subprocess.run(
        [sys.executable, 'load.py', 'plain.py', 'student.pth', 'found.pth', scope],
        cwd=str(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        universal_newlines=True)
    assert process.returncode == 0, process.stdout
    with DefaultScope.overwrite_default_scope(scope):
        distillation = MODELS.build(config.model)
    distillation.load_state_dict(
        load_weights(str(tmp_path / 'train' / 'epoch_1.pth'))['state_dict'], strict=True)
    student = distillation.architecture.eval()
    with torch.no_grad():
        wanted = student(torch.linspace(-2, 2, 2 * 3 * 64 * 64).view(2, 3, 64, 64), mode='tensor')
    pairs = list(zip(flat(torch.load(str(tmp_path / 'found.pth'))), flat(wanted)))
    assert len(pairs) == len(flat(wanted)) > 0
    for one, other in pairs:
        assert one.shape == other.shape
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)


def flat(value):
    return [value] if hasattr(value, 'shape') else [leaf for item in value for leaf in flat(item)]
