import io
import os
import pickle
import tarfile

import numpy as np
import pytest
from mmpretrain.registry import DATASETS

from autokd_mm.datasets import LocalCIFAR10, LocalCIFAR100, local_cifar
from autokd_mm.errors import DataError


def batch(count, classes=10, key='labels', seed=0):
    generator = np.random.default_rng(seed)
    return {'data': generator.integers(0, 256, (count, 3072), dtype=np.uint8),
            key: generator.integers(0, classes, count).tolist()}


def put(folder, **batches):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in batches.items():
        (folder / name).write_bytes(
            content if isinstance(content, bytes) else pickle.dumps(content, 2))
    return folder


@pytest.fixture
def cifar10(tmp_path):
    put(tmp_path / 'cifar-10-batches-py', data_batch_2=batch(5, seed=2),
        data_batch_4=batch(7, seed=4), test_batch=batch(3))
    return tmp_path


def test_whatever_batches_are_there(cifar10):
    dataset = LocalCIFAR10(str(cifar10), 'train')
    assert len(dataset) == 12
    assert len(LocalCIFAR10(str(cifar10), 'test')) == 3
    assert dataset.get_gt_labels().tolist() == (
        batch(5, seed=2)['labels'] + batch(7, seed=4)['labels'])


def test_pixels_are_rgb_height_width_channel(cifar10):
    image = LocalCIFAR10(str(cifar10)).get_data_info(0)['img']
    assert image.shape == (32, 32, 3)
    assert np.array_equal(image[..., 1], batch(5, seed=2)['data'][0, 1024:2048].reshape(32, 32))


def test_data_root_may_be_the_inner_folder(cifar10):
    assert len(LocalCIFAR10(str(cifar10 / 'cifar-10-batches-py'))) == 12


def test_cifar100_with_fine_labels(tmp_path):
    put(tmp_path / 'cifar-100-python', train=batch(6, 100, 'fine_labels'),
        test=batch(4, 100, 'fine_labels'))
    dataset = LocalCIFAR100(str(tmp_path), 'test')
    assert len(dataset) == 4 and len(dataset.metainfo['classes']) == 100
    assert dataset.get_gt_labels().tolist() == batch(4, 100, 'fine_labels')['fine_labels']


def test_from_a_config_through_the_pipeline(cifar10):
    dataset = DATASETS.build(dict(
        type='mmrazor.LocalCIFAR10', data_root=str(cifar10), split='train', indices=4,
        pipeline=[dict(type='mmcv.RandomFlip', prob=1.0, direction='horizontal'),
                  dict(type='mmpretrain.PackInputs')]))
    assert len(dataset) == 4 and dataset[0]['inputs'].shape == (3, 32, 32)
    assert dataset[0]['inputs'][0, 0, 0] == batch(5, seed=2)['data'][0, 31]


class Evil:

    def __reduce__(self):
        return os.mkdir, ('evil', )


@pytest.mark.parametrize('content, words', [
    (pickle.dumps(batch(5))[:-200], 'is torn'),
    (b'', 'is torn'),
    ({'data': Evil()}, 'which is not plain data'),
    ([1, 2], 'is torn or not a CIFAR10 batch'),
    ({'data': np.zeros((2, 3072), np.uint8)}, 'fine_labels'),
    ({'data': np.zeros((2, 3072), np.uint8), 'labels': [1]}, '1 labels for uint8 data'),
    ({'data': np.zeros((2, 9), np.uint8), 'labels': [1, 2]}, r'of shape \(2, 9\)'),
    ({'data': np.zeros((1, 3072)), 'labels': [1]}, 'float64'),
    ({'data': np.zeros((1, 3072), np.uint8), 'labels': [10]}, r'labels must lie in 0\.\.9'),
    ({'data': np.zeros((0, 3072), np.uint8), 'labels': []}, 'labels must lie in'),
])
def test_bad_file_is_named_with_data_root(tmp_path, monkeypatch, content, words):
    monkeypatch.chdir(tmp_path)
    root = put(tmp_path / 'cifar-10-batches-py', data_batch_1=content).parent
    with pytest.raises(DataError, match=words) as raised:
        LocalCIFAR10(str(root))
    message = str(raised.value)
    assert f"data_root='{root}'" in message and 'data_batch_1' in message
    assert '\n' not in message
    assert not (tmp_path / 'evil').exists()


def test_split_without_a_batch(tmp_path):
    put(tmp_path / 'cifar-10-batches-py', data_batch_1=batch(3))
    with pytest.raises(DataError, match='has no test batch of CIFAR10: no test_batch'):
        LocalCIFAR10(str(tmp_path), 'test')


def test_empty_folder_without_download(tmp_path):
    with pytest.raises(DataError, match='has no CIFAR100 batches .*download=False'):
        LocalCIFAR100(str(tmp_path), download=False)


def archive(path):
    with tarfile.open(path, 'w:gz') as tar:
        for name, count in (('data_batch_1', 5), ('test_batch', 2)):
            content = pickle.dumps(batch(count), 2)
            entry = tarfile.TarInfo(f'cifar-10-batches-py/{name}')
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def test_empty_folder_is_downloaded_into(tmp_path, monkeypatch):
    archive(tmp_path / 'served.tar.gz')
    monkeypatch.setattr(LocalCIFAR10, 'url', (tmp_path / 'served.tar.gz').as_uri())
    monkeypatch.setattr(LocalCIFAR10, 'tgz_md5', None)
    root = tmp_path / 'data'
    assert len(LocalCIFAR10(str(root))) == 5
    assert sorted(path.name for path in root.iterdir()) == [
        'cifar-10-batches-py', 'cifar-10-python.tar.gz']
    monkeypatch.setattr(LocalCIFAR10, 'url', 'file:///nowhere')
    assert len(LocalCIFAR10(str(root), 'test')) == 2  # not fetched a second time


def test_failed_download_is_one_line_and_leaves_no_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(LocalCIFAR10, 'url', (tmp_path / 'none.tar.gz').as_uri())
    with pytest.raises(DataError, match='downloading file:.* failed') as raised:
        LocalCIFAR10(str(tmp_path / 'data'))
    assert '\n' not in str(raised.value)
    assert list((tmp_path / 'data').iterdir()) == []


def test_other_ranks_wait_for_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(local_cifar.dist, 'is_main_process', lambda: False)
    monkeypatch.setattr(local_cifar.time, 'sleep', lambda seconds: put(
        tmp_path / 'cifar-10-batches-py', data_batch_1=batch(5)))
    assert len(LocalCIFAR10(str(tmp_path))) == 5
