"""However a pair is written, everybody sees its images through the same preprocessor."""
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NORMAL = dict(num_classes=10, mean=[78.35], std=[95.95], to_rgb=False)
OURS = dict(NORMAL, type='mmpretrain.ClsDataPreprocessor')
# As MMRazor writes it, with numbers that the networks do not have.
MMENGINES = dict(type='ImgDataPreprocessor', mean=[78.35], std=[95.95])

# MODEL: what differs from our own form.
TRAINING = '''
_base_ = {base!r}
teacher_ckpt = {teacher!r}
model = dict(
    teacher=dict(backbone=dict(base_channels=8), head=dict(in_channels=32)),
    teacher_ckpt=teacher_ckpt,
    distiller=dict(
        type='mmrazor.ConfigurableDistiller',
        student_recorders=dict(fc=dict(type='mmrazor.ModuleOutputs', source='head.fc')),
        teacher_recorders=dict(fc=dict(type='mmrazor.ModuleOutputs', source='head.fc')),
        distill_losses=dict(loss_kl=dict(type='mmrazor.KLDivergence', tau=4)),
        loss_forward_mappings=dict(loss_kl=dict(
            preds_S=dict(from_student=True, recorder='fc'),
            preds_T=dict(from_student=False, recorder='fc')))))
train_cfg = dict(max_epochs=2, val_interval=1)
default_hooks = dict(checkpoint=dict(interval=2))
test_dataloader = {{{{_base_.val_dataloader}}}}
'''
SEARCH = '''
train_cfg = dict(
    _delete_=True, type='mmrazor.SearchLoop', trials=1,
    layers=dict(student='backbone.layer3', teacher='backbone.layer3',
                student_logits='head.fc', teacher_logits='head.fc'),
    proxy=dict(images=64, held_out=32, batch_size=32, epochs=1),
    full_training=dict(by_epoch=True, max_epochs=1, val_interval=1))
'''
NONE = 'architecture=dict(data_preprocessor=None), teacher=dict(data_preprocessor=None)'
FORMS = dict(
    at_the_networks='',
    at_the_algorithm=f'model = dict(data_preprocessor={OURS}, {NONE})',
    of_mmengine=f'model = dict(data_preprocessor={MMENGINES}, {NONE})',
    at_the_algorithm_without_type=f'model = dict(data_preprocessor={NORMAL}, {NONE})',
    at_the_top=f'data_preprocessor = dict(_delete_=True, **{OURS})\nmodel = dict({NONE})',
    at_the_top_without_type=f'data_preprocessor = dict(_delete_=True, **{NORMAL})\n'
    f'model = dict({NONE})',
    at_the_top_and_the_networks="data_preprocessor = dict(_delete_=True, mean=[0.0], std=[1.0])",
    of_the_student="model = dict(teacher=dict(data_preprocessor=None))",
    of_mmrazor=f"""
model = dict(type='mmrazor.SingleTeacherDistill', data_preprocessor={MMENGINES}, {NONE})
val_cfg = dict(type='mmrazor.SingleTeacherDistillValLoop')""",
    by_path="""
data_preprocessor = None
model = dict(
    architecture=dict(_delete_=True, cfg_path={student!r}, pretrained=False),
    teacher=dict(_delete_=True, cfg_path={teacher!r}, pretrained=False))
val_cfg = dict(type='mmrazor.SingleTeacherDistillValLoop')""")
NETWORK = '''
_base_ = {base!r}
default_scope = 'mmpretrain'
data_preprocessor = {normal!r}
model = dict(data_preprocessor={normal!r})
test_dataloader = {{{{_base_.val_dataloader}}}}
'''


@pytest.fixture(scope='module')
def networks(tmp_path_factory):
    """Configs of the student and of the teacher as models of their own."""
    folder = tmp_path_factory.mktemp('networks')
    for name in ('w4', 'w32'):
        text = NETWORK.format(base=str(ROOT / f'configs/vanilla/resnet8-{name}_digits.py'),
                              normal=NORMAL)
        if name == 'w32':
            text += '''model.update(backbone=dict(base_channels=8), head=dict(in_channels=32))
'''
        (folder / f'{name}.py').write_text(text)
    return folder


@pytest.fixture(scope='module')
def of_the_teacher():
    """Filled by the first test that asks."""
    return {}


def accuracy(tool, config, checkpoint, folder):
    out = folder / 'metrics.json'
    tool('test', config, checkpoint, '--work-dir', folder / 'test', '--out', out)
    return json.loads(out.read_text())['accuracy/top1']


def write(name, tiny_teacher, networks, tmp_path, more=''):
    text = TRAINING.format(base=str(ROOT / 'configs/_base_/pairs/resnet8-w32_resnet8-w4_digits.py'),
                           teacher=str(tiny_teacher))
    (tmp_path / 'base.py').write_text(text)
    form = FORMS[name].replace('{student!r}', repr(str(networks / 'w4.py'))).replace(
        '{teacher!r}', repr(str(networks / 'w32.py')))
    path = tmp_path / f'{name}{"_search" if more else ""}.py'
    path.write_text(f"_base_ = './base.py'\n{form}\n{more}")
    return path


@pytest.mark.parametrize('form', FORMS)
def test_one_accuracy(tool, form, tiny_teacher, networks, of_the_teacher, tmp_path):
    if not of_the_teacher:
        of_the_teacher['alone'] = accuracy(tool, networks / 'w32.py', tiny_teacher, tmp_path)
        assert of_the_teacher['alone'] > 50
    said = tool('search', write(form, tiny_teacher, networks, tmp_path, SEARCH), '--dry-run',
                '--work-dir', tmp_path / 'search')
    heard = re.findall(r'teacher: accuracy/top1 ([\d.]+)', said)
    assert [float(heard[0])] == [pytest.approx(of_the_teacher['alone'], abs=0.01)]
    # What its own training would see.
    config = write(form, tiny_teacher, networks, tmp_path)
    said = tool('train', config, '--work-dir', tmp_path / 'train')
    validated = float(re.findall(r'\(val\).*? accuracy/top1: ([\d.]+)', said)[-1])
    assert validated > 12  # it has learned something, so that a wrong image shows
    assert accuracy(tool, config, tmp_path / 'train/epoch_2.pth', tmp_path) == pytest.approx(
        validated, abs=1e-3)
    for found in re.findall(r'teacher\.accuracy/top1: ([\d.]+)', said):
        assert float(found) == pytest.approx(of_the_teacher['alone'], abs=1e-3)
    assert ('teacher.accuracy' in said) == ('ValLoop' in FORMS[form])


def test_mmrazors_own_algorithm_with_a_checkpoint_of_something_else(tool, tiny_teacher, networks,
                                                                    tmp_path):
    """MMRazor would say in the log that nothing fits, and distil from random weights."""
    import torch
    config = write('of_mmrazor', tiny_teacher, networks, tmp_path)
    weights = torch.load(str(tiny_teacher), weights_only=True)['state_dict']
    torch.save(dict(state_dict={f'architecture.{name}': value for name, value in weights.items()}),
               str(tmp_path / 'student.pth'))
    with pytest.raises(tool.Ended) as ended:
        tool('train', config, '--work-dir', tmp_path / 'work', '--cfg-options',
             f'teacher_ckpt={tmp_path / "student.pth"}')
    assert len(ended.value.lines) == 1 and 'model.teacher_ckpt: ' in ended.value.line
    assert '0% of the parameters of ImageClassifier' in ended.value.line
    with pytest.raises(tool.Ended) as ended:
        tool('train', config, '--work-dir', tmp_path / 'work', '--cfg-options',
             'teacher_ckpt=nofile.pth')
    assert 'model.teacher_ckpt: there is no file nofile.pth' in ended.value.line
    torch.save(dict(state_dict={f'module.{name}': value for name, value in weights.items()}),
               str(tmp_path / 'parallel.pth'))  # MMEngine's loader takes the prefix away
    tool('train', config, '--work-dir', tmp_path / 'work', '--cfg-options',
         'train_cfg.max_epochs=1', f'teacher_ckpt={tmp_path / "parallel.pth"}')
