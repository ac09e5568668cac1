"""tools/visualize_distill.py: a picture of what a distiller compares."""

import cv2
import numpy as np
import pytest
import torch

from autokd_mm.engine.config import load_config

PANEL, GAP, TITLE = 224, 8, 30  # of autokd_mm/visualization/picture.py


def panels(picture, row=0, side=PANEL):
    top = row * (side + TITLE) + TITLE
    return [picture[top:top + side, left:left + PANEL]
            for left in range(GAP, 4 * (PANEL + GAP), PANEL + GAP)]


def student_of(config, path, with_connectors=False):
    """A checkpoint of the student as initialised, and of connectors that are not."""
    from mmengine.registry import DefaultScope

    from autokd_mm.registry import MODELS
    with torch.random.fork_rng(), DefaultScope.overwrite_default_scope(config.default_scope):
        torch.manual_seed(1)
        model = MODELS.build(config.model)
        model.init_weights()
    weights = model.state_dict()
    for name in weights:
        if name.startswith('distiller.connectors.') and weights[name].is_floating_point():
            weights[name] = weights[name] * 3
    torch.save(dict(state_dict={name: value for name, value in weights.items()
                                if with_connectors or name.startswith('architecture.')}),
               str(path))


@pytest.mark.parametrize('method, pair, rows', [
    ('fitnet', 'retinanet', 3), ('fgd', 'faster_rcnn', 3), ('fitnet', 'deeplabv3', 1),
    ('kd', 'deeplabv3', 1)])
def test_dense_pairs(tool, dense_config, tmp_path, method, pair, rows):
    config = dense_config(method, pair)
    student_of(load_config(str(config)), tmp_path / 'student.pth')
    image = sorted((tmp_path / 'scenes' / 'images' / 'val').iterdir())[0]
    out = tool('visualize_distill', config, tmp_path / 'student.pth', image, '--work-dir',
               tmp_path / 'work', '--out', tmp_path / 'new' / 'maps.png')
    without_connectors = method == 'kd'
    assert ('connectors: they are as initialised' in out) == (not without_connectors)
    picture = cv2.imread(str(tmp_path / 'new' / 'maps.png'))
    last = GAP if without_connectors else TITLE
    assert picture.shape == (rows * (PANEL + TITLE) + last, 4 * (PANEL + GAP) + GAP, 3)
    original = cv2.resize(cv2.imread(str(image)), (PANEL, PANEL), interpolation=cv2.INTER_AREA)
    for row in range(rows):
        shown, teacher, student, difference = panels(picture, row)
        assert np.abs(shown.astype(float) - original).mean() < 12  # the image, in its colours
        for one, other in ((teacher, student), (teacher, difference), (student, difference)):
            assert np.abs(one.astype(float) - other).mean() > 1
    # and where the config's logs go
    assert list((tmp_path / 'work').rglob('vis_image/*.png'))


def test_connectors_of_the_checkpoint_count(tool, dense_config, tmp_path):
    config = dense_config('fitnet', 'deeplabv3')
    image = sorted((tmp_path / 'scenes' / 'images' / 'val').iterdir())[0]
    pictures = []
    for with_connectors in (False, True):
        student_of(load_config(str(config)), tmp_path / 's.pth', with_connectors)
        out = tool('visualize_distill', config, tmp_path / 's.pth', image, '--work-dir',
                   tmp_path / 'work', '--cfg-options', 'randomness.seed=0')
        assert ('as initialised' in out) != with_connectors
        path = tmp_path / 'work' / f'{image.stem}_distill.png'
        pictures.append(panels(cv2.imread(str(path)))[2])
        path.unlink()
    assert np.abs(pictures[0].astype(float) - pictures[1]).mean() > 1


def test_what_classification_found(tool, search, tmp_path):
    best = search('--trials', 1, '--cfg-options', 'train_cfg.space.transform=[none]',
                  'train_cfg.space.logits=[kl]') / 'best_distiller.py'
    tool('train', best, '--work-dir', tmp_path / 'train')
    digit = np.zeros((8, 8), np.uint8)
    digit[1:7, 3:5] = 255
    cv2.imwrite(str(tmp_path / 'one.png'), digit)
    out = tool('visualize_distill', best, tmp_path / 'train' / 'epoch_1.pth',
               tmp_path / 'one.png', '--work-dir', tmp_path / 'work')
    assert 'as initialised' not in out
    picture = cv2.imread(str(tmp_path / 'work' / 'one_distill.png'))
    assert picture.shape[0] == 2 * (PANEL + TITLE) + GAP  # the feature and the logits
    for row in range(2):
        shown, teacher, student, _ = panels(picture, row)
        assert shown[100, 112].min() > 250 and shown[100, 5].max() < 5
        assert not np.array_equal(teacher, student)


def test_mistakes_are_one_line(tool, dense_config, tmp_path):
    config = dense_config('fitnet', 'deeplabv3')
    student_of(load_config(str(config)), tmp_path / 'student.pth')
    image = sorted((tmp_path / 'scenes' / 'images' / 'val').iterdir())[0]
    (tmp_path / 'text.png').write_text('no image')
    checkpoint = tmp_path / 'student.pth'
    plain = tmp_path / 'plain.py'
    own = load_config(str(config))
    own.model = own.model.architecture
    own.dump(str(plain))
    empty = tmp_path / 'empty.py'
    own = load_config(str(config))
    own.model.distiller = dict(type='mmrazor.ConfigurableDistiller')
    own.dump(str(empty))
    other = tmp_path / 'other.py'
    own = load_config(str(config))
    own.model.type = 'mmrazor.SelfDistill'
    own.model.pop('teacher_ckpt')
    own.dump(str(other))
    for arguments, words in (
            ((other, checkpoint, image), 'model.type: what a SelfDistill compares cannot be drawn'),
            ((config, checkpoint, tmp_path / 'nowhere.png'), 'IMAGE: there is no file'),
            ((config, checkpoint, tmp_path / 'text.png'), 'cannot be read as an image'),
            ((config, tmp_path / 'nowhere.pth', image), 'CHECKPOINT: there is no file'),
            ((config, tmp_path / 'random_teacher.pth', image), 'is of another network'),
            ((plain, checkpoint, image), 'CONFIG: it trains one network alone'),
            ((empty, checkpoint, image), 'model.distiller: it has no losses'),
            ((config, checkpoint, image, '--cfg-options', 'teacher_ckpt=None'),
             'teacher_ckpt is not set'),
            ((config, checkpoint, image, '--out', tmp_path / 'text.png' / 'a.png'), '--out')):
        with pytest.raises(tool.Ended) as ended:
            tool('visualize_distill', *arguments, '--work-dir', tmp_path / 'work')
        assert words in ended.value.line and len(ended.value.lines) == 1
        assert ended.value.code == 2
