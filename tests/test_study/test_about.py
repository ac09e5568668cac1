"""What a study says of its search."""
from autokd_mm.study.about import task_name


def about(student=4_900, data='Digits, 1,257 training images', **more):
    return dict(networks=dict(
        teacher=dict(name='ResNet of depth 34', parameters=21_797_672),
        student=dict(name='ShuffleNetV2', parameters=student)), data=data, **more)


def test_tasks_are_told_apart():
    names = [task_name(one) for one in (
        about(), about(7_000), about(data='ImageNet, 1,281,167 training images'))]
    assert names[0] == 'resnet34-21798k_shufflenetv2-5k_digits-1257'
    assert names[2].endswith('_imagenet-1281167') and len(set(names)) == 3
    assert task_name(about(samples=640)) == names[0]  # another proxy


def test_old_studies_have_no_name():
    for old in ({}, dict(networks=None), dict(about(), data=None), dict(about(), data='images')):
        assert task_name(old) is None
