"""ONNX files of students: what they hold, what they say, and which networks are refused."""
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope

from autokd_mm.engine.config import load_config
from autokd_mm.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')

FEATURES = dict(
    backbone=dict(type='ResNet', depth=18, base_channels=4, num_stages=4, out_indices=(1, 2, 3),
                  norm_cfg=dict(type='BN')),
    neck=dict(type='FPN', in_channels=[8, 16, 32], out_channels=8, num_outs=3))
HEAD = dict(num_classes=3, in_channels=8, feat_channels=8, stacked_convs=1)
POINTS = dict(type='MlvlPointGenerator', offset=0, strides=[8, 16, 32])
DETECTORS = {
    'FCOS': (dict(HEAD, type='FCOSHead', strides=[8, 16, 32],
                  norm_cfg=dict(type='GN', num_groups=2)),
             ['cls_scores', 'bbox_preds', 'centernesses']),
    'RTMDet': (dict(HEAD, type='RTMDetSepBNHead', anchor_generator=POINTS, pred_kernel_size=1,
                    bbox_coder=dict(type='DistancePointBBoxCoder'), norm_cfg=dict(type='BN'),
                    with_objectness=False), ['cls_scores', 'bbox_preds']),
    'YOLOX': (dict(HEAD, type='YOLOXHead', stacked_convs=1, strides=(8, 16, 32)),
              ['cls_scores', 'bbox_preds', 'objectnesses']),
}


@pytest.fixture
def exported(tool, tmp_path):
    """``exported('vanilla/digits', model=...)``: what is printed of a random network of a config,
    exported by the config beside its checkpoint, and the network."""

    def run(name, *args, change=None, prefix=''):
        config = load_config(str(ROOT / 'configs' / f'{name}.py'))
        if change:
            change(config)
        config.dump(str(tmp_path / 'config.py'))
        network = build(config)
        weights = {prefix + key: value for key, value in network.state_dict().items()}
        torch.save(dict(state_dict=weights), str(tmp_path / 'epoch_1.pth'))
        out = tool('export_student', tmp_path / 'epoch_1.pth', '--onnx', tmp_path / 'out.onnx',
                   *args)
        return out, network

    def build(config):
        model = config.model.get('architecture', config.model).copy()
        if config.get('data_preprocessor'):
            model.setdefault('data_preprocessor', config.data_preprocessor)
        with torch.random.fork_rng(), DefaultScope.overwrite_default_scope(config.default_scope):
            torch.manual_seed(0)
            network = MODELS.build(model)
            network.init_weights()
        for module in network.modules():  # statistics as if it had seen images
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
        return network.eval()

    run.file = str(tmp_path / 'out.onnx')
    return run


def session(path):
    return onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])


def test_a_classifier_sees_what_its_metadata_say(exported):
    out, network = exported('vanilla/resnet8-w4_digits')
    assert 'batches of any size' in out and 'images: N x 1 x 8 x 8' in out
    assert 'logits: N x 10' in out and 'opset 17' in out and 'images are gray' in out
    props = {prop.key: prop.value for prop in onnx.load(exported.file).metadata_props}
    assert props['mean'] == '78.35' and props['std'] == '95.95' and props['task'] == 'classifier'
    assert props['color_order'] == 'gray' and (props['height'], props['width']) == ('8', '8')
    from autokd_mm.datasets import Digits
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        data = Digits('test', pipeline=[dict(type='PackInputs')])
    samples = [data[index] for index in range(5)]
    pixels = np.stack([sample['inputs'].numpy() for sample in samples]).astype(np.float32)
    images = (pixels - float(props['mean'])) / float(props['std'])
    found, = session(exported.file).run(None, dict(images=images))
    with torch.no_grad():
        wanted = network.test_step(dict(inputs=[sample['inputs'] for sample in samples],
                                        data_samples=[s['data_samples'] for s in samples]))
    scores = torch.from_numpy(found).softmax(1)
    assert torch.allclose(scores, torch.stack([one.pred_score for one in wanted]), atol=1e-5)


def test_boxes_of_a_detector_come_from_its_raw_outputs(exported):
    # of a checkpoint of the distillation
    out, network = exported('distill/fitnet_digit_scenes_retinanet', prefix='architecture.')
    names = [output.name for output in session(exported.file).get_outputs()]
    levels = len(names) // 2
    assert names == [f'{name}_{level}' for name in ('cls_scores', 'bbox_preds')
                     for level in range(levels)]
    assert 'detector (RetinaNet)' in out and 'teacher' not in out
    shape = session(exported.file).get_inputs()[0].shape
    images = torch.randn(2, *shape[1:], generator=torch.Generator().manual_seed(0))
    found = list(map(torch.from_numpy, session(exported.file).run(
        None, dict(images=images.numpy()))))
    metas = [dict(img_shape=tuple(shape[2:]), scale_factor=(1., 1.))] * 2
    network.bbox_head.test_cfg.score_thr = 0
    with torch.no_grad():
        raw = network(images, mode='tensor')
        boxes = [network.bbox_head.predict_by_feat(*outputs, batch_img_metas=metas)[1]
                 for outputs in ((found[:levels], found[levels:]), raw)]
    # Scores of a network that has learned nothing are all but equal, and change places.
    assert torch.allclose(boxes[0].scores[:20], boxes[1].scores[:20], atol=1e-5)
    apart = (boxes[0].bboxes[:20, None] - boxes[1].bboxes).abs().amax(-1).min(1)[0]
    assert len(apart) == 20 and apart.max() < 1e-3


@pytest.mark.parametrize('kind', DETECTORS)
def test_one_stage_detectors(exported, kind):
    head, names = DETECTORS[kind]

    def change(config):
        test_cfg = config.model.test_cfg
        config.model = dict(type=kind, bbox_head=head, test_cfg=test_cfg,
                            data_preprocessor=config.model.data_preprocessor, **FEATURES)

    out, _ = exported('vanilla/digit_scenes_retinanet_student', '--shape', 96, 64, change=change)
    outputs = {output.name for output in session(exported.file).get_outputs()}
    assert outputs == {f'{name}_{level}' for name in names for level in range(3)}
    assert 'images: N x 3 x 96 x 64' in out and 'cls_scores_2: N x 3 x 3 x 2' in out


def test_a_segmentor_gives_logits_of_every_pixel(exported):
    out, network = exported('vanilla/digit_scenes_deeplabv3_student', '--shape', 64, '--opset', 16)
    assert 'images: N x 3 x 64 x 64' in out and 'segmentor' in out and 'opset 16' in out
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found, = session(exported.file).run(None, dict(images=images.numpy()))
    with torch.no_grad():
        wanted = network.predict(images, None)
    assert found.shape == (3, network.num_classes, 64, 64)
    for one, other in zip(found, wanted):
        assert np.abs(one - other.seg_logits.data.numpy()).max() < 1e-4


def test_two_stages_are_refused_in_one_line_with_the_way_out(exported, tool):
    with pytest.raises(tool.Ended) as ended:
        exported('vanilla/digit_scenes_faster_rcnn_student', '--shape', 64)
    assert ended.value.code == 2 and len(ended.value.err.splitlines()) == 1
    assert 'FasterRCNN is a two-stage detector' in ended.value.line
    assert ('python tools/deploy.py configs/mmdet/detection/detection_onnxruntime_dynamic.py'
            in ended.value.line)
    assert not Path(exported.file).exists()


class Head(torch.nn.Module):
    """Whose trace holds the size of the batch."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 2, 8)

    def forward(self, images):
        return self.conv(images).reshape(int(images.shape[0]), 2)


def test_a_batch_of_one_where_the_graph_knows_the_size(tmp_path, monkeypatch):
    from mmpretrain.models.classifiers import BaseClassifier

    from autokd_mm.deploy import export_onnx

    class Fixed(BaseClassifier):

        def __init__(self):
            BaseModel.__init__(self, dict(type='mmpretrain.ClsDataPreprocessor'))
            self.backbone = Head()

        def extract_feat(self, inputs, stage=None):
            return inputs

        def loss(self, inputs, data_samples):
            return {}

        def forward(self, inputs, data_samples=None, mode='tensor'):
            return self.backbone(inputs)

    config = load_config(str(ROOT / 'configs/vanilla/resnet8-w4_digits.py'))
    path = tmp_path / 'out.onnx'
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        network = Fixed().eval()
        lines = export_onnx(config, network, str(path), (8, 8), classes=['a, b', 'c'])
        assert 'batches of one image' in lines[0] and '(batch of 1)' in lines[-1]
        assert 'batch of 2' not in lines[-1]
        props = {prop.key: prop.value for prop in onnx.load(str(path)).metadata_props}
        assert json.loads(props['classes']) == ['a, b', 'c']
        assert session(str(path)).get_inputs()[0].shape == [1, 1, 8, 8]
        # without onnxruntime nothing is promised
        monkeypatch.setitem(sys.modules, 'onnxruntime', None)
        lines = export_onnx(config, network, str(path), (8, 8))
        assert 'not compared with torch: onnxruntime is not installed' in lines[-1]
        monkeypatch.setitem(sys.modules, 'onnx', None)
        with pytest.raises(ValueError, match=r"package onnx is not .* 'autokd_mm\[onnx\]'"):
            export_onnx(config, network, str(path), (8, 8))


def test_a_file_that_differs_is_not_kept(tmp_path, monkeypatch, exported, tool):
    from autokd_mm.deploy import export
    monkeypatch.setattr(export, 'TOLERANCE', -1.)
    with pytest.raises(tool.Ended, match='something else in ONNX than in torch'):
        exported('vanilla/resnet8-w4_digits')
    assert not list(tmp_path.glob('*.onnx*'))


@pytest.mark.parametrize('opset', [0, 999])
def test_an_opset_that_nobody_knows_is_named(exported, tool, tmp_path, opset):
    with pytest.raises(tool.Ended, match=f'--opset={opset}: .*without --opset it is 17'):
        exported('vanilla/resnet8-w4_digits', '--opset', opset)
    assert not list(tmp_path.glob('*.onnx*'))


def test_the_checkpoint_is_not_written_over(exported, tool, tmp_path):
    exported('vanilla/resnet8-w4_digits', prefix='architecture.')
    checkpoint = tmp_path / 'epoch_1.pth'
    before = checkpoint.read_bytes()
    for args in ([checkpoint], ['--onnx', checkpoint], ['--onnx', tmp_path / 'config.py'],
                 [tmp_path], ['--onnx', tmp_path]):
        with pytest.raises(tool.Ended, match='is what it is made of|is a folder') as ended:
            tool('export_student', checkpoint, *args)
        assert ended.value.code == 2
    assert checkpoint.read_bytes() == before


def test_mistakes_are_one_line(tool, tmp_path):
    checkpoint, out = tmp_path / 'a' / 'c.pth', tmp_path / 'out.onnx'
    checkpoint.parent.mkdir()
    for words, *args in (
            ('CHECKPOINT: there is no file', checkpoint, '--onnx', out),
            ('--config: name the config', ROOT / 'setup.cfg.pth', '--onnx', out),
            ("CONFIG: 'nothing' is no file", ROOT / 'LICENSE', '--onnx', out, '--config',
             'nothing')):
        if 'name the config' in words:
            torch.save(dict(state_dict={}), str(checkpoint))
            args[0] = checkpoint
        with pytest.raises(tool.Ended) as ended:
            tool('export_student', *args)
        assert ended.value.code == 2 and words in ended.value.line
    for args in ([], ['o.pth', '--opset', 17], ['--onnx', out, '--shape', 1, 2, 3]):
        with warnings.catch_warnings(), pytest.raises(tool.Ended, match='error: ') as ended:
            tool('export_student', checkpoint, *args)
        assert ended.value.code == 2
