"""Configs of small pairs: what is chosen, that a search reads them, and what is refused."""
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

from autokd_mm.engine.config import load_config
from autokd_mm.errors import ConfigError
from autokd_mm.models.algorithms.inherited import parts_of
from autokd_mm.models.distillers import Layers
from autokd_mm.models.distillers.from_spec import distiller_config, spec_from_config
from autokd_mm.registry import MODELS
from autokd_mm.report.export import SCHEDULE_HOOK
from autokd_mm.report.start import set_start
from autokd_mm.space import DistillerSpec
from autokd_mm.zoo import make_pair

VANILLA = Path(__file__).resolve().parents[2] / 'configs' / 'vanilla'
SEARCH = VANILLA.parent / 'search'
DIGITS = VANILLA / 'resnet8-w32_digits.py', VANILLA / 'resnet8-w4_digits.py'


@pytest.mark.parametrize('name', ['retinanet', 'faster_rcnn', 'deeplabv3'])
def test_dense_pairs_are_as_those_of_the_package(pair, scenes, name):
    student = VANILLA / f'digit_scenes_{name}_student.py'
    found, config = pair(VANILLA / f'digit_scenes_{name}_teacher.py', student, data_root=scenes)
    ours = load_config(str(SEARCH / f'digit_scenes_{name}.py'))
    assert config.train_cfg.layers == ours.train_cfg.layers
    assert ('shared_boxes' in config.model) == ('shared_boxes' in ours.model)
    assert config.train_cfg.proxy['images'] == 5  # of eight
    assert config.train_dataloader.dataset.data_root.rstrip('/') == scenes
    assert config.train_cfg.full_training == load_config(str(student)).train_cfg
    assert found.teacher_ckpt is None and config.teacher_ckpt is None
    assert 'None, nothing is listed' in str(found)


def test_a_classifier(pair):
    found, config = pair(*DIGITS)
    assert config.train_cfg.layers == load_config(str(SEARCH / 'digits.py')).train_cfg.layers
    assert config.train_cfg.proxy == dict(images=500, held_out=200, epochs=4, views=2)
    assert config.train_cfg.warm_start[:2] == ['KD', 'DIST']
    assert config.model.architecture.backbone.base_channels == 4
    assert config.model.teacher.backbone.base_channels == 32
    assert any(line.startswith('the stages of the backbone') for line in found.choice.runners_up)
    assert 'autokd search' in str(found)


def test_a_head_with_two_tokens(pair):
    _, config = pair(DIGITS[0], VANILLA / 'deit-tiny_digits.py')
    layers = config.train_cfg.layers
    assert layers.student_logits == 'head.layers.head_dist' and layers.scores == 'head.scores'


def test_a_teacher_of_another_resolution_and_normalisation(pair, tmp_path):
    teacher = tmp_path / 'teacher.py'
    teacher.write_text(f'''_base_ = {str(DIGITS[0])!r}
data_preprocessor = dict(mean=[3.0], std=[2.0])
model = dict(data_preprocessor=data_preprocessor)
val_dataloader = dict(dataset=dict(pipeline=[
    dict(type='mmpretrain.Resize', scale=16), dict(type='mmpretrain.PackInputs')]))
''')
    found, config = pair(teacher, DIGITS[1])
    assert config.model.teacher_input == dict(size=16)
    assert config.model.teacher.data_preprocessor['mean'] == [3.0]
    assert 'at its 16 pixels' in str(found) and 'normalised as its own' in str(found)


def test_imports_of_both_configs_are_kept(pair, tmp_path, monkeypatch):
    (tmp_path / 'my_networks.py').write_text('')
    monkeypatch.syspath_prepend(str(tmp_path))
    student = tmp_path / 'student.py'
    student.write_text(f'_base_ = {str(DIGITS[1])!r}\n'
                       "custom_imports = dict(imports=['my_networks'])\n")
    assert pair(DIGITS[0], student)[1].custom_imports['imports'] == ['my_networks', 'autokd_mm']


def test_data_root_reaches_loaders_of_a_config_without_one_on_top(pair, tmp_path):
    student = tmp_path / 'student.py'
    student.write_text(f'''_base_ = {str(DIGITS[1])!r}
train_dataloader = dict(dataset=dict(data_root='old/'))
val_dataloader = dict(dataset=dict(data_root='old/'))
val_evaluator = dict(ann_file='old/val.json')
''')
    _, config = pair(DIGITS[0], student)
    assert config.data_root == 'old/'  # so that the command line can replace it
    assert load_config(config.filename, dict(data_root='there'))[
        'train_dataloader'].dataset.data_root == 'there/'
    _, config = pair(DIGITS[0], student, data_root='new')
    assert config.train_dataloader.dataset.data_root == 'new' == config.data_root
    assert config.val_dataloader.dataset.data_root == 'new'
    assert config.val_evaluator.ann_file == 'new/val.json'


def written_recipe(path, spec, schedules=None):
    layers = Layers.single('a', 'b', 'c', 'd', (3, 2, 2), (5, 2, 2), 10)
    Config(dict(model=dict(distiller=distiller_config(spec, layers)), custom_hooks=[
        dict(type=SCHEDULE_HOOK, schedules=schedules)] if schedules else [])).dump(str(path))
    return str(path)


def test_a_recipe_found_elsewhere(pair, tmp_path):
    spec = DistillerSpec(transform='none', connector='conv1x1', intra='none', inter='sample',
                         distance='gram_l2', feature_weight=3.5, logits='kl',
                         logits_temperature=4, logits_weight=2)
    path = written_recipe(tmp_path / 'best.py', spec, dict(loss_feature='cosine'))
    found, config = pair(*DIGITS, distiller=path)
    assert spec_from_config(config.model.distiller) == spec
    connector = config.model.distiller.connectors.feature
    assert (connector.in_channels, connector.out_channels) == (16, 128)
    assert config.custom_hooks[-1] == dict(type=SCHEDULE_HOOK,
                                           schedules=dict(loss_feature='cosine'))
    assert config.train_cfg == load_config(str(DIGITS[1])).train_cfg
    assert 'fading (cosine)' in str(found) and 'autokd train' in str(found)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        MODELS.build(config.model)


def test_a_recipe_is_fitted_to_the_pair(pair, tmp_path, scenes):
    networks = [VANILLA / f'digit_scenes_retinanet_{who}.py' for who in ('teacher', 'student')]
    spec = DistillerSpec(transform='none', connector='identity', intra='none', inter='none',
                         distance='l2', feature_weight=1, logits='kl', logits_temperature=4,
                         logits_weight=2)
    path = written_recipe(tmp_path / 'best.py', spec)
    found, config = pair(*networks, distiller=path, data_root=scenes)
    assert len(config.model.distiller.distill_losses) == 3  # the logits are left out
    assert config.model.distiller.connectors.feature_0.out_channels == 64
    assert 'a connector was added' in str(found) and 'without its logits' in str(found)


@pytest.mark.parametrize('change, reason', [
    (dict(region='instances'), 'region=instances needs boxes'),
    (dict(intra='local', patch_grid=4, distance='l2'), 'cannot work: a 4x4 grid needs a map')])
def test_a_recipe_that_does_not_fit(pair, tmp_path, change, reason):
    spec = DistillerSpec(**dict(dict(transform='none', connector='conv1x1', intra='none',
                                     inter='none', distance='l2', feature_weight=1), **change))
    with pytest.raises(ConfigError, match=rf'^--distiller: .*{reason}'):
        pair(*DIGITS, distiller=written_recipe(tmp_path / 'best.py', spec))
    assert not (tmp_path / 'pair.py').exists()


def test_no_recipe_in_a_config(pair):
    with pytest.raises(ConfigError, match='^--distiller: .* has no distiller with losses$'):
        pair(*DIGITS, distiller=str(DIGITS[0]))


REFUSED = {
    'classes': ('model = dict(head=dict(num_classes=7))',
                r'^TEACHER: its heads tell 7 classes apart and those of the student 10'),
    'pair': (f'_base_ = {str(SEARCH / "digits.py")!r}',
             '^TEACHER: its config is of a mmrazor.FrozenTeacherDistill, which has networks in it'),
    'no model': ('model = None', '^TEACHER: its config is of no model$'),
    'unknown type': ("model = dict(backbone=dict(type='NoSuchNet'))",
                     "^TEACHER: teacher cannot be built: .*'NoSuchNet' is unknown"),
    'package': ("custom_imports = dict(imports=['no_such_package'])",
                '^TEACHER: custom_imports: .*no_such_package'),
    'text': ("model = dict(language_model=dict(type='BertModel'))",
             '^TEACHER: ImageClassifier is conditioned on text'),
    'panoptic': ("model = dict(type='PanopticFPN')", '^TEACHER: PanopticFPN is panoptic'),
    'channels': ('model = dict(backbone=dict(in_channels=4))',
                 '^TEACHER: ImageClassifier cannot take an image of 1 x 8 x 8: '),
}


@pytest.mark.parametrize('text, reason', list(REFUSED.values()), ids=list(REFUSED))
def test_what_cannot_be_paired_is_one_line(pair, tmp_path, text, reason):
    teacher = tmp_path / 'teacher.py'
    base = '' if text.startswith('_base_') else f'_base_ = {str(DIGITS[0])!r}\n'
    teacher.write_text(base + text + '\n')
    with pytest.raises(ConfigError, match=reason) as error:
        pair(teacher, DIGITS[1])
    assert '\n' not in str(error.value)
    assert not (tmp_path / 'pair.py').exists()


def test_a_classifier_teaches_a_detector_features_alone(pair, scenes):
    found, config = pair(DIGITS[0], VANILLA / 'digit_scenes_retinanet_student.py',
                         data_root=scenes)
    assert set(config.train_cfg.layers) == {'student', 'teacher'}
    assert 'KD' not in config.train_cfg.warm_start
    assert ('logits: none, the teacher is a classifier and the student a detector; it teaches '
            'features alone') in str(found)


def test_a_detector_teaches_a_classifier_at_the_size_of_its_crops(pair):
    found, config = pair('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', DIGITS[1])
    assert config.model.get('teacher_input') is None and ' pixels' not in str(found)


def test_several_labels_of_an_image(pair, tmp_path):
    path = tmp_path / 'student.py'
    path.write_text(f"_base_ = {str(DIGITS[1])!r}\n# not with read_base()\n"
                    "model = dict(head=dict(type='MultiLabelLinearClsHead', _delete_=True, "
                    'num_classes=10, in_channels=16))\n')
    found, config = pair(DIGITS[0], path)
    assert set(config.train_cfg.layers) == {'student', 'teacher'}
    assert 'logits: none, the classes of a multi-label head are not exclusive' in str(found)
    assert 'a search takes those with one label each' in str(found)


@pytest.mark.parametrize('key', ['train_dataloader', 'val_dataloader'])
def test_a_student_without_data(pair, tmp_path, key):
    student = tmp_path / 'student.py'
    student.write_text(f'_base_ = {str(DIGITS[1])!r}\n{key} = None\n')
    with pytest.raises(ConfigError, match=rf'^STUDENT: its config .* nothing \(no {key}'):
        pair(DIGITS[0], student)


def test_a_detector_that_is_given_its_proposals(pair, scenes, tmp_path):
    for who in ('teacher', 'student'):
        (tmp_path / f'{who}.py').write_text(
            f"_base_ = {str(VANILLA / f'digit_scenes_faster_rcnn_{who}.py')!r}\n"
            "_base_.model.pop('rpn_head')\nmodel = dict(type='FastRCNN')\n")
    found, config = pair(tmp_path / 'teacher.py', tmp_path / 'student.py', data_root=scenes)
    assert config.model.architecture.type == 'FastRCNN' and 'shared_boxes' not in config.model
    assert 'logits: none, FastRCNN makes no boxes but reads them from a file' in str(found)


def test_a_student_in_the_new_style(pair, tmp_path):
    (tmp_path / 'base.py').write_text('data_root = None\n')
    (tmp_path / 'student.py').write_text('from mmengine.config import read_base\n'
                                         'with read_base():\n    from .base import *\n')
    with pytest.raises(ConfigError, match=r'^STUDENT: .* is in the new style'):
        pair(DIGITS[0], tmp_path / 'student.py')


def test_a_config_is_not_overwritten(tmp_path):
    with pytest.raises(ConfigError, match='^--out: .* is one of the two configs$'):
        make_pair(str(DIGITS[0]), str(DIGITS[1]), str(DIGITS[1]))
    with pytest.raises(ConfigError, match='^--out: pair.txt must be the name of a Python file$'):
        make_pair(str(DIGITS[0]), str(DIGITS[1]), 'pair.txt')


@pytest.mark.parametrize('rate', [1, 0.1, 0])
def test_what_the_student_begins_with_goes_along(pair, scenes, tmp_path, rate):
    room = [VANILLA / f'digit_scenes_retinanet_room_{who}.py' for who in ('teacher', 'student')]
    method = str(VANILLA.parent / 'distill/fgd_digit_scenes_retinanet_room.py')
    config = pair(*room, data_root=scenes, distiller=method)[1]
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(dict(config.model, teacher_ckpt=None))
    set_start(config, DistillerSpec('none', start='head', start_lr=rate),
              parts_of(model.architecture, model.teacher, ['head']))
    recipe = str(tmp_path / 'recipe.py')
    config.dump(recipe)
    found, again = pair(*room, data_root=scenes, distiller=recipe)
    assert again.model.start == config.model.start and "the teacher's head" in str(found)
    assert again.optim_wrapper == config.optim_wrapper
    assert ('architecture.bbox_head.' in str(again.optim_wrapper)) == (rate == 0.1)
    narrow = [VANILLA / f'digit_scenes_retinanet_{who}.py' for who in ('teacher', 'student')]
    found, again = pair(*narrow, data_root=scenes, distiller=recipe)
    assert 'start' not in again.model and "(without the teacher's head" in str(found)


@pytest.mark.parametrize('start, says, fault', [
    ("dict(part='classifier')",
     "(without the teacher's classifier, which the student of this pair does", None),
    ("dict(part='haed')", None, r"model\.start\.part: .*did you mean 'head'"),
    ('dict(frozen=True)', None, r'model\.start\.part is missing: one of head, '),
    ("dict(part='head', frozen=1)", None, r'model\.start\.frozen=1: must be True or False'),
    ("'head'", None, r"model\.start='head': must be a dict")])
def test_a_start_of_another_task_and_misspelt_ones(pair, scenes, tmp_path, start, says, fault):
    room = [VANILLA / f'digit_scenes_retinanet_room_{who}.py' for who in ('teacher', 'student')]
    method = VANILLA.parent / 'distill/fgd_digit_scenes_retinanet_room.py'
    recipe = tmp_path / 'recipe.py'
    recipe.write_text(f"_base_ = {str(method)!r}\nmodel = dict(start={start})\n")
    if fault:
        with pytest.raises(ConfigError, match=fault):
            pair(*room, data_root=scenes, distiller=str(recipe))
        return
    found, config = pair(*room, data_root=scenes, distiller=str(recipe))
    assert 'start' not in config.model and says in str(found)
