"""Which samples show the same image."""
import os
import time

import numpy as np
import pytest
import traced_images
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, TRANSFORMS
from torch.utils.data import Subset

from autokd_mm.datasets.identity import Identities
from autokd_mm.errors import ConfigError, DataError
from autokd_mm.proxy.choice import choose, choose_images
from autokd_mm.proxy.settings import SELECTIONS, ProxySettings


class Infos:
    """A data set that knows what ``infos`` say, and reads nothing."""

    def __init__(self, infos):
        self.infos = infos

    def __len__(self):
        return len(self.infos)

    def get_data_info(self, index):
        return self.infos[index]


def same(*infos):
    known = Identities(Infos(infos))
    return [known[index] == known[0] for index in range(len(infos))]


def test_files(tmp_path):
    for name in ('a.png', 'b.png'):
        (tmp_path / name).write_bytes(b'same bytes')
    os.symlink('a.png', str(tmp_path / 'link.png'))
    os.link(str(tmp_path / 'a.png'), str(tmp_path / 'hard.png'))
    names = ['a.png', './a.png', 'link.png', 'hard.png', f'../{tmp_path.name}/a.png', 'b.png']
    assert same(*(dict(img_path=f'{tmp_path}/{name}') for name in names)) == [True] * 5 + [False]
    assert same(dict(img_path='s3://a/b.png'), dict(img_path='s3://a/b.png'),
                dict(img_path='s3://a/c.png')) == [True, True, False]
    assert same(dict(img_path='no/a.png'), dict(img_path='no/./a.png'),
                dict(img_path='no/b.png')) == [True, True, False]


def test_pixels_and_what_is_neither():
    image = np.arange(12, dtype=np.uint8).reshape(2, 6)
    assert same(dict(img=image), dict(img=image.copy()), dict(img=image.reshape(3, 4)),
                dict(img=image + 1)) == [True, True, False, False]
    assert same(dict(img=b'1'), dict(img=b'1'), dict(img=b'2')) == [True, True, False]
    # many images in one file, and datasets that say nothing
    assert same(*[dict(img_path='all.h5', key=1)] * 2) == [True, False]
    assert same(*[dict(img_id=1)] * 2) == [True, False]
    plain = Identities(['a', 'b', 'a'])
    assert len({plain[index] for index in range(3)}) == plain.count() == 3
    some = Identities(Subset(['a', 'b', 'c'], [2, 1, 2]))
    assert some[0] == some[2] != some[1]


@pytest.mark.parametrize('select', SELECTIONS)
def test_choice_of_different_images_is_the_one_of_before(select):
    """Studies from before images were told apart go on."""
    dataset = DATASETS.build(dict(type='mmrazor.Digits', split='train', serialize_data=False,
                                  pipeline=[dict(type='mmpretrain.PackInputs')]))
    labels = dataset.get_gt_labels()
    settings = ProxySettings(images=300, held_out=0.1, batch_size=16, seed=4, select=select)
    values = np.sin(np.arange(1000))
    found = choose_images(settings, dataset, lambda indices: values[indices])
    if select == 'teacher_entropy':
        pool = np.setdiff1d(np.arange(1000), found['held_out'])
        values[found['held_out']] = np.nan
        assert set(found['train']) <= set(pool)
    train, held_out = choose(labels, 1000, 300, 100, 4, select, values)
    assert np.array_equal(found['train'], train) and np.array_equal(found['held_out'], held_out)


def test_it_costs_no_time(tmp_path):
    """3,000 of 100,000 files; the measured time on one busy core is 0.2 s."""

    class Many(BaseDataset):

        def load_data_list(self):
            return [dict(img_path=str(tmp_path / f'{number % 500}.png'), gt_label=0, place=number)
                    for number in range(100000)]

    for number in range(500):
        (tmp_path / f'{number}.png').write_bytes(b'\x89PNG\r\n\x1a\n%dIEND' % number)
    dataset = Many()
    before = time.process_time()
    found = choose_images(ProxySettings(images=300, held_out=200, batch_size=16), dataset)
    assert time.process_time() - before < 5
    places = [dataset.get_data_info(int(index))['img_path'] for half in found.values()
              for index in half]
    assert len(places) == len(set(places)) == 500


@pytest.mark.parametrize('config, words', [
    (dict(type='RepeatDataset', times=9), 'need 25 training images, the dataset has 216 with 24 '
                                          'different images'),
    (dict(type='ClassBalancedDataset', oversample_thr=0.9), 'with 24 different images'),
])
def test_too_few_different_images(config, words, tmp_path):
    dataset = DATASETS.build(dict(config, dataset=_coco(tmp_path)))
    with pytest.raises(ConfigError, match=words):
        choose_images(ProxySettings(images=17, held_out=8, batch_size=2), dataset)
    found = choose_images(ProxySettings(images=0.5, held_out=0.5, batch_size=2), dataset)
    assert len(found['train']) == len(found['held_out']) == 12  # a share of what is different


def _coco(root, write=True, **more):
    if write:
        traced_images.write(root)
    load = more.pop('load', dict(type='mmdet.LoadImageFromFile'))
    return dict(type='mmdet.CocoDataset', data_root=str(root), ann_file='train.json',
                data_prefix=dict(img='images/'), metainfo=dict(classes=('often', 'seldom')),
                pipeline=[load, dict(type='mmdet.PackDetInputs')], **more)


def test_held_out_images_of_a_dataset_of_its_own(tmp_path):
    train = DATASETS.build(_coco(tmp_path, indices=list(range(18))))
    own = DATASETS.build(_coco(tmp_path, False, indices=list(range(14, 24))))
    said = []
    found = choose_images(ProxySettings(images=14, held_out=10, batch_size=2), train,
                          held_out=own, say=said.append)
    assert found['held_out'].tolist() == list(range(10))
    assert found['train'].tolist() == list(range(14))  # 14 to 17 are held out
    assert len(said) == 1 and 'proxy.held_out_dataset: ' in said[0] and 'left out' in said[0]
    for values, words in ((dict(images=15, held_out=10),
                           'proxy.images=15 needs 15 training images, the dataset has 18, 14 '
                           'different ones outside proxy.held_out_dataset'),
                          (dict(images=4, held_out=11),
                           'proxy.held_out=11: proxy.held_out_dataset has 10 different images')):
        with pytest.raises(ConfigError, match=words):
            choose_images(ProxySettings(batch_size=2, **values), train, held_out=own)


@pytest.mark.parametrize('damage, words', [
    (lambda data: b'', 'it is empty'),
    (lambda data: b'<html>404</html>', 'failed to load image'),
    (lambda data: data[:len(data) // 2], 'failed to load image|its end is missing'),
    (None, 'is not there')])
def test_damaged_file_is_named_when_images_are_chosen(damage, words, tmp_path):
    config = _coco(tmp_path)
    path = tmp_path / 'images' / '07.png'
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=f'train_dataloader.dataset: .*images/07.png .*({words})'):
        choose_images(ProxySettings(images=20, held_out=4, batch_size=2), DATASETS.build(config))


@TRANSFORMS.register_module()
class LoadGrey:

    def __call__(self, results):
        return dict(results, img=np.full((16, 16, 3), 128, np.uint8))


def test_jpeg_without_its_end(tmp_path):
    """Some decoders fill up what is missing and say nothing that can be caught."""
    import cv2
    config = _coco(tmp_path, load=dict(type='LoadGrey'))
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    data = cv2.imencode('.jpg', noise)[1].tobytes()
    path = tmp_path / 'images' / '07.png'  # names say little
    path.write_bytes(data)
    settings = ProxySettings(images=20, held_out=4, batch_size=2)
    choose_images(settings, DATASETS.build(config))
    path.write_bytes(data[:-200])
    with pytest.raises(DataError, match='images/07.png is damaged, its end is missing'):
        choose_images(settings, DATASETS.build(config))


def test_images_that_the_pipeline_does_not_load_are_left_out(tmp_path):
    config = _coco(tmp_path, load=dict(type='mmdet.LoadImageFromFile', ignore_empty=True))
    for number in (3, 8):
        (tmp_path / 'images' / f'{number:02d}.png').write_bytes(b'')
    dataset, said = DATASETS.build(config), []
    found = choose_images(ProxySettings(images=18, held_out=4, batch_size=2), dataset,
                          say=said.append)
    assert not {3, 8} & (set(found['train']) | set(found['held_out']))
    assert len(said) == 1 and 'loads nothing for 2 images' in said[0]
    with pytest.raises(ConfigError, match='proxy.images=20: the pipeline loads 18'):
        choose_images(ProxySettings(images=20, held_out=4, batch_size=2), dataset)
