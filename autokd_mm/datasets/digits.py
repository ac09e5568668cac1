"""Real images that need no download."""
from typing import Any, List, Optional

import numpy as np
from mmpretrain.datasets import BaseDataset

from autokd_mm.errors import ConfigError, nearest
from autokd_mm.registry import DATASETS

# Places, among the scans of one digit, that go to val. It takes them from between those of test,
# because a run of neighbours is by one or two writers only.
_TRAIN = 100
_VAL = range(_TRAIN, _TRAIN + 60, 3)
SPLITS = ('train', 'val', 'test')


@DATASETS.register_module()
class Digits(BaseDataset):
    """The 1,797 scanned digits that come with scikit-learn (UCI optdigits, 8x8, 17 grey levels).

    The split is the same everywhere: of each digit, in the order of the file, the first 100
    scans are for training; of the others, every third until there are 20 is for validation, the
    rest (54 to 63) for test. That makes 1,000 / 200 / 597 images. The file goes from writer to
    writer, so the validation and test images are mostly by writers not seen in training.

    Args:
        split: ``'train'``, ``'val'`` or ``'test'``.
        metainfo, pipeline, indices, ...: of :class:`mmpretrain.datasets.BaseDataset`.

    A sample has ``img``, uint8 8 x 8 x 1 with 0 = paper and 255 = ink, and ``gt_label``.

    Raises:
        ConfigError: unknown ``split``.
    """

    METAINFO = {'classes': tuple('0123456789')}

    def __init__(self,
                 split: str = 'train',
                 metainfo: Optional[dict] = None,
                 test_mode: bool = False,
                 **kwargs: Any) -> None:
        if split not in SPLITS:
            raise ConfigError(f'Digits split: {nearest(split, SPLITS)}')
        self.split = split
        super().__init__(ann_file='', metainfo=metainfo, test_mode=test_mode, **kwargs)

    def load_data_list(self) -> List[dict]:
        """The samples of the split, in the order of the file."""
        from sklearn.datasets import load_digits  # slow to import, needed here only

        digits = load_digits()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
        seen = dict.fromkeys(range(10), 0)
        samples = []
        for image, label in zip(images, digits.target.tolist()):
            rank, seen[label] = seen[label], seen[label] + 1
            split = 'train' if rank < _TRAIN else 'val' if rank in _VAL else 'test'
            if split == self.split:
                samples.append(dict(img=image, gt_label=label))
        return samples

    def extra_repr(self) -> List[str]:
        """Lines that ``repr`` adds."""
        return [f'Split: \t{self.split}']
