"""tools/train.py --twin: the same student without a teacher, and the gain."""
import json
import re
import shutil
from pathlib import Path

import pytest

from autokd_mm.engine.config import load_config
from autokd_mm.safe_load import load_weights

ROOT = Path(__file__).resolve().parents[2]
OLD = ROOT / 'tests' / 'data' / 'version_0_1_0'
LINE = re.compile(r'^accuracy/top1: distilled ([\d.]+), undistilled twin ([\d.]+), '
                  r'gain ([+-][\d.]+)$', re.MULTILINE)


@pytest.fixture
def old(tmp_path):
    """A config that an earlier version has found, and the option that names its teacher."""
    shutil.copytree(str(OLD), str(tmp_path / 'old'))
    best = tmp_path / 'old' / 'search' / 'best_distiller.py'
    return best, f'teacher_ckpt={tmp_path / "old" / "teacher.pth"}'


def last_metric(folder):
    """What the newest log of a training says of its validation."""
    logs = sorted(folder.glob('2*/vis_data/scalars.json'))
    lines = [json.loads(line) for line in logs[-1].read_text().splitlines()]
    return [line['accuracy/top1'] for line in lines if 'accuracy/top1' in line][-1]


@pytest.mark.timeout(300)
def test_gain_of_an_old_config(tool, old, tmp_path):
    best, teacher = old
    assert 'save_best' not in best.read_text()
    work = tmp_path / 'work'

    def run():
        out = tool('train', best, '--work-dir', work, '--twin', '--cfg-options', teacher,
                   'randomness.seed=3')
        (distilled, alone, gain), = LINE.findall(out)
        assert float(gain) == pytest.approx(float(distilled) - float(alone), abs=2e-4)
        assert float(distilled) == pytest.approx(last_metric(work), abs=1e-3)
        assert float(alone) == pytest.approx(last_metric(work / 'twin'), abs=1e-3)
        return out, (distilled, alone)

    out, first = run()
    assert out.count('Epoch(train)') and 'distill.loss' in out
    weights = load_weights(str(work / 'twin' / 'epoch_1.pth'))
    assert not [name for name in weights['state_dict'] if name.startswith('architecture.')]
    assert weights['meta']['seed'] == 3
    config = load_config(str(work / 'twin' / 'best_distiller.py'))
    assert config.model.type == 'ImageClassifier' and config.train_cfg.max_epochs == 1

    # What is finished is not trained again, one for itself either.
    out, again = run()
    assert 'Epoch(train)' not in out and again == first
    shutil.rmtree(str(work / 'twin'))
    out, again = run()
    assert 'Epoch(train)' in out and 'distill.loss' not in out and again == first


def test_what_has_no_twin_is_refused_in_one_line(tool, old, tmp_path):
    best, teacher = old
    for config, options, words in (
            (ROOT / 'configs/vanilla/resnet8-w4_digits.py', [], 'trains one network alone'),
            (best, [teacher, 'val_dataloader=None'], '--twin: val_dataloader is missing')):
        with pytest.raises(tool.Ended, match=words) as ended:
            tool('train', config, '--work-dir', tmp_path / 'w', '--twin',
                 *(['--cfg-options', *options] if options else []))
        assert ended.value.code == 2 and len(ended.value.lines) == 1


def test_where_the_twin_cannot_be_is_seen_first(tool, old, tmp_path):
    best, teacher = old
    (tmp_path / 'w').mkdir()
    (tmp_path / 'w' / 'twin').touch()
    with pytest.raises(tool.Ended, match='--twin: .*twin cannot be written') as ended:
        tool('train', best, '--work-dir', tmp_path / 'w', '--twin', '--cfg-options', teacher)
    assert ended.value.code == 2 and len(ended.value.lines) == 1
