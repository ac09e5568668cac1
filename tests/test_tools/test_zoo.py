"""tools/check_zoo.py: what it lists, how it shrinks, and the whole way of a dozen kinds."""
import copy
import json
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import ConfigDict

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
# Anchors, masks, two stages, queries, large jitter; maps with auxiliary heads, with a loss
# in training only, of a channels-last backbone; class labels of CNNs and transformers.
KINDS = [('mmdet', 'retinanet'), ('mmdet', 'deepfashion'), ('mmdet', 'cityscapes'),
         ('mmdet', 'dab_detr'), ('mmdet', 'atss'),
         ('mmseg', 'bisenetv2'), ('mmseg', 'ddrnet'), ('mmseg', 'convnext'),
         ('mmpretrain', 'byol'), ('mmpretrain', 'convnext'), ('mmpretrain', 'beit')]
NETWORK = dict(
    type='RetinaNet', data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32),
    backbone=dict(type='ResNet', depth=50, out_indices=(0, 1, 2, 3),
                  init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')),
    neck=dict(type='FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=5),
    bbox_head=dict(type='RetinaHead', num_classes=80, in_channels=256, feat_channels=256),
    test_cfg=dict(nms_pre=1000, max_per_img=100))


@pytest.fixture(autouse=True)
def tools(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))


@pytest.fixture
def listing():
    from zoo import listing
    return listing


@pytest.fixture
def shrinking():
    from zoo import shrinking
    return shrinking


def config(**changes):
    pipeline = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(1333, 800))]
    loader = dict(dataset=dict(type='CocoDataset', pipeline=pipeline))
    found = dict(model=copy.deepcopy(NETWORK), train_dataloader=loader, val_dataloader=loader,
                 train_cfg=dict(max_epochs=12), val_evaluator=dict(type='CocoMetric'),
                 default_hooks=dict(logger=dict(type='LoggerHook')))
    return ConfigDict(copy.deepcopy(dict(found, **changes)))


def test_the_middling_config_and_its_next_size(listing):
    paths = [f'x/{name}.py' for name in (
        'a_r50_fpn_1x', 'a_r101_fpn_1x', 'a_r50_fpn_odd-thing_3x', 'a_x101_fpn_1x')]
    assert listing.middling(paths)[0] == 'x/a_r50_fpn_1x.py'
    assert listing.larger('x/a_r50_fpn_1x.py', paths) == 'x/a_r101_fpn_1x.py'
    assert listing.larger('x/a_r101_fpn_1x.py', paths) is None
    batches = ['x/net-tiny_16xb64_in1k.py', 'x/net-small_8xb32_in1k.py']
    assert listing.larger(batches[0], batches) == batches[1]


@pytest.mark.parametrize('changes, task, why', [
    (dict(), 'detection', ''),
    (dict(val_evaluator=dict(type='CocoMetric', metric=['bbox', 'segm'])),
     'instance segmentation', ''),
    (dict(val_evaluator=[dict(type='IoUMetric')]), 'semantic segmentation', ''),
    (dict(val_evaluator=dict(type='CocoPanopticMetric')), '', 'panoptic segmentation'),
    (dict(model=dict(type='GLIP', language_model=dict(type='BertModel'))), '', 'text-conditioned'),
    (dict(val_evaluator=None), '', 'self-supervised: nothing measures it on labels'),
    (dict(model=dict(type='ByteTrack', data_preprocessor=dict(type='TrackDataPreprocessor'))), '',
     'video: follows objects from frame to frame')])
def test_the_task_of_a_config(listing, changes, task, why):
    assert listing.kind(config(**changes)) == (task, why)


def test_choices_say_why_there_is_none(listing):
    read = dict(x=config(model=dict(type='ByteTrack')), y=config(model=dict(type='QDTrack')))
    found, why = listing.choices(['x.py', 'y.py'], lambda path: read[path[0]])
    assert not found and why == 'video: follows objects from frame to frame'


def test_only_numbers_shrink(shrinking):
    pytest.importorskip('mmdet')
    import mmdet.models  # noqa: F401
    from mmengine.registry import DefaultScope
    small = config()
    with DefaultScope.overwrite_default_scope('mmdet'):
        assert shrinking.shrink(small, 'detection', 8, 64) == 10
    of_model, *others = shrinking.kept_types(small)
    before, *others_before = shrinking.kept_types(config())
    assert of_model == before + Counter(BN=1)  # what ResNet takes by default, written out
    assert others == others_before
    model = small.model
    assert model.backbone.base_channels == 8 and model.backbone.init_cfg is None
    assert model.neck.in_channels == [32, 64, 128, 256] and model.neck.out_channels == 32
    assert model.bbox_head.num_classes == 10 and model.bbox_head.feat_channels == 32
    assert model.test_cfg.max_per_img == 20
    pipeline = small.train_dataloader.dataset.pipeline
    assert pipeline[1].scale == (96, 64)


def test_a_stack_is_cut_with_its_taps(shrinking):
    stack = dict(num_layers=12, out_indices=(2, 5, 8, 11))
    shrinking._shallow(stack)
    assert stack['num_layers'] == 6 and stack['out_indices'][-1] == 5
    assert len(set(stack['out_indices'])) == 4


def test_results_resume(tmp_path):
    import check_zoo
    from zoo import table, way
    path = str(tmp_path / 'work' / 'results.jsonl')
    results = check_zoo.Results(path)
    base = dict(package='mmdet', seconds=3.0, date='2026-01-01', wall=4.0)
    results.add(dict(base, family='yolox', outcome=way.REFUSED, line='no', stage='pair'))
    results.add(dict(base, family='atss', outcome=way.THROUGH, line='', level=[8, 64]))
    results.add(dict(base, family='glip', outcome=way.OTHER, line='text-conditioned'))
    again = check_zoo.Results(path)
    assert again.found == results.found and len(open(path).readlines()) == 3
    args = SimpleNamespace(package=['mmdet'], family=['atss', 'yolox', 'fcos'], again=None)
    if importable('mmdet'):
        assert check_zoo.wanted(again, args) == [['mmdet', 'fcos']]
        args.again = 'failed'
        assert check_zoo.wanted(again, args) == [['mmdet', 'yolox'], ['mmdet', 'fcos']]
    summary = table.summary(again.found.values())
    assert '| mmdet | 2 | 0 | 1 of 2 (50 %) | 1 | 0 | 0 | 1 |' in summary
    table.write(str(tmp_path / 'zoo.md'), list(again.found.values()))
    text = (tmp_path / 'zoo.md').read_text()
    assert text.index('| atss |') < text.index('| glip |') < text.index('| yolox |')
    assert 'refused: pair: no |' in text and '2026-01-01' in text


def importable(name):
    import importlib.util
    return importlib.util.find_spec(name) is not None


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    sys.path.insert(0, str(TOOLS))
    try:
        from zoo import data, warm
        warm.load_everything()
        folder = tmp_path_factory.mktemp('zoo')
        data.write(str(folder / 'data'))
        yield folder
    finally:
        sys.path.remove(str(TOOLS))


@pytest.mark.parametrize('package, family', KINDS)
def test_the_whole_way(place, package, family):
    pytest.importorskip(package)
    from _forked import forked
    from zoo import warm, way

    def work():
        warm.prepare()
        return way.Way(package, family, str(place / 'data'), str(place / family)).go()

    log = place / f'{family}.log'
    record = forked(work, 60, str(log))
    assert record and record['outcome'] == way.THROUGH, (
        f'{json.dumps(record, indent=1)}\n{log.read_text()[-3000:]}')
    assert set(record['stages']) == {'plain', 'pair', 'dry run', 'search', 'train', 'export'}
