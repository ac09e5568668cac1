"""tools/search.py --epochs: the same search, for a full training of another length."""
import re

from mmengine.config import Config

SMALL = ('--trials', '2', '--cfg-options', 'train_cfg.rejection=None', 'train_cfg.pruner=None')
ROUND = tuple(f'train_cfg.final_round.{key}' for key in
              ('best=2', 'handcrafted=0', 'length=2', 'rungs=2', 'seeds=1'))


def expected(folder):
    text = (folder / 'best_distiller.py').read_text()
    return re.findall(r'expected gain at (\d+) epochs: ([+-][\d.]+) \+- ([\d.]+) points', text)


def test_another_length_of_a_finished_search(search, study_of):
    folder = search(*SMALL, *ROUND)
    before = Config.fromfile(str(folder / 'best_distiller.py'))
    trials = len(study_of(folder).trials)
    (epochs, gain, spread), = expected(folder)
    assert int(epochs) == before.train_cfg.max_epochs and float(spread) > 0
    longer = 50 * int(epochs)
    assert search('--resume', '--epochs', longer, *SMALL, *ROUND) == folder
    after = Config.fromfile(str(folder / 'best_distiller.py'))
    assert after.train_cfg.max_epochs == longer
    assert after.model == before.model and len(study_of(folder).trials) == trials
    (epochs, other, wider), = expected(folder)
    assert int(epochs) == longer and (other, wider) != (gain, spread)
    text = (folder / 'best_distiller.py').read_text()
    assert f'the full training has {longer} epochs' in text and 'a guess' in text
