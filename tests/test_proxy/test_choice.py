from dataclasses import replace

import numpy as np
import pytest
from mmengine.registry import DATASETS

from autokd_mm.errors import ConfigError
from autokd_mm.proxy.choice import candidates, choose, choose_images
from autokd_mm.proxy.settings import SELECTIONS, ProxySettings


@pytest.fixture(scope='module')
def plain():
    return DATASETS.build(dict(type='mmrazor.Digits', split='train', serialize_data=False,
                               pipeline=[dict(type='mmpretrain.PackInputs')]))


def test_choice_is_disjoint_balanced_and_repeatable():
    labels = np.repeat(np.arange(10), 100)
    train, held_out = choose(labels, 1000, 200, 100, seed=3)
    assert len(train) == 200 and len(held_out) == 100 and not set(train) & set(held_out)
    assert np.bincount(labels[train]).tolist() == [20] * 10
    assert np.bincount(labels[held_out]).tolist() == [10] * 10
    again = choose(labels, 1000, 200, 100, seed=3)
    assert np.array_equal(train, again[0]) and np.array_equal(held_out, again[1])
    assert not np.array_equal(train, choose(labels, 1000, 200, 100, seed=4)[0])


def test_choice_from_classes_of_different_size_and_without_labels():
    labels = [0] * 90 + [1] * 6 + [2] * 4
    train, held_out = choose(labels, 100, 40, 10, seed=0)
    assert set(np.asarray(labels)[held_out]) == {0, 1, 2}
    train, held_out = choose(None, 100, 60, 40, seed=0)
    assert sorted([*train, *held_out]) == list(range(100))


def test_held_out_images_are_the_same_for_every_choice():
    labels = np.repeat(np.arange(10), 100)
    values = np.random.default_rng(0).random(1000)
    chosen = {select: choose(labels, 1000, 200, 100, 3, select, values) for select in SELECTIONS}
    held_out = chosen['class_balanced'][1]
    for train, same in chosen.values():
        assert np.array_equal(same, held_out) and len(set(train)) == 200
        assert not set(train) & set(held_out)
    assert len({tuple(train) for train, _ in chosen.values()}) == 3


def test_random_choice_knows_no_classes():
    labels = np.repeat(np.arange(2), [900, 100])
    ones = [labels[choose(labels, 1000, 200, 10, seed, 'random')[0]].sum() for seed in range(20)]
    # hypergeometric: 95 of the other 990 are ones, mean 19.2, standard deviation of one draw 3.7
    assert 16.5 < np.mean(ones) < 22 and np.std(ones) > 1
    balanced = labels[choose(labels, 1000, 150, 10, 0)[0]].sum()
    assert balanced == 75
    again = choose(labels, 1000, 200, 10, 7, 'random')[0]
    assert np.array_equal(again, choose(labels, 1000, 200, 10, 7, 'random')[0])


@pytest.mark.parametrize('train', [50, 333, 900])
def test_choice_by_entropy_has_the_histogram_of_all(train):
    """Entropies of a trained teacher are skewed over many orders of magnitude."""
    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(-6, 3, 1000)).clip(max=2.3)
    chosen, held_out = choose(None, 1000, train, 100, 5, 'teacher_entropy', values)
    rest = np.setdiff1d(np.arange(1000), held_out)
    grid = np.sort(values)
    there = np.searchsorted(np.sort(values[chosen]), grid, side='right') / train
    wanted = np.searchsorted(np.sort(values[rest]), grid, side='right') / len(rest)
    assert np.abs(there - wanted).max() <= 1 / train + 1e-9
    other = choose(None, 1000, train, 100, 6, 'teacher_entropy', values)[0]
    assert not np.array_equal(chosen, other)


def test_choice_by_entropy_among_the_candidates_that_have_one():
    values = np.full(1000, np.nan)
    pool = candidates(None, 1000, 20, 100, 5)
    assert len(pool) == 200 and not set(pool) & set(choose(None, 1000, 20, 100, 5)[1])
    values[pool] = np.arange(200)
    chosen = choose(None, 1000, 20, 100, 5, 'teacher_entropy', values)[0]
    assert set(chosen) <= set(pool)
    # one from each ten
    assert sorted(values[chosen] // 10) == list(range(20))
    assert len(candidates(None, 1000, 500, 100, 5)) == 900
    for known in (None, np.where(values < 19, values, np.nan)):
        with pytest.raises(ConfigError, match="proxy.select: 'teacher_entropy' needs the teacher's "
                                              r'entropy of at least 20 images, (0|19) are known'):
            choose(None, 1000, 20, 100, 5, 'teacher_entropy', known)


def test_entropy_is_asked_for_only_where_it_decides(plain):
    asked = []

    def entropy(indices):
        asked.append(indices)
        return np.sin(indices)

    settings = ProxySettings(images=0.05, held_out=32, batch_size=16)
    for select in SELECTIONS:
        found = choose_images(replace(settings, select=select), plain, entropy)
        assert len(found['train']) == 50 and len(found['held_out']) == 32
    assert len(asked) == 1 and len(asked[0]) == 500
    with pytest.raises(ConfigError, match="'teacher_entropy' needs a teacher"):
        choose_images(replace(settings, select='teacher_entropy'), plain)
    with pytest.raises(ConfigError, match="proxy.select: 'entropy' is unknown, did you mean"):
        choose(None, 100, 10, 10, 0, 'entropy')


@pytest.mark.parametrize('train, held_out, words', [
    (0, 10, 'proxy.images=0: at least 2'), (1, 10, 'proxy.images=1'),
    (10, 1, 'proxy.held_out=1'), (95, 10, '105 training images, the dataset has 100')])
def test_choice_that_cannot_be_made(train, held_out, words):
    with pytest.raises(ConfigError, match=words):
        choose(None, 100, train, held_out, 0)


@pytest.mark.parametrize('labels', [[[0], [1, 2]], [[0, 1], [1, 2]]])
def test_several_labels_for_an_image_are_refused(plain, monkeypatch, labels):
    monkeypatch.setattr(plain, 'get_gt_labels', lambda: labels, raising=False)
    with pytest.raises(ConfigError, match='^train_dataloader.dataset: a Digits has several labels '
                                          'for an image; a search of a classifier needs one'):
        choose_images(ProxySettings(images=32, held_out=16, batch_size=16), plain)
