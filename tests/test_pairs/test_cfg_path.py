import pytest
from mmengine.config import Config, ConfigDict

from autokd_mm.errors import ConfigError
from autokd_mm.pairs.cfg_path import expand, use_new_names
from autokd_mm.registry import MODELS

RESNET = 'resnet/resnet18_8xb32_in1k.py'


def test_as_mmrazor_builds_it():
    from mmengine.hub import get_model
    wanted = dict(cfg_path=f'mmpretrain::{RESNET}', pretrained=False)
    network = expand(ConfigDict(architecture=dict(wanted)), 'model').architecture
    ours, theirs = MODELS.build(network), get_model(**wanted)
    assert str(ours) == str(theirs)
    assert (ours.data_preprocessor.mean == theirs.data_preprocessor.mean).all()
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_what_a_model_says_of_its_images_counts_before_the_top_of_its_config(tmp_path):
    """As in the training with that config."""
    own = dict(type='ImgDataPreprocessor', mean=[1.0], std=[2.0])
    path = tmp_path / 'c.py'
    for model, wanted in ((dict(type='X', data_preprocessor=own), [1.0]), (dict(type='X'), [3.0])):
        path.write_text(f'model = {model!r}\ndata_preprocessor = dict(mean=[3.0], std=[1.0])\n')
        found = expand(ConfigDict(teacher=dict(cfg_path=str(path)))).teacher
        assert found.data_preprocessor['mean'] == wanted


@pytest.mark.parametrize('path, kind', [
    (f'mmcls::{RESNET}', 'ImageClassifier'), (f'mmpretrain::{RESNET}', 'ImageClassifier'),
    ('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', 'RetinaNet'),
    ('mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py', 'EncoderDecoder'),
    ('mmrazor::vanilla/mmcls/wide-resnet/wrn16-w2_b16x8_cifar10.py', 'ImageClassifier')])
def test_every_package(path, kind):
    found = expand(ConfigDict(teacher=dict(cfg_path=path))).teacher
    assert found.type.split('.')[-1] == kind and found.data_preprocessor and 'cfg_path' not in found


def test_weights():
    wanted = dict(cfg_path=f'mmcls::{RESNET}', pretrained=True)
    found = expand(ConfigDict(architecture=dict(wanted), teacher=dict(wanted)))
    url = found.architecture.init_cfg.checkpoint
    assert url.startswith('https://') and found.architecture.init_cfg.type == 'Pretrained'
    assert found.teacher_ckpt == url
    given = expand(ConfigDict(teacher=dict(wanted), teacher_ckpt='own.pth'))
    assert given.teacher_ckpt == 'own.pth'
    several = expand(ConfigDict(teacher=dict(type='mmrazor.Teachers', teachers=[
        dict(wanted), dict(wanted, pretrained=False)])))
    assert several.teacher_ckpt == [url, None]


def test_further_keys_fill_what_is_left_out(tmp_path, capsys):
    path = tmp_path / 'network.py'
    path.write_text("default_scope = 'mmdet'\nmodel = dict(type='X', depth=1)")
    found = expand(ConfigDict(teacher=dict(cfg_path=str(path), depth=2, width=3)))
    assert found.teacher == dict(type='X', depth=1, width=3, _scope_='mmdet')
    assert 'model.teacher.depth: it has no effect' in capsys.readouterr().out


@pytest.mark.parametrize('network, words', [
    (dict(cfg_path='mmdet::faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py'),
     r'model\.teacher\.cfg_path: mmdet has no config .* did you mean faster_rcnn/faster-rcnn_r50'),
    (dict(cfg_path='mmdet3d::a/b.py'), 'mmdet3d, which is not installed'),
    (dict(cfg_path='mmdte::a/b.py'), "'mmdte' is unknown, did you mean 'mmdet'"),
    (dict(cfg_path='resnet18'), 'must be .PACKAGE::FOLDER/FILE.py'),
    (dict(cfg_path=f'mmpretrain::{RESNET}'.replace('resnet18', 'resnet18_of_mine')), 'no config'),
    (dict(cfg_path='mmpretrain::_base_/models/resnet18.py', pretrained=True),
     r'model\.teacher\.pretrained: .* has no published weights'),
    (dict(cfg_path='mmpretrain::_base_/default_runtime.py'), 'the config of no model')])
def test_one_line(network, words):
    with pytest.raises(ConfigError, match=words):
        expand(ConfigDict(teacher=network))


def test_old_names():
    config = Config(dict(
        default_scope='mmcls', c='mmcls.PackClsInputs',
        a=[dict(type='mmcls.X', _scope_='mmcls'), dict(type='PackClsInputs')],
        recorder=dict(source='mmcls.models.X.f'), word='mmclsify', b='mmcls::c/d.py'))
    assert use_new_names(config._cfg_dict)
    assert config.to_dict() == dict(
        default_scope='mmpretrain', c='mmpretrain.PackClsInputs',
        a=[dict(type='mmpretrain.X', _scope_='mmpretrain'), dict(type='PackInputs')],
        recorder=dict(source='mmpretrain.models.X.f'), word='mmclsify', b='mmpretrain::c/d.py')
    assert not use_new_names(config._cfg_dict)
