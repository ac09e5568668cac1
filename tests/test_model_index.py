"""``model-index.yml`` is what ``mim`` reads; every number in it is one of ``docs/results/``."""
import re
from pathlib import Path

import pytest

load_model_index = pytest.importorskip('modelindex.load_model_index')

ROOT = Path(__file__).resolve().parents[1]
PAIRS = {'retinanet': 'RetinaNet', 'faster_rcnn': 'Faster R-CNN', 'deeplabv3': 'DeepLabV3'}
FOUND = {'': 'found distiller', '3layers_': 'found distiller, three layers'}


@pytest.fixture(scope='module')
def models():
    index = load_model_index.load(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    assert not index.check_errors
    return list(index.models)


def results():
    """All pages of them."""
    return '\n'.join(path.read_text(encoding='utf-8')
                     for path in sorted((ROOT / 'docs' / 'results').glob('*.md')))


@pytest.fixture(scope='module')
def tables():
    """(heading, first cell of the table's head) -> first cell of a row -> its other cells."""
    result, heading, rows = {}, '', None
    for line in results().splitlines():
        if line.startswith('#'):
            heading = line.strip('# ').split()[0].strip(',')
        cells = [cell.strip(' *') for cell in line.strip('|').split('|')]
        if not line.startswith('|'):
            rows = None
        elif rows is None:
            rows = result[heading, cells[0].split(',')[0]] = {}
        else:
            rows[cells[0].split(' (')[0]] = cells[1:]
    return result


def measured(name, part, tables):
    """The mean that ``docs/results/`` gives for a config."""
    scenes = re.fullmatch(r'(\w*?)_?digit_scenes_(retinanet|faster_rcnn|deeplabv3)_?(\w*)', name)
    if scenes:
        method, pair, role = scenes.groups()
        rows = tables['Digit', PAIRS[pair]]
        row = method or dict(teacher='teacher', student='undistilled').get(role, 'found distiller')
        cells = next(cells for key, cells in rows.items() if key.lower() == row.lower())
        return cells[0] if role == 'teacher' else cells[1]
    if name.endswith('digits'):
        deit = 'deit' in name
        rows = tables['DeiT' if deit else 'Digits', 'student']
        if part == 'search' and not deit:  # the search as it is now is told about in the text
            return re.search(r'([\d.]+) \+- 0.35, seeds 11 to 15', results()).group(1)
        return rows['undistilled' if part == 'vanilla' else 'found distiller'][1]
    rows = tables['CIFAR-10', 'student']
    if part == 'vanilla':
        return rows['undistilled'][1 if name == 'resnet8_cifar10' else 4]
    if part == 'distill':
        return rows[name.split('_')[0].upper()][4]
    layers = re.fullmatch(r'resnet56_resnet8_(|3layers_)cifar10', name)
    return rows[FOUND[layers.group(1)] if layers else 'found distiller, two teachers'][1]


def test_every_number_is_one_of_the_results(models, tables):
    assert len(models) > 30
    for model in models:
        result, = model.results
        (_, value), = result.metrics.items()
        part = model.config.split('/')[1]
        assert value == float(measured(model.name, part, tables)), model.name


def test_every_model_is_a_config_of_its_name(models):
    names = [model.name for model in models]
    assert len(set(names)) == len(names)
    for model in models:
        assert (ROOT / model.config).is_file() and Path(model.config).stem == model.name


def test_what_is_not_said(models):
    for model in models:
        assert model.weights is None  # nothing is published
        assert 'coco' not in model.config and 'COCO' not in str(model.results[0].data)
        epochs, seeds = re.search(r'(\d+) epochs(?: on 10,000 images)?, (?:mean of )?(one|\d) seed',
                                  model.metadata.data['Training Protocol']).groups()
        assert int(epochs) in (10, 20, 30) and seeds in ('one', '3', '5')
        assert ('CIFAR-10' in model.results[0].dataset) == (epochs == '10')
