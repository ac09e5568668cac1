"""The bank of a full training, from files on the disk to the losses of a step."""
import copy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import DataLoader

from autokd_mm.bank import FeatureBank
from autokd_mm.errors import ConfigError
from autokd_mm.registry import MODELS
from autokd_mm.teacher.bank_config import train_from
from autokd_mm.teacher.full_bank import TeacherBank

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomCrop', crop_size=12, padding=2),
    dict(type='RandomFlip', prob=0.5),
    dict(type='ColorJitter', brightness=0.5, contrast=0.5, saturation=0.5, hue=0.3),
    dict(type='PackInputs'),
]
LAYERS = dict(feature='backbone.layer3', logits='head.fc')


def network(channels, mean):
    return dict(
        type='ImageClassifier',
        data_preprocessor=dict(num_classes=2, mean=[mean] * 3, std=[60., 50., 55.], to_rgb=True),
        backbone=dict(type='mmrazor.CifarResNet', depth=8, base_channels=channels),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=2, in_channels=4 * channels,
                  loss=dict(type='CrossEntropyLoss')))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """24 colour images in two classes, and a teacher with random weights."""
    import mmcv
    root = tmp_path_factory.mktemp('images')
    generator = np.random.default_rng(0)
    for number in range(24):
        # not all of one size
        image = generator.integers(0, 256, (14 + number % 2, 14, 3)).astype(np.uint8)
        mmcv.imwrite(image, str(root / 'images' / f'class{number % 2}' / f'{number}.png'))
    return root


@pytest.fixture
def config(folder):
    recorders = {name: dict(type='mmrazor.ModuleOutputs', source=source)
                 for name, source in LAYERS.items()}
    mapping = {f'loss_{name}': {who: dict(recorder=name, from_student=who == 'student')
                                for who in ('student', 'teacher')} for name in LAYERS}
    mapping['loss_feature']['student']['connector'] = 'feature'
    path = folder / 'teacher.pth'
    config = Config(dict(
        default_scope='mmpretrain', data_preprocessor=None,
        model=dict(
            type='mmrazor.FrozenTeacherDistill', architecture=network(4, 120.),
            teacher=network(8, 100.), teacher_ckpt=str(path),
            distiller=dict(
                type='mmrazor.ConfigurableDistiller', student_recorders=recorders,
                teacher_recorders=recorders,
                connectors=dict(feature=dict(type='mmrazor.ConvConnector', in_channels=16,
                                             out_channels=32)),
                distill_losses=dict(loss_feature=dict(type='mmrazor.FeatureLoss'),
                                    loss_logits=dict(type='mmrazor.LogitsLoss')),
                loss_forward_mappings=mapping)),
        train_dataloader=dict(
            batch_size=5, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=True),
            dataset=dict(type='CustomDataset', data_prefix=str(folder / 'images'),
                         pipeline=PIPELINE))))
    if not path.exists():
        torch.manual_seed(7)
        teacher = MODELS.build(config.model.teacher)
        teacher.init_weights()
        for module in teacher.modules():  # as behind a training
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(), module.running_var.uniform_(0.5, 2)
        torch.save(dict(state_dict=teacher.state_dict()), str(path))
    return config


@pytest.fixture
def write(config, tmp_path):
    """(config, **arguments) -> the finished bank."""
    def make(own=config, warn=pytest.fail, name='bank', **how):
        return TeacherBank(own, str(tmp_path / name), **how).open_or_build(warn)

    return make


def build(config):
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(config.model))
    model.init_weights()
    return model.train()


def batches(config, epoch, seed=0):
    """What a training's dataloader gives in an epoch."""
    loader = config.train_dataloader
    dataset = DATASETS.build(copy.deepcopy(loader.dataset))
    sampler = DATA_SAMPLERS.build(dict(loader.sampler), default_args=dict(dataset=dataset,
                                                                          seed=seed))
    sampler.set_epoch(epoch)
    return DataLoader(dataset, loader.batch_size, sampler=sampler, collate_fn=pseudo_collate)


def test_bank_and_running_teacher_agree(config, write, tmp_path):
    """Crop, flip, jitter, two views, all batches: losses and gradients of the student."""
    bank = write(views=2, dtype='float32')
    with_bank = copy.deepcopy(config)
    train_from(with_bank, bank.path)
    banked, online = build(with_bank), build(config)
    calls = []
    banked.teacher.register_forward_pre_hook(lambda *_: calls.append(1))
    seen = []
    for epoch in range(3):
        for batch in batches(with_bank, epoch):
            found, expected = [
                model(**model.data_preprocessor(copy.deepcopy(batch), True), mode='loss')
                for model in (banked, online)]
            for name in ('student.loss', 'distill.loss_feature', 'distill.loss_logits'):
                assert found[name].item() == pytest.approx(expected[name].item(), rel=1e-5)
            seen += [(sample.view_sample, sample.view) for sample in batch['data_samples']]
    gradients = []
    for model, losses in ((banked, found), (online, expected)):
        sum(losses.values()).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for one, other in zip(*gradients):
        assert (one - other).abs().max() <= 1e-5 * other.abs().max() + 1e-9
    assert sorted(seen) == sorted([(i, v) for i in range(24) for v in (0, 1, 0)])
    assert len(calls) == 1  # the comparison of the first batch


@pytest.mark.parametrize('dtype, rel', [('float32', 1e-5), ('float16', 2e-3),
                                        ('bfloat16', 2**-8)])
def test_records_are_the_teachers(config, write, dtype, rel):
    bank = write(views=2, dtype=dtype)
    with_bank = copy.deepcopy(config)
    train_from(with_bank, bank.path)
    dataset = DATASETS.build(copy.deepcopy(with_bank.train_dataloader.dataset))
    teacher = build(config).teacher
    assert set(bank.arrays) == set(LAYERS.values())
    for place in (0, 17, 47):
        data = teacher.data_preprocessor(pseudo_collate([dataset[place]]), False)
        with torch.no_grad():
            feature = teacher.backbone(data['inputs'])[-1]
            logits = teacher.head.fc(teacher.neck(feature))
        for name, expected in (('backbone.layer3', feature), ('head.fc', logits)):
            found = bank.rows(name, [place])
            assert np.abs(found - expected.numpy()).max() <= rel * expected.abs().max().item()


def test_in_words_and_defaults(config, tmp_path):
    bank = TeacherBank(config, str(tmp_path / 'bank'))
    assert '8 views of 24 samples, backbone.layer3 32x3x3, head.fc 2 as float16' in bank.in_words()
    assert f'{24 * 8 * (32 * 9 + 2) * 2 / 2**20:.1f} MiB' in bank.in_words()
    assert bank.plan.bytes == 24 * 8 * (32 * 9 + 2) * 2


def test_what_is_not_said_is_as_in_the_bank_that_is_there(config, write):
    first = write(views=3, dtype='bfloat16', seed=5, layers=['head.fc', 'backbone.layer3', 'neck'])
    again = write()
    assert again.made_from == first.made_from and 'neck[0]' in again.arrays


def test_modules_that_return_tuples(write):
    bank = write(views=1, layers=['backbone', 'head.fc'])
    assert set(bank.arrays) == {'backbone[0]', 'head.fc'}


def test_tokens_that_come_with_their_grid(config, write, tmp_path):
    """The bank holds the tokens of Swin's stage, and the losses are those of the running one."""
    own = copy.deepcopy(config)
    own.model.teacher.backbone = dict(
        type='SwinTransformer', img_size=12, patch_size=2, window_size=3, pad_small_map=True,
        arch=dict(embed_dims=32, depths=[1] * 4, num_heads=[1] * 4))
    own.model.teacher.head.in_channels = 256
    torch.manual_seed(0)
    own.model.teacher_ckpt = str(tmp_path / 'swin.pth')
    torch.save(dict(state_dict=MODELS.build(own.model.teacher).state_dict()),
               own.model.teacher_ckpt)
    distiller = own.model.distiller
    distiller.teacher_recorders.feature.source = 'backbone.stages.0'
    distiller.loss_forward_mappings.loss_feature.teacher.update(data_idx=0, connector='tokens')
    distiller.connectors.tokens = dict(type='mmrazor.IdentityConnector', extra_tokens=0)
    distiller.connectors.feature.size = (6, 6)
    bank = write(own, views=1, dtype='float32')
    assert set(bank.arrays) == {'backbone.stages.0[0]', 'head.fc'}
    with_bank = copy.deepcopy(own)
    train_from(with_bank, bank.path)
    batch = next(iter(batches(with_bank, 0)))
    found, expected = [
        model(**model.data_preprocessor(copy.deepcopy(batch), True), mode='loss')
        for model in (build(with_bank), build(own))]
    assert found['distill.loss_feature'].item() == pytest.approx(
        expected['distill.loss_feature'].item(), rel=1e-5)


def test_torn_shard_is_made_again(config, write, tmp_path):
    before = np.asarray(write(views=2).arrays['head.fc'])
    (tmp_path / 'bank' / 'head.fc.00000.npy').write_bytes(b'torn')
    warnings = []
    after = write(warn=warnings.append).arrays['head.fc']
    assert len(warnings) == 1 and 'head.fc.00000.npy' in warnings[0]
    assert np.array_equal(before, np.asarray(after))


def test_progress(config, tmp_path):
    seen = []
    TeacherBank(config, str(tmp_path / 'bank'), views=2).open_or_build(
        pytest.fail, progress=lambda *args: seen.append(args))
    assert seen[0] == ('teacher', 5, 48) and seen[-1] == ('teacher', 48, 48)


# ---------------------------------------------------------------------- refusals
@pytest.mark.parametrize('change, words', [
    (dict(views=3), 'data.views: 2 there, 3 here'), (dict(seed=1), 'data.seed: 0 there, 1 here'),
    (dict(dtype='float32'), 'dtype: "float16" there, "float32" here'),
    (dict(layers=['neck']), "--layers: 'neck' is unknown")])
def test_bank_of_other_settings_is_refused(write, change, words):
    write(views=2)
    with pytest.raises(ConfigError, match=words):
        write(**change)


@pytest.mark.parametrize('key, value, words', [
    ('model.teacher.data_preprocessor.mean', [1.] * 3, 'teacher_config: .*100.0.*1.0'),
    ('train_dataloader.dataset.pipeline.1.crop_size', 10, 'pipeline: .*12, 12.* there'),
    ('train_dataloader.dataset.indices', 20, 'data.samples: 24 there, 20 here')])
def test_bank_of_other_data_or_normalisation_is_refused(config, write, key, value, words):
    write(views=2)
    config.merge_from_dict({key: value}, allow_list_keys=True)
    with pytest.raises(ConfigError, match=words):
        write(config)


def test_bank_of_another_teacher_is_refused(config, write, tmp_path):
    write(views=2)
    weights = torch.load(config.model.teacher_ckpt, weights_only=True)
    weights['state_dict']['head.fc.bias'] += 1
    config.model.teacher_ckpt = str(tmp_path / 'other.pth')
    torch.save(weights, config.model.teacher_ckpt)
    with pytest.raises(ConfigError, match='teacher: ".*" there, ".*" here'):
        write(config)


@pytest.mark.parametrize('options, words', [
    ({'model.type': 'mmrazor.SingleTeacherDistill'}, 'model.type: .*FrozenTeacherDistill'),
    ({'model.teacher_ckpt': None}, 'teacher_ckpt is not set'),
    ({'model.architecture.type': 'mmdet.RetinaNet'}, 'model.architecture: there is no bank for '
     'networks of mmdet, whose images differ in size'),
    ({'default_scope': 'mmseg'}, 'networks of mmseg'),
    ({'model.architecture.train_cfg': dict(augments=dict(type='Mixup', alpha=1.))},
     'model.architecture.train_cfg.*: batch-level mixing'),
    ({'train_dataloader.sampler.type': 'RepeatAugSampler'}, 'RepeatAugSampler cannot take views'),
    ({'train_dataloader.batch_sampler': dict(type='AspectRatioBatchSampler')},
     'train_dataloader.batch_sampler'),
    ({'model.distiller.teacher_recorders': {}}, 'model.distiller: it records nothing'),
    ({'train_dataloader.dataset.pipeline': [PIPELINE[0], PIPELINE[-1]]},
     'pipeline: images differ in size'),
])
def test_trainings_that_can_have_no_bank(config, write, options, words):
    for key, value in options.items():
        parent = config
        *path, last = key.split('.')
        for name in path:
            parent = parent[name]
        parent[last] = value
    with pytest.raises(ConfigError, match=words):
        write(config)


@pytest.mark.parametrize('how, words', [
    (dict(layers=['backbone.layer9']), "--layers: ImageClassifier has no layer 'backbone.layer9'; "
     'the nearest are .*backbone.layer'),
    (dict(dtype='float61'), "--dtype: 'float61' is unknown, did you mean 'float16'"),
    (dict(views=0), 'views=0: must be')])
def test_mistakes(write, how, words):
    with pytest.raises(ConfigError, match=words):
        write(**how)


def test_layer_that_runs_twice_is_refused(config, write, monkeypatch):
    from autokd_mm.models.backbones.cifar_resnet import CifarResNet
    before = CifarResNet.forward
    monkeypatch.setattr(CifarResNet, 'forward',
                        lambda self, x: (self.conv1(x), before(self, x))[1])
    with pytest.raises(ConfigError, match="'backbone.conv1' runs 2 times"):
        write(layers=['backbone.conv1'])


def test_numbers_too_large_for_float16(config, write, tmp_path):
    weights = torch.load(config.model.teacher_ckpt, weights_only=True)
    weights['state_dict']['head.fc.bias'] += 1e5
    config.model.teacher_ckpt = str(tmp_path / 'large.pth')
    torch.save(weights, config.model.teacher_ckpt)
    with pytest.raises(ConfigError, match='head.fc is not finite in float16; use --dtype float32'):
        write(config, views=1)
    assert np.asarray(write(config, views=1, dtype='bfloat16').arrays['head.fc']).min() > 9e4


def test_bank_of_a_search_is_refused(config, parts, tmp_path):
    parts.banks(tmp_path / 'search')
    with pytest.raises(ConfigError, match='is the bank of a search'):
        TeacherBank(config, str(tmp_path / 'search' / 'train'))
    with pytest.raises(ConfigError, match='--teacher-bank: .* is the bank of a search'):
        train_from(config, str(tmp_path / 'search' / 'train'))
    assert FeatureBank(str(tmp_path / 'search' / 'train')).plan.rows == 128
