"""No image of one half gets into the other, behind any wrapper and any pipeline."""
import copy

import numpy as np
import pytest
import torch
import traced_images
from mmcv.transforms import BaseTransform
from mmengine.registry import DATASETS, TRANSFORMS

from autokd_mm.datasets.half import Half
from autokd_mm.errors import ConfigError, DataError
from autokd_mm.proxy.choice import choose_images
from autokd_mm.proxy.data import held_out_dataset_config, read_arrays
from autokd_mm.proxy.settings import ProxySettings

COCO_LOAD = [dict(type='mmdet.LoadImageFromFile'),
             dict(type='mmdet.LoadAnnotations', with_bbox=True)]
PACK = dict(type='mmdet.PackDetInputs')
MOSAIC = [dict(type='mmdet.Mosaic', img_scale=(16, 16), prob=0.8),
          dict(type='mmdet.MixUp', img_scale=(16, 16), ratio_range=(1.0, 1.0), flip_ratio=0.0),
          PACK]
CACHED = [dict(type='mmdet.CachedMosaic', img_scale=(16, 16), max_cached_images=8),
          dict(type='mmdet.CachedMixUp', img_scale=(16, 16), ratio_range=(1.0, 1.0), prob=1.0,
               max_cached_images=8), PACK]


@TRANSFORMS.register_module()
class SometimesNone(BaseTransform):
    """Gives nothing in a share of the runs, or always for some files."""

    def __init__(self, share=0.6, always=()):
        self.share, self.always = share, tuple(always)

    def transform(self, results):
        if results['img_path'][-6:-4] in self.always or np.random.rand() < self.share:
            return None
        return results


@TRANSFORMS.register_module()
class OwnState(BaseTransform):
    """A generator of its own, a counter, and images in a list that is made when it is used."""

    def __init__(self):
        self.generator, self.count, self.seen = np.random.default_rng(0), 0, None

    def transform(self, results):
        self.count += 1
        self.seen = [*(self.seen or []), results['img']]
        results['img'] = np.roll(results['img'], self.count, 0)
        results['img'][0, 0] = self.seen[0][0, 0]
        if self.generator.random() < 0.5:
            results['img'][:, :8] = 114
        return results


@DATASETS.register_module()
class Neighbours:
    """A data set of a user's own that takes the next image where one cannot be used."""

    metainfo = dict(classes=('often', 'seldom'))

    def __init__(self, dataset, bad=(0, 5, 9)):
        self.inner, self.bad = DATASETS.build(dataset), bad

    def __len__(self):
        return len(self.inner)

    def get_data_info(self, index):
        return self.inner.get_data_info(index)

    def __getitem__(self, index):
        return self.inner[index + 1 if index in self.bad else index]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('traced')
    traced_images.write_twice(root, *traced_images.write(root))
    return root


@pytest.fixture(scope='module')
def coco(root):

    def coco(pipeline=(*COCO_LOAD, PACK), **more):
        return dict(type='mmdet.CocoDataset', data_root=str(root), ann_file='train.json',
                    data_prefix=dict(img='images/'), metainfo=dict(classes=('often', 'seldom')),
                    pipeline=[dict(step) for step in pipeline], **more)

    return coco


def wrapped(coco, root):
    """Configs by name, each with how many of its 24 images differ."""
    plain = coco()
    mixed = dict(type='mmdet.MultiImageMixDataset', dataset=coco(COCO_LOAD), pipeline=MOSAIC)
    folders = dict(type='mmpretrain.CustomDataset', data_root=str(root), data_prefix='classes',
                   pipeline=[dict(type='mmpretrain.LoadImageFromFile'),
                             dict(type='mmpretrain.PackInputs')])
    return dict(
        plain=(plain, 24),
        repeat=(dict(type='RepeatDataset', times=5, dataset=plain), 24),
        balanced=(dict(type='ClassBalancedDataset', oversample_thr=0.9, dataset=plain), 24),
        concat=(dict(type='ConcatDataset', datasets=[coco(indices=list(range(16))),
                                                     coco(indices=list(range(8, 24)))]), 24),
        of_mmdet=(dict(type='mmdet.ConcatDataset', datasets=[plain, plain]), 24),
        repeated_concat=(dict(type='RepeatDataset', times=2, dataset=dict(
            type='ConcatDataset', datasets=[plain, coco(indices=list(range(12)))])), 24),
        fold=(dict(type='mmpretrain.KFoldDataset', fold=1, num_splits=4, seed=2, dataset=folders),
              18),
        folders=(folders, 24),
        indices=(dict(type='RepeatDataset', times=3, dataset=coco(indices=20)), 20),
        filtered=(dict(type='RepeatDataset', times=2, dataset=coco(
            filter_cfg=dict(filter_empty_gt=True, min_size=8))), 24),
        twice=(coco(), 24),
        views=(dict(type='mmrazor.SeededViews', views=3, dataset=plain), 24),
        mosaic=(mixed, 24),
        repeated_mosaic=(dict(type='RepeatDataset', times=2, dataset=mixed), 24),
        two_mosaics=(dict(type='mmdet.ConcatDataset', datasets=[mixed, plain, mixed]), 24),
        mosaic_of_two=(dict(mixed, dataset=dict(
            type='mmdet.ConcatDataset', datasets=[coco(COCO_LOAD), coco(COCO_LOAD)])), 24),
        cached=(coco([*COCO_LOAD, *CACHED]), 24),
        cached_choice=(coco([*COCO_LOAD, dict(type='RandomChoice', transforms=[
            CACHED[:1], CACHED[1:2]]), PACK]), 24),
        nothing=(coco([*COCO_LOAD, dict(type='SometimesNone'), PACK]), 24),
        never=(coco([*COCO_LOAD, dict(type='SometimesNone', always=['03', '07', '11']), PACK]), 24),
        mosaic_of_nothing=(dict(mixed, dataset=coco([*COCO_LOAD, dict(type='SometimesNone')])), 24),
        repeated_nothing=(dict(type='RepeatDataset', times=3, dataset=coco(
            [*COCO_LOAD, dict(type='SometimesNone', share=0.9), PACK])), 24),
        own_state=(coco([*COCO_LOAD, dict(type='OwnState'), PACK]), 24),
        neighbours=(dict(type='Neighbours', dataset=plain), 24))


NAMES = sorted(wrapped(lambda *args, **more: dict(pipeline=[]), ''))


@pytest.fixture(params=NAMES)
def case(request, coco, root):
    config, count = wrapped(coco, root)[request.param]
    if request.param == 'twice':
        config['ann_file'] = 'twice.json'
    return request.param, config, count


def halves(config, images, held_out):
    dataset = DATASETS.build(copy.deepcopy(config))
    settings = ProxySettings(images=images, held_out=held_out, batch_size=2, views=2)
    chosen = choose_images(settings, dataset)
    val = dict(pipeline=[dict(type='mmdet.LoadImageFromFile'), PACK])
    if config['type'] != 'Neighbours':
        if 'mmpretrain' in repr(config):
            val = dict(pipeline=[dict(type='mmpretrain.LoadImageFromFile'),
                                 dict(type='mmpretrain.PackInputs')])
        plain = DATASETS.build(held_out_dataset_config(config, val))
    else:
        plain = DATASETS.build(copy.deepcopy(config))
    return (Half(dataset, chosen['train']), Half(plain, chosen['held_out']))


def test_no_pixel_of_one_half_is_in_the_other(case):
    name, config, count = case
    train, held_out = halves(config, count - 6, 6)
    found = [set(), set()]
    for at, (half, views) in enumerate(((train, 2), (held_out, 1))):
        for index in half.indices:
            for view in range(views):
                files = traced_images.files_in(read_arrays(half, index, view, 0)[0])
                assert files or name == 'own_state'
                found[at] |= files
    assert not found[0] & found[1]
    assert len(found[0] | found[1]) == count or name in ('never', 'neighbours')


def test_a_row_is_the_same_in_any_order_and_in_any_process(case):
    _, config, count = case
    train, _ = halves(config, count - 6, 6)
    rows = [(index, view) for view in range(2) for index in train.indices]
    first = {row: read_arrays(train, *row, 0)[0] for row in rows}
    again, _ = halves(config, count - 6, 6)
    np.random.rand(7)
    for row in reversed(rows):
        assert np.array_equal(read_arrays(again, *row, 0)[0], first[row]), row


@pytest.mark.parametrize('name', ['cached', 'mosaic', 'nothing'])
def test_workers_do_not_matter(name, coco, root):
    train, _ = halves(wrapped(coco, root)[name][0], 12, 6)

    class Rows(torch.utils.data.Dataset):

        def __len__(self):
            return 24

        def __getitem__(self, row):
            return read_arrays(train, train.indices[row % 12], row // 12, 0)[0]

    for workers in (0, 2):
        found = torch.utils.data.DataLoader(Rows(), batch_size=None, num_workers=workers)
        for row, pixels in zip(reversed(range(24)), reversed(list(found))):
            assert np.array_equal(pixels, Rows()[row])


def test_partners_are_drawn_and_differ_from_view_to_view(coco, root):
    """The mosaic is there: it is confined and not left out."""
    train, _ = halves(wrapped(coco, root)['mosaic'][0], 16, 6)
    files = [traced_images.files_in(read_arrays(train, index, view, 0)[0])
             for index in train.indices for view in range(2)]
    assert max(map(len, files)) >= 3 and len(set.union(*files)) == 16
    assert not train.kept


def test_what_a_cache_would_mix_in_is_left_out_by_name(coco, root):
    train, _ = halves(wrapped(coco, root)['cached'][0], 16, 6)
    for index in train.indices:
        assert len(traced_images.files_in(read_arrays(train, index, 0, 0)[0])) == 1
    assert train.kept == ['CachedMosaic', 'CachedMixUp']
    assert not train.dataset.pipeline.transforms[2].results_cache


def test_rows_that_were_drawn_again_are_counted(coco, root):
    for name, replaced in (('nothing', 0), ('never', None)):
        train, _ = halves(wrapped(coco, root)[name][0], 18, 6)
        for index in train.indices:
            files = traced_images.files_in(read_arrays(train, index, 0, 0)[0])
            assert len(files) == 1
        assert train.redrawn
        if replaced is None:
            never = {3, 7, 11} & set(train.indices)
            assert never and {index for index, _ in train.replaced} == never
        else:
            assert not train.replaced


def test_pipeline_that_never_gives_anything(coco):
    dataset = DATASETS.build(coco([*COCO_LOAD, dict(type='SometimesNone', share=2.0), PACK]))
    with pytest.raises(DataError, match=r'the pipeline gives nothing \(None\) for image .*\.png'):
        read_arrays(Half(dataset, [1, 2]), 1, 0, 0)


def test_unknown_wrapper_that_mixes_is_refused(coco):

    class Mixing:

        def __init__(self, dataset):
            self.dataset = dataset

        def __len__(self):
            return len(self.dataset)

        def __getitem__(self, index):
            return self.dataset[index]

    mixed = DATASETS.build(dict(type='mmdet.MultiImageMixDataset', dataset=coco(COCO_LOAD),
                                pipeline=MOSAIC))
    with pytest.raises(ConfigError, match='Mixing mixes images'):
        Half(Mixing(mixed), [0, 1])


def test_segmentation_mosaics(tmp_path):
    import cv2
    traced_images.write(tmp_path)
    (tmp_path / 'maps').mkdir()
    for number in range(traced_images.COUNT):
        cv2.imwrite(str(tmp_path / 'maps' / f'{number:02d}.png'), np.zeros((16, 16), np.uint8))
    inner = dict(type='mmseg.BaseSegDataset', data_root=str(tmp_path), img_suffix='.png',
                 data_prefix=dict(img_path='images', seg_map_path='maps'),
                 metainfo=dict(classes=('a', )),
                 pipeline=[dict(type='mmseg.LoadImageFromFile'),
                           dict(type='mmseg.LoadAnnotations')])
    mixed = DATASETS.build(dict(
        type='mmseg.MultiImageMixDataset', dataset=inner,
        pipeline=[dict(type='mmseg.RandomMosaic', prob=1.0, img_scale=(16, 16), pad_val=114),
                  dict(type='mmseg.PackSegInputs')]))
    chosen = choose_images(ProxySettings(images=12, held_out=10, batch_size=2), mixed)
    half = Half(mixed, chosen['train'])
    files = [traced_images.files_in(read_arrays(half, index, 0, 0)[0]) for index in half.indices]
    assert max(map(len, files)) >= 3 and set.union(*files) == set(half.indices)
