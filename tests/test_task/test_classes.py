"""Networks and data set speak of the same classes."""
from types import SimpleNamespace

import pytest
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.task.classes import (check_heads, check_same_classes, heads, other_names,
                                     other_order)


def network(**numbers):
    """Modules by their dotted name with ``__`` for a dot, each with a number of classes."""
    model = nn.Module()
    for name, number in numbers.items():
        at = model
        for part in name.split('__'):
            if part not in at._modules:
                at.add_module(part, nn.Module())
            at = at._modules[part]
        at.num_classes = number
    return model


def data(*classes):
    return SimpleNamespace(metainfo=dict(classes=classes))


def test_heads_are_what_tells_classes_apart():
    model = network(bbox_head=3, rpn_head=1, backbone=7, bbox_head__loss_cls=9,
                    roi_head__mask_head=4, decode_head__0=5, data_preprocessor=6,
                    neck_head=None, head=-1)
    assert list(heads(model)) == [('bbox_head', 3), ('roi_head.mask_head', 4),
                                  ('decode_head.0', 5)]
    model.bbox_head.num_stuff_classes = 2
    assert dict(heads(model)) == {'roi_head.mask_head': 4, 'decode_head.0': 5}


def test_edges_are_no_classes():
    """STDC's third auxiliary head tells edges from the rest."""

    class STDCHead(nn.Module):
        num_classes = 2

    model = network(decode_head=3)
    model.auxiliary_head = nn.ModuleList([STDCHead()])
    assert list(heads(model)) == [('decode_head', 3)]


def test_label_maps_of_a_detector_have_classes_of_their_own():
    """HTC's head, and SCNet's, which is made from it."""

    class FusedSemanticHead(nn.Module):
        num_classes = 183

    class SCNetSemanticHead(FusedSemanticHead):
        pass

    model = network(bbox_head=3)
    model.semantic_head, model.glbctx_head = FusedSemanticHead(), SCNetSemanticHead()
    assert list(heads(model)) == [('bbox_head', 3)]


@pytest.mark.parametrize('number', [2, 4])
def test_another_number_of_classes(number):
    with pytest.raises(ConfigError, match=rf'model.architecture.roi_head.bbox_head.num_classes='
                                          rf'{number}: SimpleNamespace has 3 classes \(a, b, c\)'):
        check_heads(network(roi_head__bbox_head=number), data('a', 'b', 'c'),
                      'model.architecture')
    check_heads(network(roi_head__bbox_head=3), data('a', 'b', 'c'), 'model.architecture')


def test_labels_count_where_no_class_has_a_name():
    dataset = SimpleNamespace(metainfo={}, get_gt_labels=lambda: [0, 4, 2])
    with pytest.raises(ConfigError, match='head.num_classes=4: .* labels up to 4, .* at least 5'):
        check_heads(network(head=4), dataset, 'model')
    check_heads(network(head=5), dataset, 'model')
    check_heads(network(head=4), SimpleNamespace(), 'model')


@pytest.mark.parametrize('there, words', [
    (None, ''), (['a', 'b', 'c'], ''), (['x', 'y', 'z'], ''), (['a', 'b', 'z'], ''),
    (['b', 'a', 'c'], "'a' is class 1 there and class 0"),
    (['x', 'a', 'b'], "'a' is class 1 there")])
def test_order_of_the_classes(there, words):
    teacher = nn.Module()
    teacher._trained_on = there
    found = other_order(teacher, data('a', 'b', 'c'))
    assert words in found and bool(found) == bool(words)


@pytest.mark.parametrize('there, here, strange', [
    (('zero', 'one'), ('cat', 'dog'), True), (('Cat', 'bird'), ('cat', 'dog'), False),
    (None, ('cat', 'dog'), False), (('cat', ), None, False)])
def test_a_teacher_of_other_classes_is_told_of(there, here, strange):
    teacher = nn.Module()
    teacher._trained_on = there
    found = other_names(teacher, data(*here) if here else SimpleNamespace())
    assert bool(found) == strange
    if strange:
        assert 'zero, one' in found and 'cat, dog' in found


def test_the_order_counts_whatever_the_case():
    teacher = nn.Module()
    teacher._trained_on = ['Dog', 'Cat']
    assert "'cat' is class 1 there and class 0" in other_order(teacher, data('cat', 'dog'))


def test_validation_counts_classes_as_training_does():
    training = data('cat', 'dog', 'owl')
    for other in (training, data('Cat', 'dog'), data('cat', 'dog', 'owl', 'yak'), data('yak'),
                  data(), SimpleNamespace()):
        check_same_classes(training, other, 'val_dataloader.dataset')
    with pytest.raises(ConfigError, match=r"^val_dataloader.dataset: class 'dog' is number 0 there "
                                          r'.dog, owl. and number 1 in train_dataloader'):
        check_same_classes(training, data('dog', 'owl'), 'val_dataloader.dataset')


def test_a_name_that_stands_twice_says_nothing():
    """ImageNet has two cranes and two maillots."""
    both = data('crane', 'owl', 'crane')
    check_same_classes(both, both, 'val_dataloader.dataset')
    teacher = network(head=3)
    teacher._trained_on = ['crane', 'owl', 'crane']
    assert other_order(teacher, both) == ''
    with pytest.raises(ConfigError, match="class 'owl' is number 0 there"):
        check_same_classes(both, data('owl', 'crane', 'crane'), 'val_dataloader.dataset')
