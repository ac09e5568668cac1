"""CIFAR from whatever part of it lies on the disk."""
import os
import os.path as osp
import tempfile
import time
from typing import Any, List

import mmengine.dist as dist
import numpy as np
from mmengine.fileio import exists, get, join_path
from mmengine.logging import MMLogger
from mmpretrain.datasets import CIFAR10, CIFAR100
from mmpretrain.datasets.utils import download_and_extract_archive

from autokd_mm.datasets.restricted_pickle import loads
from autokd_mm.errors import DataError
from autokd_mm.registry import DATASETS

_WAIT_SECONDS = 3600


class _LocalFiles:
    """In front of mmpretrain's CIFAR: no md5, no need for every batch, no plain unpickling."""

    data_prefix: dict
    split: str
    download: bool
    CLASSES: Any
    base_folder: str
    url: str
    filename: str
    tgz_md5: str
    train_list: list
    test_list: list

    def load_data_list(self) -> List[dict]:
        """``dict(img=uint8 32 x 32 x 3 RGB, gt_label=int)`` of every image of the split.

        Raises:
            DataError: ``data_root`` has no batch of the split, or one that cannot be read.
        """
        if not self._any():
            self._fetch()
        names = self.train_list if self.split == 'train' else self.test_list
        files = self._files(names)
        if not files:
            wanted = ' or '.join(name for name, _ in names)
            raise DataError(f'data_root={self._root!r} has no {self.split} batch of '
                            f'{self._what}: no {wanted} in {self.base_folder}/')
        if len(files) < len(names):
            MMLogger.get_current_instance().warning(
                f'{self._what}: {len(files)} of {len(names)} {self.split} batches in '
                f'data_root={self._root!r}, going on with these')
        samples = []
        for path in files:
            images, labels = self._read(path)
            samples += [dict(img=image, gt_label=label) for image, label in zip(images, labels)]
        return samples

    @property
    def _root(self) -> str:
        return self.data_prefix['root'].rstrip('/') or '/'

    @property
    def _what(self) -> str:
        return type(self).__name__.replace('Local', '')

    def _files(self, names: list) -> List[str]:
        """Paths of those of ``names`` that exist, in CIFAR's own folder or in ``data_root``."""
        files = []
        for name, _ in names:
            for path in (join_path(self._root, self.base_folder, name),
                         join_path(self._root, name)):
                if exists(path):
                    files.append(path)
                    break
        return files

    def _any(self) -> bool:
        return bool(self._files(self.train_list + self.test_list))

    def _fetch(self) -> None:
        """Download the archive on the main process; the others wait for the folder.

        The folder appears at once and whole. No collective call is made, so that a dataset may
        be built on one rank only.
        """
        if not self.download:
            raise DataError(f'data_root={self._root!r} has no {self._what} batches '
                            f'(looked for {self.base_folder}/) and download=False')
        if not dist.is_main_process():
            deadline = time.monotonic() + _WAIT_SECONDS
            while not self._any() and time.monotonic() < deadline:
                time.sleep(1)
            return
        try:
            os.makedirs(self._root, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._root) as folder:
                download_and_extract_archive(self.url, self._root, extract_root=folder,
                                             filename=self.filename, md5=self.tgz_md5)
                os.replace(osp.join(folder, self.base_folder),
                           osp.join(self._root, self.base_folder))
        except Exception as error:  # no network, no room, a wrong md5
            reason = f'{type(error).__name__}: {error}'.splitlines()[0]
            raise DataError(f'data_root={self._root!r} has no {self._what} batches and '
                            f'downloading {self.url} failed ({reason})') from None

    def _read(self, path: str) -> tuple:
        """Images N x 32 x 32 x 3 and N labels of one batch."""
        try:
            batch = loads(get(path))
            data = batch['data']
            labels = batch['labels'] if 'labels' in batch else batch['fine_labels']
            images = np.asarray(data)
            if images.dtype != np.uint8 or images.shape != (len(labels), 3072):
                raise ValueError(f'{len(labels)} labels for {images.dtype} data '
                                 f'of shape {images.shape}')
            labels = [int(label) for label in labels]
            if not labels or not 0 <= min(labels) <= max(labels) < len(self.CLASSES):
                raise ValueError(f'labels must lie in 0..{len(self.CLASSES) - 1}')
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise DataError(f'data_root={self._root!r}: {osp.basename(path)} is torn or not a '
                            f'{self._what} batch ({error})') from None
        return images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


@DATASETS.register_module()
class LocalCIFAR10(_LocalFiles, CIFAR10):
    """CIFAR-10 from the batches that lie in ``data_root``, be they all five or one.

    mmpretrain's :class:`CIFAR10` wants every file with its published md5 and unpickles what it
    finds. This one takes the training batches that are there (a part, a re-encoded copy),
    unpickles nothing but plain data, and downloads only where there is nothing at all.

    Args:
        data_root: folder that holds ``cifar-10-batches-py/``, or that folder itself.
        split: ``'train'`` or ``'test'``.
        download: whether to download into a ``data_root`` without any batch.
        metainfo, pipeline, indices, ...: of :class:`mmpretrain.datasets.CIFAR10`.

    Raises:
        DataError: no batch of the split, a torn one, or a failed download.
    """


@DATASETS.register_module()
class LocalCIFAR100(_LocalFiles, CIFAR100):
    """CIFAR-100 (fine labels) from ``data_root``, whole or cut short.

    As :class:`LocalCIFAR10`, with ``cifar-100-python/{train,test}``.
    """
