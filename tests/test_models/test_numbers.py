"""Numbers that a config gives a loss: another kind of value is one line, which names the key."""
import pytest

from autokd_mm.errors import ConfigError
from autokd_mm.models.losses import (BoxesLoss, ClassMapsLoss, FeatureLoss, LogitsLoss,
                                     QualityLoss)

DELTA = dict(type='delta')


@pytest.mark.parametrize('make, message', [
    (lambda: LogitsLoss(temperature='4'), "LogitsLoss.temperature must be above 0, got '4'"),
    (lambda: LogitsLoss(temperature=float('inf')), 'LogitsLoss.temperature must be above 0'),
    (lambda: LogitsLoss(loss_weight=True), 'LogitsLoss.loss_weight must be a number, got True'),
    (lambda: FeatureLoss(distance='kl', temperature='4'), 'KLDistance.temperature must be above'),
    (lambda: FeatureLoss(transform='random_mask', channels=4, mask_ratio='a'),
     "RandomMaskTransform.mask_ratio must be between 0 and 1, got 'a'"),
    (lambda: ClassMapsLoss(classes=True), 'ClassMapsLoss.classes must be a whole number of at '),
    (lambda: QualityLoss(classes='a'), "QualityLoss.classes must be a whole number of at least 1"),
    (lambda: BoxesLoss(classes=0, coding=DELTA), 'BoxesLoss.classes must be a whole number of at'),
    (lambda: BoxesLoss(classes=3, coding='delta'), "BoxesLoss.coding='delta': must be a dict with"),
    (lambda: BoxesLoss(classes=3, coding=dict(typ='delta')), "BoxesLoss.coding={'typ': 'delta'}: "),
    (lambda: BoxesLoss(classes=3, coding=dict(DELTA, mean=3)),
     "BoxesLoss.coding: 'mean' is unknown, did you mean 'means'?"),
    (lambda: BoxesLoss(classes=3, coding=dict(DELTA, means=3)),
     'BoxesLoss.coding.means=3: must be four numbers'),
    (lambda: BoxesLoss(classes=3, coding=DELTA, temperature=None), 'BoxesLoss.temperature must'),
])
def test_another_kind_of_value(make, message):
    with pytest.raises(ConfigError) as info:
        make()
    assert str(info.value).startswith(message)
