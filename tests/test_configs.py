"""Every shipped config is parsed and built, with no download and no file of weights."""
import ast
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample

from autokd_mm.engine.config import load_config
from autokd_mm.engine.runner import SearchLoop
from autokd_mm.models.distillers import spec_from_config
from autokd_mm.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
ALL = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.glob('**/*.py')
             if '_base_' not in path.parts)
SEARCH = [name for name in ALL if name.startswith('search')]
# Of CRD (ICLR 2020), tables 1 and 2: the teacher and the student.
LITERATURE = [
    'wrn-40-2_wrn-16-2', 'wrn-40-2_wrn-40-1', 'resnet56_resnet20', 'resnet110_resnet20',
    'resnet110_resnet32', 'resnet32x4_resnet8x4', 'vgg13_vgg8', 'vgg13_mobilenetv2',
    'resnet50_mobilenetv2', 'resnet50_vgg8', 'resnet32x4_shufflenetv1',
    'resnet32x4_shufflenetv2', 'wrn-40-2_shufflenetv1']


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


def test_there_are_configs_of_every_kind():
    kinds = {name.split('/')[0] for name in ALL}
    assert {'search', 'distill', 'vanilla'} <= kinds and 'search/digits.py' in ALL


@pytest.mark.parametrize('name', ALL)
def test_parsed_and_built(name):
    config = load_config(str(CONFIGS / name), dict(data_root='/data/here', teacher_ckpt='None'))
    places = paths(config.to_dict())
    assert places.get('teacher_ckpt', {None}) == {None}
    assert places.get('data_root', {'/data/here'}) == {'/data/here'}
    with DefaultScope.overwrite_default_scope(config.default_scope):
        model = config.model
        if 'architecture' not in model:
            model = dict(model, data_preprocessor=config.data_preprocessor)
        model = MODELS.build(model)
    known = images_of(name)
    if known is None:
        return
    channels, size, classes = known
    model.eval()
    for network in [model.architecture, model.teacher] if 'architecture' in config.model \
            else [model]:
        with torch.no_grad():
            assert network(torch.zeros(2, channels, size, size)).shape == (2, classes)


@pytest.mark.parametrize('name', [name for name in ALL if name.startswith('distill/')
                                  and images_of(name)])
def test_hand_crafted_config_is_a_point_of_the_space_and_its_layers_exist(name):
    config = load_config(str(CONFIGS / name), dict(teacher_ckpt='None'))
    spec = spec_from_config(config.model.distiller)
    assert spec.has_feature or spec.has_logits
    with DefaultScope.overwrite_default_scope(config.default_scope):
        model = MODELS.build(config.model)
    for who, network in (('student', model.architecture), ('teacher', model.teacher)):
        modules = dict(network.named_modules())
        recorders = config.model.distiller[f'{who}_recorders']
        assert recorders and all(item.source in modules for item in recorders.values())


def test_one_step_of_fgd():
    """Random images of unlike size, one of them without boxes."""
    config = load_config(str(CONFIGS / 'distill' / 'fgd_retinanet_r101_r50_coco.py'),
                         dict(teacher_ckpt='None'))
    config.model.teacher.cfg_path = config.model.teacher.cfg_path.replace('r101', 'r50')  # quicker
    threads = torch.get_num_threads()
    with DefaultScope.overwrite_default_scope(config.default_scope), torch.random.fork_rng():
        torch.manual_seed(0)
        model = MODELS.build(config.model).train()
        samples = []
        for size, boxes in (((64, 96), [[3, 4, 50, 40], [60, 10, 95, 63]]), ((60, 64), [])):
            samples.append(DetDataSample(metainfo=dict(img_shape=size)))
            samples[-1].gt_instances = InstanceData(
                bboxes=torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
                labels=torch.zeros(len(boxes), dtype=torch.long))
        batch = dict(inputs=[torch.randint(0, 256, (3, *sample.img_shape), dtype=torch.uint8)
                             for sample in samples], data_samples=samples)
        torch.set_num_threads(1)
        losses = model(**model.data_preprocessor(batch, True), mode='loss')
        distilled = [losses[f'distill.loss_p{level}'] for level in range(3, 8)]
        sum(distilled).backward()
    torch.set_num_threads(threads)
    assert all(loss.isfinite() and loss > 0 for loss in distilled)
    gradients = [parameter.grad for parameter in model.architecture.neck.parameters()]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients)
    assert all(parameter.grad is None for parameter in model.teacher.parameters())


@pytest.mark.parametrize('pair', LITERATURE)
def test_pair_of_the_literature_has_its_networks_and_the_supplements_settings(pair):
    networks = {who: Config.fromfile(str(CONFIGS / 'vanilla' / f'{name}_cifar100.py')).model
                for who, name in zip(('teacher', 'architecture'), pair.split('_'))}
    for name in (f'search/{pair}_cifar100.py', f'distill/kd_{pair}_cifar100.py'):
        config = load_config(str(CONFIGS / name))
        for who, network in networks.items():
            own = config.model[who].to_dict()
            assert own.pop('data_preprocessor').pop('num_classes') == 100
            assert own == network.to_dict()
        training = config.train_cfg.get('full_training', config.train_cfg)
        assert training.max_epochs == 240 and config.train_dataloader.batch_size == 64
        assert config.optim_wrapper.optimizer == dict(
            type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4)
        assert config.param_scheduler.milestones == [150, 180, 210]
        assert config.param_scheduler.gamma == 0.1


@pytest.mark.parametrize('pair', LITERATURE)
def test_one_step_of_kd_for_a_pair_of_the_literature(pair):
    config = load_config(str(CONFIGS / f'distill/kd_{pair}_cifar100.py'),
                         dict(teacher_ckpt='None'))
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(config.default_scope):
        model = MODELS.build(config.model).train()
        batch = dict(inputs=[torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)] * 2,
                     data_samples=[DataSample().set_gt_label(label) for label in (0, 99)])
        torch.set_num_threads(1)
        losses = model(**model.data_preprocessor(batch, True), mode='loss')
        sum(losses.values()).backward()
    torch.set_num_threads(threads)
    assert set(losses) == {'student.loss', 'distill.loss_logits'}
    assert all(loss.isfinite() and loss > 0 for loss in losses.values())
    assert [name for name, value in model.architecture.named_parameters()
            if value.grad is None or not value.grad.isfinite().all()] == []
    assert all(parameter.grad is None for parameter in model.teacher.parameters())


def paths(node, found=None):
    """Every value of the keys data_root and teacher_ckpt."""
    found = {} if found is None else found
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(value, (dict, list, tuple)):
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


@pytest.mark.parametrize('name', SEARCH)
def test_search_loop_is_built_and_looks_at_the_tensors(name, cifar, tmp_path):
    config = load_config(str(CONFIGS / name), {
        'data_root': str(cifar), 'teacher_ckpt': 'None',
        'train_cfg.proxy.images': 64, 'train_cfg.proxy.held_out': 32,
        'train_dataloader.num_workers': 0})
    config.work_dir, config.log_level = str(tmp_path / 'work'), 'ERROR'
    config.experiment_name = f'built_{Path(name).stem}'
    threads = torch.get_num_threads()
    runner = Runner.from_cfg(config)
    loop = runner.build_train_loop(config.train_cfg)
    assert isinstance(loop, SearchLoop)
    task = loop._look()
    torch.set_num_threads(threads)
    assert task.classes == images_of(name if 'cifar' in name else 'digits.py')[2]
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
