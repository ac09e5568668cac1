"""The settings of Auto-KD's supplement are in the configs, whatever else is in them."""
import re
from functools import lru_cache
from pathlib import Path

import mmdet
import mmpretrain
import mmseg
import pytest
import yaml
from mmengine.config import Config
from mmengine.hub import get_config

from autokd_mm.engine.config import load_config

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
NAMES = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.glob('*/*.py')
               if '_base_' not in path.parts)
# Of CRD (ICLR 2020), tables 1 and 2: the teacher and the student.
LITERATURE = [
    'wrn-40-2_wrn-16-2', 'wrn-40-2_wrn-40-1', 'resnet56_resnet20', 'resnet110_resnet20',
    'resnet110_resnet32', 'resnet32x4_resnet8x4', 'vgg13_vgg8', 'vgg13_mobilenetv2',
    'resnet50_mobilenetv2', 'resnet50_vgg8', 'resnet32x4_shufflenetv1',
    'resnet32x4_shufflenetv2', 'wrn-40-2_shufflenetv1']
# Section of the supplement and the networks: teacher, student.
PAIRS = dict(
    retinanet_r101_r50_coco=('1.4', 'retinanet_r101', 'retinanet_r50'),
    faster_rcnn_r101_r50_coco=('1.4', 'faster_rcnn_r101', 'faster_rcnn_r50'),
    deeplabv3_r101_r18_cityscapes=('2', 'deeplabv3_r101', 'deeplabv3_r18'),
    resnet34_resnet18_imagenet=('1.2', 'resnet34', 'resnet18'),
    resnet50_mobilenet_imagenet=('1.2', 'resnet50', 'mobilenet'))


def of_pair(pair):
    """Search, distill and vanilla configs of a pair."""
    data = pair.split('_')[-1]
    search = f'search/{pair}.py' if data == 'imagenet' else f'search/{pair[:-len(data) - 1]}.py'
    distill = [name for name in NAMES
               if name.startswith('distill/') and name.endswith(f'{pair}.py')]
    return [search, *distill, *(f'vanilla/{name}_{data}.py' for name in PAIRS[pair][1:])]


@lru_cache(maxsize=None)
def settings(name):
    config = load_config(str(CONFIGS / name))
    return config, config.train_cfg.get('full_training', config.train_cfg)


def plain(node):
    """Without what inheriting adds."""
    if isinstance(node, dict):
        return {key: plain(item) for key, item in node.items() if key != '_scope_'}
    return [plain(item) for item in node] if isinstance(node, (list, tuple)) else node


def transforms(pipeline):
    return [(item['type'], {key: value for key, value in item.items()
                            if key not in ('type', '_scope_', 'backend_args')})
            for item in pipeline]


@pytest.mark.parametrize('pair', PAIRS)
def test_each_config_names_the_section_it_follows(pair):
    names = of_pair(pair)
    assert len(names) >= 4
    for name in names:
        words = Config.fromfile(str(CONFIGS / name)).text
        section = re.escape(PAIRS[pair][0])
        # the text of all bases; a comment may break the line between the words
        assert re.search(rf"supplement(?:'s)?,[\s#]+section {section}\b(?!\.\d)", words), name


@pytest.mark.parametrize('name', [name for pair in ('retinanet_r101_r50_coco',
                                                    'faster_rcnn_r101_r50_coco')
                                  for name in of_pair(pair)])
def test_detection_trains_for_24_epochs_with_horizontal_flips(name):
    config, training = settings(name)
    assert training.max_epochs == 24
    data, val = config.train_dataloader.dataset, config.val_dataloader.dataset
    assert (data.type, data.ann_file) == ('CocoDataset', 'annotations/instances_train2017.json')
    assert (val.type, val.ann_file) == ('CocoDataset', 'annotations/instances_val2017.json')
    assert transforms(data.pipeline) == [
        ('LoadImageFromFile', {}), ('LoadAnnotations', dict(with_bbox=True)),
        ('Resize', dict(scale=(1333, 800), keep_ratio=True)), ('RandomFlip', dict(prob=0.5)),
        ('PackDetInputs', {})]
    # mmdet's 2x: a batch of 16, of which each of 8 GPUs has 2
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.momentum, optimizer.weight_decay) == ('SGD', 0.9, 1e-4)
    assert optimizer.lr == (0.02 if 'faster' in name else 0.01)
    assert config.param_scheduler[-1].milestones == [16, 22]
    assert config.train_dataloader.batch_size == 2 and config.auto_scale_lr.base_batch_size == 16
    student = config.model.get('architecture', config.model)
    assert plain(student.backbone.init_cfg) == dict(
        type='Pretrained', checkpoint=f'torchvision://resnet{student.backbone.depth}')


@pytest.mark.parametrize('name', of_pair('deeplabv3_r101_r18_cityscapes'))
def test_segmentation_trains_for_40k_iterations_on_crops_of_512(name):
    config, training = settings(name)
    assert (training.type, training.max_iters) == ('IterBasedTrainLoop', 40000)
    assert config.train_dataloader.batch_size == config.auto_scale_lr.base_batch_size == 8
    data = config.train_dataloader.dataset
    assert (data.type, data.data_prefix.img_path) == ('CityscapesDataset', 'leftImg8bit/train')
    assert ('RandomCrop', dict(crop_size=(512, 512), cat_max_ratio=0.75)) in \
        transforms(data.pipeline)
    assert config.optim_wrapper.optimizer.type == 'SGD'
    schedule, = config.param_scheduler
    assert (schedule.type, schedule.begin, schedule.end, schedule.by_epoch) == (
        'PolyLR', 0, 40000, False)
    # one scale, no flip
    assert transforms(config.test_dataloader.dataset.pipeline) == [
        ('LoadImageFromFile', {}), ('Resize', dict(scale=(2048, 1024), keep_ratio=True)),
        ('LoadAnnotations', {}), ('PackSegInputs', {})]
    assert config.test_evaluator.iou_metrics == ['mIoU']
    student = config.model.get('architecture', config.model)
    assert student.data_preprocessor.size == (512, 512)
    assert student.pretrained == f'open-mmlab://resnet{student.backbone.depth}_v1c'


@pytest.mark.parametrize('name', [name for pair in ('resnet34_resnet18_imagenet',
                                                    'resnet50_mobilenet_imagenet')
                                  for name in of_pair(pair)])
def test_imagenet_trains_for_100_epochs_in_batches_of_256(name):
    config, training = settings(name)
    assert training.max_epochs == 100
    assert config.train_dataloader.batch_size == config.auto_scale_lr.base_batch_size == 256
    assert config.train_dataloader.dataset.type == 'ImageNet'
    assert config.optim_wrapper.optimizer.lr == 0.1
    schedule = config.param_scheduler
    assert (schedule.type, schedule.milestones, schedule.gamma) == (
        'MultiStepLR', [30, 60, 90], 0.1)


@pytest.mark.parametrize('pair', PAIRS)
def test_networks_alone_are_those_of_the_pair_and_the_teacher_is_the_zoos(pair):
    """The checkpoint's path is compared, not the host: the sets of packages name two."""
    section, teacher, student = PAIRS[pair]
    search, *others = of_pair(pair)
    config = settings(search)[0]
    data = pair.split('_')[-1]
    alone = {name: Config.fromfile(str(CONFIGS / f'vanilla/{name}_{data}.py'))
             for name in (teacher, student)}
    own = plain(config.model.architecture)  # a copy
    expected = plain(alone[student].model)
    if data == 'imagenet':
        assert own.pop('data_preprocessor') == plain(alone[student].data_preprocessor)
    assert own == expected
    package, folder, stem = dict(
        coco=(mmdet, teacher[:-5], f'{teacher.replace("_rcnn", "-rcnn")}_fpn_2x_coco'),
        cityscapes=(mmseg, 'deeplabv3', 'deeplabv3_r101-d8_4xb2-80k_cityscapes-512x1024'),
        imagenet=(mmpretrain, 'resnet', f'{teacher}_8xb32_in1k'))[data]
    zoo = f'{package.__name__}::{folder}/{stem}.py'
    own, theirs = plain(alone[teacher].model), plain(get_config(zoo).model)
    if data == 'imagenet':
        assert own.pop('backbone') == theirs.pop('backbone')
        assert own['head']['in_channels'] == theirs['head']['in_channels']
        assert plain(config.model.teacher['backbone']) == plain(alone[teacher].model.backbone)
    else:
        assert config.model.teacher.cfg_path == zoo
        own['data_preprocessor'].pop('size', None), theirs['data_preprocessor'].pop('size', None)
        assert own == theirs
    metafile, = (Path(package.__file__).parent / '.mim' / 'configs' / folder).glob('metafile.y*ml')
    found = yaml.safe_load(metafile.read_text())
    models = found['Models'] if isinstance(found, dict) else found
    weights, = (model['Weights'] for model in models if model['Name'] == stem)
    assert config.model.teacher_ckpt.split('/')[3:] == weights.split('/')[3:]
    for name in others:
        if name.startswith('distill/'):
            other = settings(name)[0].model
            # The boxes that both heads judge are part of what is distilled.
            ours, theirs = ({key: value for key, value in model.items()
                             if key not in ('distiller', 'shared_boxes')}
                            for model in (other, config.model))
            assert ours == theirs


@pytest.mark.parametrize('pair', LITERATURE)
def test_pair_of_the_literature_has_its_networks_and_the_supplements_settings(pair):
    networks = {who: Config.fromfile(str(CONFIGS / 'vanilla' / f'{name}_cifar100.py')).model
                for who, name in zip(('teacher', 'architecture'), pair.split('_'))}
    for name in (f'search/{pair}_cifar100.py', f'distill/kd_{pair}_cifar100.py'):
        config, training = settings(name)
        for who, network in networks.items():
            own = config.model[who].to_dict()
            assert own.pop('data_preprocessor').pop('num_classes') == 100
            assert own == network.to_dict()
        assert training.max_epochs == 240 and config.train_dataloader.batch_size == 64
        assert config.optim_wrapper.optimizer == dict(
            type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4)
        assert config.param_scheduler.milestones == [150, 180, 210]
        assert config.param_scheduler.gamma == 0.1


# Student, and the configs of its pair.
DEIT = dict(cifar100='resnet56_deit-tiny', imagenet='regnety-16gf_deit-tiny')


@pytest.mark.parametrize('name', [name for data, pair in DEIT.items() for name in (
    f'search/{pair}_{data}.py', f'distill/kd_{pair}_{data}.py', f'vanilla/deit-tiny_{data}.py')])
def test_deit_trains_as_section_1_3_says(name):
    config, training = settings(name)
    assert re.search(r'supplement,[\s#]+section 1\.3', Config.fromfile(str(CONFIGS / name)).text)
    assert training.max_epochs == 300
    assert config.train_dataloader.batch_size == config.auto_scale_lr.base_batch_size == 128
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', 5e-4, 0.05)
    assert config.param_scheduler[-1].type == 'CosineAnnealingLR'
    found = dict(transforms(config.train_dataloader.dataset.pipeline))
    assert found['RandAugment']['policies'] == 'timm_increasing'
    assert found['RandomErasing']['erase_prob'] == 0.25
    student = config.model.get('architecture', config.model)
    assert [item.type for item in student.train_cfg.augments] == ['Mixup', 'CutMix']
    assert (student.backbone.type, student.backbone.arch) == (
        'DistilledVisionTransformer', 'deit-tiny')
    assert student.backbone.img_size == 224 and student.head.type == 'mmrazor.DeiTDistillHead'


def test_the_teacher_of_deit_is_timms_with_the_weights_of_deits_authors():
    timm = pytest.importorskip('timm')
    model = settings('search/regnety-16gf_deit-tiny_imagenet.py')[0].model
    alone = Config.fromfile(str(CONFIGS / 'vanilla/regnety-16gf_imagenet.py')).model
    own = plain(model.teacher.to_dict())
    normalisation = own.pop('data_preprocessor')
    assert own == plain(alone.to_dict()) and not own['pretrained']
    published = timm.get_pretrained_cfg(f'{own["model_name"]}.deit_in1k')
    assert model.teacher_ckpt == published.url
    for name, values in (('mean', published.mean), ('std', published.std)):
        assert normalisation[name] == pytest.approx([255 * value for value in values])
