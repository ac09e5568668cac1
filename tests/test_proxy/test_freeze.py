"""First stages of the student that take no gradient."""
import copy

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.models.backbones import CifarResNet
from autokd_mm.proxy.freeze import first_stages, freeze


class Student(BaseModel):

    def __init__(self):
        super().__init__()
        self.backbone = CifarResNet(depth=8, base_channels=4)
        self.aside = nn.Linear(3, 3)  # never runs
        self.fc = nn.Linear(16, 10)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        logits = self.fc(self.backbone(inputs)[-1].mean((2, 3)))
        return logits if mode == 'tensor' else dict(loss=logits.square().mean())


@pytest.fixture
def student():
    torch.manual_seed(0)
    return Student()


INPUTS = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
STEM = ('backbone.conv1', 'backbone.layer1')
FEATURE = ['backbone.layer3']


def trainable(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_normalisations_between_the_stages_go_with_them(student):
    frozen = first_stages(student, STEM, FEATURE, INPUTS)
    assert frozen == (*STEM, 'backbone.bn1')
    assert all(name.startswith(('backbone.layer2', 'backbone.layer3', 'fc', 'aside'))
               for name in trainable(student))


def test_no_graph_in_frozen_stages_and_the_gradients_of_the_others_stay(student):
    free = copy.deepcopy(student).train()
    first_stages(student, STEM, FEATURE, INPUTS)
    seen = {}
    for name in ('layer1', 'layer2'):
        getattr(student.backbone, name).register_forward_hook(
            lambda module, args, output, name=name: seen.setdefault(name, output))
    student.train()
    for model in (free, student):
        model(INPUTS, mode='loss')['loss'].backward()
    assert seen['layer1'].grad_fn is None and seen['layer2'].grad_fn is not None
    frozen = {name for name, parameter in student.named_parameters() if parameter.grad is None}
    assert {name.split('.')[1] for name in frozen} == {'conv1', 'bn1', 'layer1', 'weight', 'bias'}
    for (name, one), other in zip(student.named_parameters(), free.parameters()):
        if one.grad is not None:
            assert torch.equal(one.grad, other.grad), name
    # BatchNorm goes on: the same statistics as in the free student.
    assert torch.equal(student.backbone.bn1.running_var, free.backbone.bn1.running_var)
    assert not torch.equal(student.backbone.bn1.running_var, torch.ones(4))


def test_frozen_weights_stay_where_they_are(student):
    first_stages(student, STEM, FEATURE, INPUTS)
    before = copy.deepcopy(dict(student.named_parameters()))
    # As MMEngine builds it: all parameters, frozen ones too.
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    student.train()
    for _ in range(2):
        optimizer.zero_grad()
        student(INPUTS, mode='loss')['loss'].backward()
        optimizer.step()
    same = {name for name, parameter in student.named_parameters()
            if torch.equal(parameter, before[name])}
    assert {name for name in before if name.startswith(('backbone.conv1', 'backbone.bn1',
                                                        'backbone.layer1'))} <= same
    assert not {name for name in same if name.startswith(('backbone.layer3', 'fc'))}


def test_a_copy_is_frozen_as_well(student):
    first_stages(student, STEM, FEATURE, INPUTS)
    twin = copy.deepcopy(student).train()
    assert trainable(twin) == trainable(student)
    twin(INPUTS, mode='loss')['loss'].backward()
    assert twin.backbone.conv1.weight.grad is None and twin.fc.weight.grad is not None
    assert student.fc.weight.grad is None


def test_nothing_frozen_is_nothing_done(student):
    every = trainable(student)
    assert first_stages(student, (), FEATURE, INPUTS) == () and trainable(student) == every
    assert not any(module._forward_hooks for module in student.modules())


def test_hooks_are_gone(student):
    first_stages(student, STEM, FEATURE, INPUTS)
    with pytest.raises(ConfigError):
        first_stages(student, ('fc', ), FEATURE, INPUTS)
    assert not any(module._forward_hooks for module in student.modules())


@pytest.mark.parametrize('names, words', [
    (['backbone.layr1'], "proxy.frozen: Student has no layer 'backbone.layr1'; the nearest are "
                         'backbone.layer1'),
    (['backbone.relu'], "proxy.frozen: 'backbone.relu' has no parameters"),
    (['backbone.layer1'], r"trainable layers run before 'backbone.layer1' \(backbone.conv1\)"),
    (['backbone.conv1', 'backbone.layer2'],
     r"before 'backbone.layer2' \(backbone.layer1.0.conv1, backbone.layer1.0.conv2\)"),
    (['backbone.layer3'], r"before 'backbone.layer3' \(.*backbone.conv1.* \.\.\.\)"),
    ([*STEM, 'fc'], "'fc' does not run before layers.student='backbone.layer3'"),
    ([*STEM, 'aside'], "'aside' does not run before layers.student='backbone.layer3'"),
    ([*STEM, 'backbone.layer2', 'backbone.layer3'],
     "everything up to layers.student='backbone.layer3' is frozen"),
    (['backbone'], "everything up to layers.student='backbone.layer3' is frozen"),
])
def test_what_cannot_be_frozen(student, names, words):
    with pytest.raises(ConfigError, match=words):
        first_stages(student, names, FEATURE, INPUTS)


def test_an_earlier_feature_needs_an_earlier_stage(student):
    with pytest.raises(ConfigError, match="everything up to layers.student='backbone.layer1'"):
        first_stages(copy.deepcopy(student), STEM, ['backbone.layer1'], INPUTS)
    frozen = first_stages(student, ['backbone.conv1'], ['backbone.layer1'], INPUTS)
    assert frozen == ('backbone.conv1', )
    assert 'backbone.bn1.weight' in trainable(student)


def test_by_name_alone(student):
    assert freeze(student, ['backbone.layer2']) is student
    assert {name.split('.')[1] for name in {n for n, _ in student.named_parameters()}
            - trainable(student)} == {'layer2'}
