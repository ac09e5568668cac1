"""Which parts of the teacher a search offers."""
import pytest
from torch import nn

from autokd_mm.datasets.annotations import BOXES, LABEL
from autokd_mm.errors import ConfigError
from autokd_mm.task.inheriting import fitting_parts, with_usable_rates

PLAIN = dict(optimizer=dict(type='SGD', lr=0.1))
BY_LAYER = dict(PLAIN, constructor='mmdet.LearningRateDecayOptimizerConstructor')


class Network(nn.Module):

    def __init__(self, width=4, classes=3, head='head'):
        super().__init__()
        self.backbone, self.neck = nn.Linear(2, width), nn.Linear(width, 4)
        self.add_module(head, nn.Linear(4, classes))


def look(kind, options, teacher=None, student=None):
    said = []
    parts = fitting_parts(student or Network(), teacher or Network(), kind, options, said.append)
    return list(parts.fitting), said


def test_what_fits_is_offered_and_said():
    assert look(LABEL, {}) == (['classifier'], ["start=classifier: head as the teacher's (2 "
                                                'tensors)'])
    wider = Network(8)
    assert look(BOXES, {}, wider) == (['head'], [
        "start=head: head as the teacher's (2 tensors)",
        'start=neck_head left out: neck.weight is 4 x 8 in the teacher and 4 x 4 in the student'])


def test_what_a_config_leaves_out_is_not_looked_at():
    assert look(BOXES, dict(start=['own'])) == ([], [])
    assert look(BOXES, dict(start='own'), Network(classes=5)) == ([], [])
    assert look(BOXES, dict(start=['own', 'head']))[0] == ['head']
    assert look(LABEL, dict(start=['own', 'head'])) == ([], [])


def test_nothing_fits():
    fitting, said = look(BOXES, {}, Network(classes=5))
    assert fitting == [] and said == ['start=head and neck_head left out: head.weight is 5 x 4 in '
                                      'the teacher and 3 x 4 in the student']


@pytest.mark.parametrize('kind, start, reason', [
    (BOXES, ['head'], 'head.weight is 5 x 4 in the teacher and 3 x 4 in the student'),
    (LABEL, ['head'], 'this task has classifier'),
    (BOXES, 'classifier', 'this task has head, neck_head')])
def test_a_start_that_is_asked_for_and_does_not_fit(kind, start, reason):
    with pytest.raises(ConfigError) as info:
        look(kind, dict(start=start), Network(classes=5))
    names = [start] if isinstance(start, str) else start
    assert str(info.value) == (f'space.start: {names} cannot be copied from the teacher ({reason});'
                               " did you mean 'own'?")


def test_rates_that_an_optimiser_cannot_give():
    said = []
    parts = fitting_parts(Network(), Network(), LABEL, {}, lambda line: None)
    assert with_usable_rates({}, PLAIN, parts, said.append) == {} and not said
    assert with_usable_rates({}, BY_LAYER, parts, said.append) == dict(start_lr=(1, 0))
    assert said == ['start_lr=0.1 left out: optim_wrapper.constructor='
                    'LearningRateDecayOptimizerConstructor sets the learning rates itself']
    with pytest.raises(ConfigError, match=r'^space.start_lr: \[0.1\] cannot be used \(optim_wr'):
        with_usable_rates(dict(start_lr=[0.1]), BY_LAYER, parts, said.append)
    none = fitting_parts(Network(), Network(classes=5), LABEL, {}, lambda line: None)
    assert with_usable_rates({}, BY_LAYER, none, said.append) == {}
