"""Weights and maps of the winner of a final round."""
import pytest
import torch
from final_rounds import Trainer, play
from torch import nn

from autokd_mm.engine.maps import KeptWeights
from autokd_mm.page.render import maps_of


class Keeping(Trainer):
    """Hands out a candidate that holds the seed and the length."""

    def run(self, spec, watch, seed, length, keep=None):
        if keep is not None:
            keep(nn.Linear(seed, length))
        return super().run(spec, watch, seed, length)


def test_one_run_of_each_length_is_kept(make):
    kept = []
    final = make([.3, .2], Keeping(), length=4, rungs=2, seeds=2)
    final.keep = lambda number, candidate: kept.append(
        (number, candidate.in_features, candidate.out_features))
    play(final)
    assert kept[:2] == [(0, 11, 2), (1, 11, 2)] and len(kept) == 3 and kept[2][1:] == (11, 4)


@pytest.fixture
def weights(tmp_path):
    said = []
    found = KeptWeights(str(tmp_path), lambda: pytest.fail('nothing to draw'), said.append)
    found.said = said
    return found


def test_the_winner_alone_is_left(weights, tmp_path):
    for number in (3, 4):
        weights.keep(number, nn.Linear(2, number))
    open(maps_of(str(tmp_path), 4), 'w').close()  # by another worker
    weights.draw(4, 'best_distiller.py')
    assert [path.name for path in (tmp_path / 'final').iterdir()] == ['4.pth'] and not weights.said
    found = torch.load(weights.path(4), weights_only=True)['state_dict']
    assert found['weight'].shape == (4, 2)


def test_nothing_ends_for_it(weights, tmp_path):
    weights.draw(1, 'best_distiller.py')  # it was run before weights were kept
    assert not weights.said
    weights.dataset = list
    weights.keep(1, nn.Linear(2, 2))
    weights.draw(1, str(tmp_path / 'no_such_config.py'))
    assert len(weights.said) == 1 and 'maps of the winner are not drawn: ' in weights.said[0]
    (tmp_path / 'file').write_text('')
    KeptWeights(str(tmp_path / 'file'), lambda: None, weights.said.append).keep(1, nn.ReLU())
    assert len(weights.said) == 2 and 'weights of trial 1 are not kept' in weights.said[1]
