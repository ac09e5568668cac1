"""What an experience recommends for a config, by the tool."""
from types import SimpleNamespace

import pytest

from autokd_mm.engine.config import load_config
from autokd_mm.engine.recommending import _known
from autokd_mm.errors import ConfigError
from autokd_mm.models.distillers.from_spec import spec_from_config
from autokd_mm.space import DistillerSpace, Shapes

DIGITS = 'digits'
# A student as wide as its teacher may start with its classifier.
EQUAL = ['model.teacher.backbone.base_channels=4', 'model.teacher.head.in_channels=16',
         'train_cfg.train_teacher=True', 'train_cfg.space.transform=[logits_only,none]',
         'train_cfg.space.intra=[none]', 'train_cfg.space.connector=[conv1x1]',
         'train_cfg.warm_start=[]']


def test_five_recipes_and_none_twice(tool, tmp_path):
    """Of options that no experience knows the usual one is taken, not each in turn."""
    said = tool('recommend', DIGITS, '--work-dir', tmp_path, '--cfg-options', *EQUAL)
    assert 'without start, of which it has no experience' in said
    recipes = []
    for place in range(1, 6):
        config = load_config(str(tmp_path / f'recommended_{place}.py'))
        assert 'start' not in config.model
        recipes.append(spec_from_config(config.model.distiller))
    assert len(set(recipes)) == 5


def test_a_space_of_which_nothing_is_known():
    """Predictions alone, and experience of features and logits."""
    heads = Shapes(has_logits=False, predictions=('sigmoid', 'boxes'), boxes=True)
    known = [SimpleNamespace(options={('transform', "'none'"): 0})]
    space, without = _known(DistillerSpace(dict(logits=['none']), heads), known, 'KEY')
    assert without == ['region', 'prediction', 'box'] and space.options['box'] == ('none', )
    with pytest.raises(ConfigError, match='^KEY: it knows nothing of region, prediction, box, and '
                                          'without them this space distils nothing'):
        _known(DistillerSpace(dict(transform=['logits_only']), heads), known, 'KEY')


def test_published_weights_are_named_and_not_downloaded(tool, tmp_path):
    url = 'https://nobody.invalid/teacher.pth'
    tool('recommend', DIGITS, '--work-dir', tmp_path, '--count', '1', '--cfg-options',
         f'teacher_ckpt={url}', 'train_cfg.train_teacher=False', *EQUAL[:2], *EQUAL[3:])
    config = load_config(str(tmp_path / 'recommended_1.py'))
    assert config.teacher_ckpt == config.model.teacher_ckpt == url
