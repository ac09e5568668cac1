"""Sample i in view v is always the same pixels."""
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, pseudo_collate
from mmengine.registry import DATASETS, DefaultScope
from torch.utils.data import DataLoader

from autokd_mm.bank import FeatureBank, Plan
from autokd_mm.bank.records import KIND, where_from
from autokd_mm.datasets import SeededViews, ViewSampler
from autokd_mm.errors import ConfigError
from autokd_mm.seeding import seeded

PIPELINE = [
    dict(type='Resize', scale=12),
    dict(type='RandomCrop', crop_size=10, padding=2),
    dict(type='RandomFlip', prob=0.5),
    dict(type='ColorJitter', brightness=0.5, contrast=0.5, saturation=0.5, hue=0.3),
    dict(type='PackInputs'),
]


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """24 colour images in two classes."""
    import mmcv
    root = tmp_path_factory.mktemp('images')
    generator = np.random.default_rng(0)
    for number in range(24):
        image = generator.integers(0, 256, (14, 14, 3)).astype(np.uint8)
        mmcv.imwrite(image, str(root / f'class{number % 2}' / f'{number}.png'))
    return root


@pytest.fixture
def images(folder):
    """(pipeline) -> config of a dataset with random crop, flip and colour jitter."""
    return lambda pipeline=PIPELINE: dict(
        type='CustomDataset', data_prefix=str(folder),
        pipeline=[dict(type='LoadImageFromFile'), *pipeline])


@pytest.fixture
def views(images):
    return lambda views=3, **how: SeededViews(images(), views, **how)


def batches(dataset, sampler, workers):
    loader = DataLoader(dataset, 5, sampler=sampler, num_workers=workers,
                        collate_fn=pseudo_collate)
    return [item for batch in loader for item in zip(batch['inputs'], batch['data_samples'])]


def noise(results):
    """Draws from the sources that the transforms above leave out."""
    level = random.randrange(256) ^ int(torch.randint(256, ()))
    results['img'] = results['img'] ^ np.uint8(level)
    return results


@pytest.mark.parametrize('shuffle', [False, True])
def test_the_same_pixels_with_any_number_of_workers(views, shuffle):
    found = {}
    for workers in (0, 2):
        random.seed(workers), np.random.seed(workers), torch.manual_seed(workers)
        dataset = views()
        dataset.dataset.pipeline.transforms.insert(1, noise)
        sampler = ViewSampler(dataset, shuffle=shuffle, seed=workers)
        for epoch in range(3):
            sampler.set_epoch(epoch)
            for image, sample in batches(dataset, sampler, workers):
                key = sample.view_sample, sample.view
                assert sample.view == epoch
                found.setdefault(key, []).append(image)
    assert len(found) == 24 * 3
    for one, other in found.values():
        assert one.dtype == torch.uint8 and torch.equal(one, other)


def test_views_differ_and_seeds_do(views):
    dataset, other = views(), views(seed=1)
    assert len(dataset) == 72
    for sample in range(0, 24, 8):
        rows = [dataset[view * 24 + sample]['inputs'] for view in range(3)]
        assert not torch.equal(rows[0], rows[1]) and not torch.equal(rows[1], rows[2])
        assert not torch.equal(rows[0], other[sample]['inputs'])


def test_pixels_of_a_seeded_block(views):
    """The search reads its views so; both are the same images."""
    dataset = views(seed=5)
    for place in (3, 30, 71):
        view, sample = divmod(place, 24)
        with seeded(5, sample, view):
            expected = dataset.dataset[sample]['inputs']
        assert torch.equal(dataset[place]['inputs'], expected)
    assert [torch.equal(one['inputs'], dataset[place]['inputs']) for one, place in zip(
        dataset.__getitems__([71, 3]), (71, 3))] == [True, True]


def test_random_state_of_the_process_is_left_alone(views):
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    dataset = views()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = draw()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    dataset[5]
    assert draw() == expected


def test_a_batch_knows_where_it_comes_from(views):
    dataset = views(seed=4)
    samples = [dataset[place]['data_samples'] for place in (0, 25, 71)]
    assert where_from(samples) == ([0, 1, 23], [0, 1, 2], 4)
    assert {'view_sample', 'view', 'view_seed'} <= set(samples[1].metainfo)
    plain = dataset.dataset[0]['data_samples']
    assert where_from([plain]) is where_from([]) is where_from(None) is None
    assert where_from([samples[0], plain]) is None


def test_it_behaves_as_a_dataset(views):
    dataset = views()
    assert dataset.metainfo['classes'] == ('class0', 'class1') and dataset.samples == 24
    for place in (72, -1):
        with pytest.raises(IndexError):
            dataset[place]
    built = DATASETS.build(dict(type='mmrazor.SeededViews', dataset=dataset.dataset, views=2))
    assert isinstance(built, SeededViews) and len(built) == 48


@pytest.mark.parametrize('how, words', [
    (dict(views=0), 'views=0: must be a whole number, at least 1'),
    (dict(views=1.5), 'views=1.5'), (dict(seed=-1), 'seed=-1')])
def test_mistakes(views, how, words):
    with pytest.raises(ConfigError, match=words):
        views(**how)


# ---------------------------------------------------------------------- the order
@pytest.mark.parametrize('world', [1, 2, 5])
def test_every_sample_once_per_epoch_in_the_view_of_the_epoch(views, world, monkeypatch):
    dataset = views()
    from mmengine.dataset import sampler as module
    for epoch in (0, 1, 5):
        taken, plain = [], []
        for rank in range(world):
            monkeypatch.setattr(module, 'get_dist_info', lambda rank=rank: (rank, world))
            sampler = ViewSampler(dataset, shuffle=True, seed=3)
            sampler.set_epoch(epoch)
            taken.append(list(sampler))
            assert len(taken[-1]) == len(sampler)
            same = DefaultSampler(dataset.dataset, shuffle=True, seed=3)
            same.set_epoch(epoch)
            plain.append([epoch % 3 * 24 + index for index in same])
        assert taken == plain
        assert {index % 24 for part in taken for index in part} == set(range(24))
        assert {index // 24 for part in taken for index in part} == {epoch % 3}
        assert len({len(part) for part in taken}) == 1


def test_sampler_goes_with_views_only(views):
    with pytest.raises(ConfigError, match='train_dataloader.sampler: ViewSampler goes with'):
        ViewSampler(views().dataset)


# ---------------------------------------------------------------------- the bank's images
@pytest.fixture
def bank(tmp_path):
    """(description of the images) -> folder of a bank made from them."""
    def make(data):
        made_from = dict(kind=KIND, teacher='abc', dtype='float32', data=data)
        plan = Plan(made_from, dict(fc=((data['samples'] * data['views'], 2), 'float32')))
        path = str(tmp_path / 'bank')
        FeatureBank.open_or_build(
            path, plan, lambda start, stop: dict(fc=np.zeros((stop - start, 2))), pytest.fail)
        return path

    return make


def test_bank_of_the_same_images_is_taken(views, bank):
    path = bank(views().describe())
    assert len(views(bank=path)) == 72


@pytest.mark.parametrize('change, words', [
    (dict(views=2), 'views: 3 there, 2 here'), (dict(seed=1), 'seed: 0 there, 1 here')])
def test_bank_of_other_views_is_refused(views, bank, change, words):
    path = bank(views().describe())
    with pytest.raises(ConfigError, match=words):
        views(**change, bank=path)


def test_bank_of_another_pipeline_or_other_images_is_refused(views, images, bank):
    path = bank(views().describe())
    other = [dict(step, crop_size=8) if step['type'] == 'RandomCrop' else step
             for step in PIPELINE]
    with pytest.raises(ConfigError, match='pipeline: .*10, 10.*there, .*8, 8.*here; pixels: '):
        SeededViews(images(other), 3, bank=path)
    with pytest.raises(ConfigError, match='samples: 24 there, 20 here'):
        SeededViews(dict(images(), indices=20), 3, bank=path)


def test_same_words_and_other_pixels_are_refused(views, bank, monkeypatch):
    """As with another version of a package that augments differently."""
    path = bank(views().describe())
    from autokd_mm.datasets import seeded_views
    monkeypatch.setattr(seeded_views, 'derive', lambda *keys: sum(keys))
    with pytest.raises(ConfigError) as refused:
        views(bank=path)
    assert 'pixels: ' in str(refused.value) and 'pipeline' not in str(refused.value)


def test_pipeline_with_a_random_state_of_its_own_is_refused(views):
    dataset = views()
    generator = np.random.default_rng(0)

    def own(results):
        results['img'] = results['img'] ^ generator.integers(0, 256, dtype=np.uint8)
        return results

    dataset.dataset.pipeline.transforms.insert(1, own)
    with pytest.raises(ConfigError, match='pipeline: it makes other pixels when it is run again'):
        dataset.describe()


def test_no_bank_there(views, tmp_path):
    with pytest.raises(ConfigError, match='train_dataloader.dataset.bank: .* holds no finished '
                                          'bank .*cache_teacher'):
        views(bank=str(tmp_path / 'nothing'))
