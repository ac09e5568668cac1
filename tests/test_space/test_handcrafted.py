from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

from autokd_mm.errors import ConfigError
from autokd_mm.models.distillers import Layers, distiller_config, spec_from_config
from autokd_mm.registry import MODELS
from autokd_mm.space import DistillerSpace, Shapes
from autokd_mm.space.handcrafted import (HANDCRAFTED, NOT_IN_SPACE, WITH_BOXES, first_params,
                                         handcrafted)

CONFIGS = Path(__file__).parents[2] / 'configs' / 'distill'
SUFFIX = '_resnet56_resnet20_cifar10.py'
# layer3 of ResNet-56 and ResNet-20 on 32 x 32 images
LAYERS = Layers.single('backbone.layer3', 'backbone.layer3', 'head.fc', 'head.fc', (64, 8, 8),
                       (64, 8, 8))
NAMED = {'KD', 'FitNet', 'AT', 'SP', 'CC', 'RKD-D', 'RKD-A', 'ICKD', 'CWD', 'PKD', 'MGD', 'FKD',
         'FGD', 'LKD', 'DIST', 'ReviewKD', 'CRD'}


def test_every_method_is_a_point_or_says_why_not():
    assert NAMED <= set(HANDCRAFTED) | set(NOT_IN_SPACE)
    assert not set(HANDCRAFTED) & set(NOT_IN_SPACE) and not set(HANDCRAFTED) & set(WITH_BOXES)
    assert not set(WITH_BOXES) & set(NOT_IN_SPACE)


@pytest.mark.parametrize('name', WITH_BOXES)
@pytest.mark.parametrize('same', [True, False])
def test_a_method_with_boxes_is_a_point_of_a_space_with_boxes(name, same):
    point = handcrafted(name, same)
    assert DistillerSpace(shapes=Shapes(same=same, boxes=True)).params(point)
    assert point.connector == ('identity' if same else 'conv1x1')
    with pytest.raises(ValueError):
        DistillerSpace(shapes=Shapes(same=same)).params(point)


def test_the_config_of_fgd_has_its_point_on_every_level():
    config = Config.fromfile(str(CONFIGS / 'fgd_retinanet_r101_r50_coco.py'))
    losses = config.model.distiller.distill_losses
    point = handcrafted('FGD-focal')
    made = distiller_config(point, LAYERS)['distill_losses']['loss_feature']
    assert sorted(losses) == [f'loss_p{level}' for level in range(3, 8)]
    for loss in losses.values():
        # alpha of the paper times 256 channels; the space offers 1 as the nearest
        assert loss.pop('loss_weight') == pytest.approx(1e-3 * 256)
        assert dict(loss) == {key: value for key, value in made.items()
                              if key not in ('loss_weight', 'intra', 'inter')}
        one = dict(distill_losses=dict(loss_feature=dict(loss, loss_weight=1)))
        assert spec_from_config(one) == point


@pytest.mark.parametrize('name', HANDCRAFTED)
@pytest.mark.parametrize('same', [True, False])
def test_a_method_is_a_point_of_the_default_space(name, same):
    point = handcrafted(name, same)
    assert DistillerSpace(shapes=Shapes(same=same)).params(point)
    assert point.connector == ((None, 'identity') if same else (None, 'conv1x1'))[point.has_feature]


@pytest.mark.parametrize('name', HANDCRAFTED)
def test_its_config_has_this_very_distiller(name):
    config = Config.fromfile(str(CONFIGS / (name.lower() + SUFFIX)))
    written, point = config.model.distiller.to_dict(), handcrafted(name)
    made = distiller_config(point, LAYERS)
    assert spec_from_config(written) == point
    assert {key: value for key, value in written.items() if value} == \
        {key: value for key, value in made.items() if value}
    again = Config.fromstring(config.pretty_text, '.py')
    assert again.model.distiller.to_dict() == written


def test_there_is_no_other_config_of_this_pair():
    names = {path.name[:-len(SUFFIX)] for path in CONFIGS.glob('*' + SUFFIX)}
    assert names == {name.lower() for name in HANDCRAFTED}


@pytest.mark.parametrize('name', ['KD', 'MGD', 'LKD'])
def test_its_config_builds(name):
    """The whole model; the losses of all are built in test_from_spec."""
    config = Config.fromfile(str(CONFIGS / (name.lower() + SUFFIX)))
    config.model.teacher.backbone.depth = 8  # saves seconds
    config.model.teacher_ckpt = None
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(config.model)
    kinds = {type(loss).__name__ for loss in model.distiller.distill_losses.values()}
    assert kinds == {'LogitsLoss' if name == 'KD' else 'FeatureLoss'}


@pytest.mark.parametrize('name, message', [
    ('CRD', 'warm_start: CRD is not in the space: it contrasts every sample with a memory bank'),
    ('ReviewKD', 'warm_start: ReviewKD is not in the space: it fuses several student stages'),
    ('FGD', 'warm_start: FGD is not in the space: it adds a loss between attention maps and one '
            'between global contexts to its feature loss; the feature loss alone is FGD-focal'),
    ('FGD-local', "warm_start: 'FGD-local' is unknown, did you mean 'FGD-focal'?"),
    ('MDG', "warm_start: 'MDG' is unknown, did you mean 'MGD'? Valid: KD, FitNet, AT"),
])
def test_what_is_not_a_point_is_refused_with_the_reason(name, message):
    with pytest.raises(ValueError) as info:
        handcrafted(name)
    assert str(info.value).startswith(message) and '\n' not in str(info.value)


@pytest.mark.parametrize('item', ['KD', dict(method='KD', logits_weight=2),
                                  dict(transform='logits_only', logits='kl', logits_temperature=4,
                                       logits_weight=1)])
def test_what_the_space_does_not_offer_is_told_with_its_name(item):
    """The list may be inherited, and the config says nothing of the method."""
    space = DistillerSpace({}, Shapes(has_logits=False))
    with pytest.raises(ConfigError) as info:
        first_params(item, space)
    told = 'KD' if 'KD' in str(item) else item
    assert str(info.value).startswith(f"warm_start: {told}: distiller option transform="
                                      "'logits_only' is not offered here")
    with pytest.raises(ConfigError, match="^warm_start: 'MDG' is unknown"):
        first_params('MDG', space)
    assert first_params('FitNet', DistillerSpace())['transform'] == 'none'
