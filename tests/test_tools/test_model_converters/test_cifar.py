import os
import pickle
from pathlib import Path

import pytest
import torch

from autokd_mm.errors import CheckpointError, ConfigError
from autokd_mm.models.backbones import CifarResNet

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / 'tools' / 'model_converters' / 'cifar.py'


@pytest.fixture
def published(tmp_path):
    """A ResNet-8 in akamaster's layout."""
    weights = {f'module.{key}': value for key, value in CifarResNet(8).state_dict().items()
               if not key.endswith('num_batches_tracked')}
    weights['module.linear.weight'] = torch.randn(10, 64)
    weights['module.linear.bias'] = torch.randn(10)
    path = tmp_path / 'resnet8.th'
    torch.save({'state_dict': weights, 'best_prec1': 50.0}, path)
    return path


def test_converted_file_loads_strictly_into_an_image_classifier(tool, published, tmp_path):
    from mmengine.runner import load_checkpoint
    from mmpretrain.registry import MODELS
    tool('model_converters/cifar', published, tmp_path / 'out.pth', '--arch', 'resnet8')
    checkpoint = torch.load(tmp_path / 'out.pth', weights_only=True)
    assert checkpoint['meta']['source'] == 'resnet8.th'
    model = MODELS.build(dict(
        type='ImageClassifier', backbone=checkpoint['meta']['backbone'],
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=64)))
    load_checkpoint(model, str(tmp_path / 'out.pth'), map_location='cpu', strict=True)
    source = torch.load(published, weights_only=True)['state_dict']
    assert torch.equal(model.head.fc.weight, source['module.linear.weight'])
    assert torch.equal(model.backbone.layer3[0].bn2.running_var,
                       source['module.layer3.0.bn2.running_var'])


class Evil:

    def __reduce__(self):
        return os.system, ('touch EVIL', )


def test_refusals_are_one_line_and_write_nothing(published, tmp_path):
    from importlib.util import module_from_spec, spec_from_file_location
    spec = spec_from_file_location('converter', SCRIPT)
    converter = module_from_spec(spec)
    spec.loader.exec_module(converter)
    torn, evil, other = (tmp_path / name for name in ('torn', 'evil', 'other'))
    torn.write_bytes(published.read_bytes()[:5000])
    evil.write_bytes(pickle.dumps({'state_dict': Evil()}))
    torch.save({'features.0.weight': torch.ones(1)}, other)
    for src, dst, arch, words in (
            (tmp_path / 'none', 'out', '', 'SRC: there is no file'),
            (torn, 'out', '', 'SRC: .*torn cannot be read'),
            (evil, 'out', '', 'SRC: .*evil cannot be read'),
            (other, 'out', '', 'SRC: .*other: not a published CIFAR network'),
            (published, 'out', 'resnet20', 'is a resnet8, not a resnet20'),
            (published, 'no/such/out', '', 'DST: cannot write')):
        with pytest.raises((CheckpointError, ConfigError), match=words) as raised:
            converter.convert(str(src), str(tmp_path / dst), arch)
        assert '\n' not in str(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'evil', 'other', 'resnet8.th', 'torn']
    assert not Path('EVIL').exists()


def test_exit_code_and_message_of_the_command(tool, tmp_path):
    with pytest.raises(tool.Ended) as ended:
        tool('model_converters/cifar', tmp_path / 'none', tmp_path / 'out.pth')
    assert ended.value.code == 2 and ended.value.err.startswith('error: SRC: ')
