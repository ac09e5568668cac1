import pytest
import torch
from mmengine.config import Config

from autokd_mm.models.connectors import ConvConnector
from autokd_mm.models.distillers import (Layers, distiller_config, feed_teacher, records,
                                         spec_from_config)
from autokd_mm.models.losses import FeatureLoss, LogitsLoss
from autokd_mm.registry import MODELS
from autokd_mm.space import DistillerSpace, DistillerSpec, Shapes

FEW = dict(temperature=(4, ), feature_weight=(5, ), mask_ratio=(0.65, ), logits_weight=(0.5, ),
           logits_temperature=(4, ))


def layers(student, teacher, logits='head.fc'):
    return Layers.single('backbone.layer3', 'backbone.layer2', logits, logits, student, teacher)


SAME = layers((64, 8, 8), (64, 8, 8))
WIDER = layers((16, 8, 8), (64, 8, 8))
LARGER = layers((16, 4, 5), (64, 8, 8))


def both(**options):
    return DistillerSpec.from_dict(dict(dict(
        transform='none', connector='conv1x1', intra='none', inter='none', distance='l2',
        feature_weight=1, logits='kl', logits_temperature=4, logits_weight=0.5), **options))


def test_all_of_a_config_is_explicit():
    spec = DistillerSpec('random_mask', 0.65, 'conv3x3', None, None, 'local', 4, 'channel', 'kl',
                         8, 25, None, 'pearson_both', 1, 5)
    records_of = dict(feature=dict(type='mmrazor.ModuleOutputs', source='backbone.layer3'),
                      logits=dict(type='mmrazor.ModuleOutputs', source='head.fc'))
    teacher = dict(records_of, feature=dict(type='mmrazor.ModuleOutputs', source='backbone.layer2'))
    assert distiller_config(spec, LARGER) == dict(
        type='mmrazor.ConfigurableDistiller',
        student_recorders=records_of,
        teacher_recorders=teacher,
        connectors=dict(feature=dict(type='mmrazor.ConvConnector', in_channels=16, out_channels=64,
                                     kernel_size=3, size=(8, 8))),
        distill_losses=dict(
            loss_feature=dict(type='mmrazor.FeatureLoss', transform='random_mask', mask_ratio=0.65,
                              intra='local', patch_grid=4, inter='channel', distance='kl',
                              temperature=8, loss_weight=25, channels=64),
            loss_logits=dict(type='mmrazor.LogitsLoss', distance='pearson_both', temperature=1,
                             loss_weight=5)),
        loss_forward_mappings=dict(
            loss_feature=dict(
                student=dict(recorder='feature', from_student=True, connector='feature'),
                teacher=dict(recorder='feature', from_student=False)),
            loss_logits=dict(student=dict(recorder='logits', from_student=True),
                             teacher=dict(recorder='logits', from_student=False))))


@pytest.mark.parametrize('where', [SAME, WIDER, LARGER], ids=['same', 'channels', 'size'])
@pytest.mark.parametrize('connector', ['identity', 'conv1x1', 'conv1x1_bn', 'conv3x3'])
def test_the_built_distiller_has_the_right_modules(where, connector):
    spec = both(connector=connector)
    distiller = MODELS.build(distiller_config(spec, where))
    assert {name: type(loss) for name, loss in distiller.distill_losses.items()} == dict(
        loss_feature=FeatureLoss, loss_logits=LogitsLoss)
    if connector == 'identity':
        assert not distiller.connectors
        return
    module, pair = distiller.connectors['feature'], where.pairs[0]
    assert isinstance(module, ConvConnector)
    assert module.conv.in_channels == pair.student_shape[0]
    assert module.conv.out_channels == pair.teacher_shape[0]
    assert module.conv.kernel_size == ((3, 3) if connector == 'conv3x3' else (1, 1))
    assert (module.norm is not None) == (connector == 'conv1x1_bn')
    assert module(torch.rand(2, *pair.student_shape)).shape[1:] == pair.teacher_shape


def test_only_what_is_distilled_is_recorded():
    distiller = MODELS.build(distiller_config(
        DistillerSpec('logits_only', logits='kl', logits_temperature=4, logits_weight=1), SAME))
    assert list(distiller.teacher_recorders.recorders) == ['logits']
    assert list(distiller.distill_losses) == ['loss_logits']
    spec = both(logits='none', logits_temperature=None, logits_weight=None)
    distiller = MODELS.build(distiller_config(spec, layers((4, 2, 2), (4, 2, 2), None)))
    assert list(distiller.student_recorders.recorders) == ['feature']


@pytest.mark.parametrize('size', [(8, 8), (7, 5), (2, 2), (1, 1)])
@pytest.mark.parametrize('same', [True, False])
def test_every_offered_distiller_runs(size, same):
    """All operations; hypothesis draws the numbers in test_properties."""
    student, teacher = ((3 if same else 2, ) + size, (3, ) + size)
    shapes = Shapes(4, 3, *size, classes=5, same=same)
    where = layers(student, teacher)
    generator = torch.Generator().manual_seed(0)
    made = {name: torch.randn(4, *shape, generator=generator) for name, shape in dict(
        student=student, teacher=teacher, student_logits=(5, ), teacher_logits=(5, )).items()}
    few = dict(FEW, connector=['identity'] if same else ['conv1x1_bn'], logits=['none'])
    specs = list(DistillerSpace(few, shapes).enumerate())
    specs += DistillerSpace(dict(FEW, transform='logits_only'), shapes).enumerate()
    assert len(specs) > 20
    torch.manual_seed(0)  # of masks and convolutions: a small map can be masked altogether
    for spec in specs:
        distiller = MODELS.build(distiller_config(spec, where))
        feature = made['student'].clone().requires_grad_()
        logits = made['student_logits'].clone().requires_grad_()
        for name, value in (('feature', feature), ('logits', logits)):
            if name in distiller.student_recorders.recorders:
                distiller.student_recorders.recorders[name].data_buffer.append(value)
        feed_teacher(distiller, dict(feature=made['teacher'], logits=made['teacher_logits']))
        losses = distiller.compute_distill_losses()
        assert set(losses) == {f'loss_{part}' for part in ('feature', 'logits')
                               if getattr(spec, f'has_{part}')}
        sum(losses.values()).backward()
        assert all(loss.isfinite() and loss >= 0 for loss in losses.values()), spec
        for value, there in ((feature, spec.has_feature), (logits, spec.has_logits)):
            assert not there or value.grad.isfinite().all() and value.grad.any(), spec
        records.clear_records(distiller)


# ---------------------------------------------------------------------- and back
@pytest.mark.parametrize('where', [SAME, WIDER, LARGER], ids=['same', 'channels', 'size'])
def test_spec_to_config_and_back(where):
    options = dict(FEW, logits=('none', 'pearson_both'))
    space = DistillerSpace(options, Shapes(same=where.same_shape))
    for spec in space.enumerate():
        assert spec_from_config(distiller_config(spec, where)) == spec


def test_through_a_file(tmp_path):
    path = str(tmp_path / 'distiller.py')
    for spec in list(DistillerSpace(FEW).enumerate())[::1201]:
        config = distiller_config(spec, WIDER if spec.connector != 'identity' else SAME)
        Config(dict(model=dict(distiller=config))).dump(path)
        read = Config.fromfile(path).model.distiller
        assert read.to_dict() == config and spec_from_config(read) == spec


def test_a_config_by_hand_may_leave_defaults_out():
    losses = dict(loss_feature=dict(type='FeatureLoss', transform='attention_mask'),
                  loss_logits=dict(type='mmrazor.LogitsLoss'))
    spec = spec_from_config(dict(distill_losses=losses, connectors=dict(
        feature=dict(type='mmrazor.ConvConnector', in_channels=2, out_channels=3))))
    assert spec == DistillerSpec('attention_mask', None, 'conv1x1', None, None, 'none', None,
                                 'none', 'l2', None, 1, None, 'kl', 4, 1)


@pytest.mark.parametrize('config, message', [
    (dict(distill_losses=dict(loss_neck=dict(type='L2Loss'))),
     "model.distiller.distill_losses: ['loss_neck'] are not of the search space"),
    (dict(distill_losses=dict(loss_feature=dict(type='mmrazor.L2Loss'))),
     'model.distiller.distill_losses.loss_feature: mmrazor.L2Loss is not of the search space, '
     'FeatureLoss is'),
    (dict(distill_losses=dict(loss_feature=dict(type='mmrazor.FeatureLoss')),
          connectors=dict(feature=dict(type='mmrazor.ConvModuleConnector'))),
     "model.distiller.connectors.feature: {'type': 'mmrazor.ConvModuleConnector'} is not of"),
])
def test_what_is_not_of_the_space_is_refused(config, message):
    with pytest.raises(ValueError) as info:
        spec_from_config(config)
    assert str(info.value).startswith(message) and '\n' not in str(info.value)


def test_logits_without_a_layer_for_them():
    with pytest.raises(ValueError, match='logits are distilled but no layers.student_logits and '
                                         'layers.teacher_logits are named'):
        distiller_config(both(), layers((4, 2, 2), (4, 2, 2), None))
