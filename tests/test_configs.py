"""Every shipped config is parsed and built, with no download and no file of weights."""
import ast
import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from autokd_mm.engine.config import load_config
from autokd_mm.engine.runner import SearchLoop
from autokd_mm.models.algorithms import Teachers
from autokd_mm.models.distillers import spec_from_config
from autokd_mm.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
ALL = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.glob('**/*.py')
             if '_base_' not in path.parts)
SEARCH = [name for name in ALL if name.startswith('search')]


def images_of(name):
    """Channels, size and classes of the images in a config's name."""
    data = Path(name).stem.split('_')[-1] if '_' in Path(name).stem else Path(name).stem
    return dict(digits=(1, 8, 10), cifar10=(3, 32, 10), cifar100=(3, 32, 100)).get(data)


@pytest.fixture
def cifar(tmp_path):
    """Tiny batches in the layout of CIFAR-10 and CIFAR-100."""
    generator = np.random.default_rng(0)
    for folder, label, classes, names in (
            ('cifar-10-batches-py', 'labels', 10, ('data_batch_1', 'test_batch')),
            ('cifar-100-python', 'fine_labels', 100, ('train', 'test'))):
        (tmp_path / 'data' / folder).mkdir(parents=True)
        for name in names:
            batch = {'data': generator.integers(0, 256, (200, 3072), dtype=np.uint8),
                     label: (np.arange(200) % classes).tolist()}
            (tmp_path / 'data' / folder / name).write_bytes(pickle.dumps(batch, 2))
    return tmp_path / 'data'


@pytest.fixture
def photos(tmp_path):
    """Eight random images in the layouts of COCO, Cityscapes and ImageNet."""
    generator, root = np.random.default_rng(0), tmp_path / 'photos'

    def write(path, channels, top=256):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        image = generator.integers(0, top, (48, 80, 3)[:2 + (channels == 3)], dtype=np.uint8)
        assert cv2.imwrite(str(root / path), image)

    for split in ('train', 'val'):
        images = [dict(id=i, file_name=f'{i}.png', height=48, width=80) for i in range(8)]
        boxes = [dict(id=i + 1, image_id=i, category_id=1, bbox=[8, 8, 40, 32], area=1280,
                      iscrowd=0) for i in range(8)]
        categories = [dict(id=i + 1, name=name)
                      for i, name in enumerate(CocoDataset.METAINFO['classes'])]
        (root / 'annotations').mkdir(parents=True, exist_ok=True)
        (root / f'annotations/instances_{split}2017.json').write_text(
            json.dumps(dict(images=images, annotations=boxes, categories=categories)))
        labels = []
        for i in range(8):
            write(f'{split}2017/{i}.png', 3)
            write(f'leftImg8bit/{split}/a/{i}_leftImg8bit.png', 3)
            write(f'gtFine/{split}/a/{i}_gtFine_labelTrainIds.png', 1, 19)
            write(f'{split}/{i}.png', 3)
            labels.append(f'{i}.png {i}')
        (root / 'meta').mkdir(exist_ok=True)
        (root / f'meta/{split}.txt').write_text('\n'.join(labels))
    return root


def test_there_are_configs_of_every_kind():
    kinds = {name.split('/')[0] for name in ALL}
    assert {'search', 'distill', 'vanilla'} <= kinds and 'search/digits.py' in ALL


@pytest.fixture(scope='module')
def networks():
    """Those that have been built."""
    return set()


@pytest.mark.parametrize('name', ALL)
def test_parsed_and_built(name, networks):
    """Each config as the tools read it, and each of their networks once;
    test_config_iterations.py builds every distiller."""
    config = load_config(str(CONFIGS / name), dict(teacher_ckpt='None'))
    network = config.model.to_dict()
    network.pop('distiller', None)
    if repr(network) in networks:
        return
    networks.add(repr(network))
    with DefaultScope.overwrite_default_scope(config.default_scope):
        model = config.model
        if 'architecture' not in model and config.get('data_preprocessor'):
            model = dict(model, data_preprocessor=config.data_preprocessor)
        model = MODELS.build(model)
    known = images_of(name)
    if known is None:
        return
    channels, size, classes = known
    model.eval()
    networks = [model]
    if 'architecture' in config.model:
        networks = [model.architecture, *(model.teacher.networks() if isinstance(
            model.teacher, Teachers) else [model.teacher])]
    for network in networks:
        with torch.no_grad():
            assert network(torch.zeros(2, channels, size, size)).shape == (2, classes)


@pytest.mark.parametrize('name', [name for name in ALL if name.startswith('distill/')
                                  and images_of(name)])
def test_hand_crafted_config_is_a_point_of_the_space(name):
    config = load_config(str(CONFIGS / name), dict(teacher_ckpt='None'))
    spec = spec_from_config(config.model.distiller)
    assert spec.has_feature or spec.has_logits


def paths(node, found=None):
    """Every value of the keys data_root and teacher_ckpt."""
    found = {} if found is None else found
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if key == 'teacher_ckpt' and isinstance(value, list):  # of several teachers
            found.setdefault(key, set()).update(value)
        elif isinstance(value, (dict, list, tuple)):
            paths(value, found)
        elif key in ('data_root', 'teacher_ckpt'):
            found.setdefault(key, set()).add(value.rstrip('/') if value else value)
    return found


@pytest.mark.parametrize('name', ALL)
def test_paths_reach_every_place(name):
    plain = paths(load_config(str(CONFIGS / name)).to_dict())
    config = load_config(str(CONFIGS / name), {
        'data_root': '/elsewhere', 'teacher_ckpt': 'mine.pth',
        'optim_wrapper.optimizer.lr': 0.125, 'train_dataloader.num_workers': 7})
    found = paths(config.to_dict())
    assert set(found) == set(plain)
    assert found.get('data_root', {'/elsewhere'}) == {'/elsewhere'}
    assert found.get('teacher_ckpt', {'mine.pth'}) == {'mine.pth'}
    assert config.optim_wrapper.optimizer.lr == 0.125 and config.train_dataloader.num_workers == 7
    if 'architecture' in config.model:
        assert config.model.teacher_ckpt == 'mine.pth'


def test_camvid_is_chosen_by_other_images_than_it_is_tested_on():
    config = load_config(str(CONFIGS / 'search/deeplabv3_camvid.py'), dict(data_root='/here'))
    folders = [loader.dataset.data_prefix.img_path for loader in (
        config.train_dataloader, config.val_dataloader, config.test_dataloader)]
    assert folders == ['img/train', 'img/val', 'img/test']
    assert config.test_dataloader.dataset.data_root == '/here/'


@pytest.mark.parametrize('name, channels, classes', [
    ('retinanet_r101_r50', [256] * 5, 0), ('faster_rcnn_r101_r50', [256] * 4, 81),
    ('retinanet_coco_mini', [96] * 3, 0), ('deeplabv3_r101_r18', [512], 19),
    ('resnet34_resnet18_imagenet', [512], 1000),
    ('resnet50_mobilenet_imagenet', [2048], 1000),
    ('regnety-16gf_deit-tiny_imagenet', [3024], 1000)])
def test_large_search_loop_is_built_and_looks_at_the_tensors(name, channels, classes, photos,
                                                             tmp_path):
    options = {'data_root': str(photos), 'teacher_ckpt': 'None', 'train_dataloader.num_workers': 0,
               'train_dataloader.persistent_workers': False,
               'train_cfg.proxy.images': 4, 'train_cfg.proxy.held_out': 2,
               'train_cfg.proxy.batch_size': 4, 'train_cfg.proxy.input_size': 64}
    config = load_config(str(CONFIGS / 'search' / f'{name}.py'), options)
    config.work_dir, config.log_level = str(tmp_path / 'work'), 'ERROR'
    config.experiment_name = f'built_{name}'
    student = config.model.architecture
    # nothing is downloaded
    student.backbone.init_cfg = None
    if 'pretrained' in student:
        student.pretrained = None
    if 'size' in student.data_preprocessor:  # to which images are filled up
        student.data_preprocessor.size = (64, 64)
        config.model.teacher.data_preprocessor = student.data_preprocessor
    threads = torch.get_num_threads()
    runner = Runner.from_cfg(config)
    task = runner.build_train_loop(config.train_cfg).look()
    torch.set_num_threads(threads)
    assert [pair.teacher_shape[0] for pair in task.layers.pairs] == channels
    assert task.layers.classes == classes and task.space.count() > 10_000
    # each distiller of the warm start is legal for these tensors
    assert len(task.first) == len(config.train_cfg.warm_start) >= 2


@pytest.mark.parametrize('name', [name for name in SEARCH if images_of(name)])
def test_search_loop_is_built_and_looks_at_the_tensors(name, cifar, tmp_path):
    config = load_config(str(CONFIGS / name), {
        'data_root': str(cifar), 'teacher_ckpt': 'None',
        'train_cfg.proxy.images': 64, 'train_cfg.proxy.held_out': 32,
        'train_cfg.proxy.batch_size': 64, 'train_dataloader.num_workers': 0})
    config.work_dir, config.log_level = str(tmp_path / 'work'), 'ERROR'
    config.experiment_name = f'built_{Path(name).stem}'
    threads = torch.get_num_threads()
    runner = Runner.from_cfg(config)
    loop = runner.build_train_loop(config.train_cfg)
    assert isinstance(loop, SearchLoop)
    task = loop.look()
    torch.set_num_threads(threads)
    assert task.layers.classes == images_of(name if 'cifar' in name else 'digits.py')[2]
    assert task.space.count() > 10_000
    assert not (tmp_path / 'work' / 'study.journal').exists()


def test_dry_run_on_cifar(tool, cifar, tmp_path):
    """The teacher is measured on the test images of data_root."""
    name = CONFIGS / 'search' / 'resnet56_resnet20_cifar10.py'
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        teacher = MODELS.build(load_config(str(name)).model.teacher)
    torch.save(teacher.state_dict(), str(tmp_path / 'teacher.pth'))
    out = tool('search', name, '--work-dir', tmp_path / 'work', '--dry-run', '--cfg-options',
               f'data_root={cifar}', f'teacher_ckpt={tmp_path / "teacher.pth"}',
               'train_cfg.proxy.images=64', 'train_cfg.proxy.held_out=32',
               'val_dataloader.num_workers=0')
    assert 'teacher: accuracy/top1' in out
    assert 'student: backbone.layer3 (64 x 8 x 8), logits head.fc (10)' in out
    assert 'teacher: backbone.layer3 (64 x 8 x 8)' in out


def test_what_a_search_wrote_takes_other_paths_too(search, tmp_path):
    best = search('--trials', 1) / 'best_distiller.py'
    tree = ast.parse(best.read_text())
    assert all(isinstance(node, (ast.Assign, ast.Expr)) for node in tree.body)
    config = load_config(str(best), {'teacher_ckpt': 'mine.pth', 'data_root': '/unused',
                                     'train_cfg.max_epochs': 3})
    assert paths(config.to_dict()) == {'teacher_ckpt': {'mine.pth'}}
    assert config.train_cfg.max_epochs == 3
