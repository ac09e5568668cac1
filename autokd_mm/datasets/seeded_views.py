"""Augmented images that can be made again: sample i in view v is always the same pixels."""
from __future__ import annotations

from typing import Any, Dict, Iterator, List, Optional, Sequence, Union

import numpy as np
from mmengine.dataset import DefaultSampler
from mmengine.registry import DATASETS as ALL_DATASETS

from autokd_mm.bank.feature_bank import refuse_another
from autokd_mm.bank.identity import arrays_digest, describe_pipeline
from autokd_mm.bank.records import SAMPLE, VIEW, VIEW_SEED, read_made_from
from autokd_mm.datasets.wrappers import all_steps
from autokd_mm.errors import ConfigError, DataError
from autokd_mm.registry import DATA_SAMPLERS, DATASETS
from autokd_mm.seeding import derive, seed_all, seeded

_PROBES = 16


@DATASETS.register_module()
class SeededViews:
    """``views`` augmented versions of each sample of a dataset, each drawn with its own seed.

    Item ``view * samples + sample`` is the sample behind the dataset's pipeline, run while
    ``random``, NumPy and torch draw what (seed, sample, view) says. So it is the same pixels bit
    for bit in any process, any epoch and with any number of dataloader workers, and what the
    teacher says of them can be kept. Its data sample knows where it comes from: ``view_sample``,
    ``view`` and ``view_seed`` in the metainfo.

    Args:
        dataset: the dataset, or its config.
        views: versions of each sample; :class:`ViewSampler` takes them in turn, one per epoch.
        seed: of the augmentation.
        bank: folder of a bank of teacher outputs that is to be used with this dataset.

    Raises:
        ConfigError: ``views`` is less than 1; a transform mixes in what was read before; or the
            bank was made from other samples, another
            pipeline, seed or number of views: says what differs.
        DataError: the dataset is empty.
    """

    def __init__(self, dataset: Union[Dict[str, Any], Any], views: int = 1, seed: int = 0,
                 bank: Optional[str] = None) -> None:
        for name, value, least in (('views', views, 1), ('seed', seed, 0)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(f'SeededViews {name}={value!r}: must be a whole number, at '
                                  f'least {least}')
        self.dataset = ALL_DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.views, self.seed = views, seed
        self.full_init()
        self.samples = len(self.dataset)
        if not self.samples:
            raise DataError('train_dataloader.dataset: it is empty')
        if bank:
            refuse_another(bank, read_made_from(bank, 'train_dataloader.dataset.bank')['data'],
                           self.describe())

    def full_init(self) -> None:
        """Load what the dataset loads lazily."""
        if hasattr(self.dataset, 'full_init'):
            self.dataset.full_init()

    @property
    def metainfo(self) -> Dict[str, Any]:
        return getattr(self.dataset, 'metainfo', {})

    def __len__(self) -> int:
        return self.views * self.samples

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> List[Any]:
        """The items of a batch, as torch's dataloader asks for them: the process's random state
        is put aside once, which takes longer than to augment a small image."""
        with seeded(self.seed):
            return [self._item(int(index)) for index in indices]

    def _item(self, index: int) -> Any:
        if not 0 <= index < len(self):  # also ends an iteration
            raise IndexError(f'item {index} of {len(self)}')
        view, sample = divmod(index, self.samples)
        seed_all(derive(self.seed, sample, view))
        item = self.dataset[sample]
        data_sample = item['data_samples']
        for name, value in ((SAMPLE, sample), (VIEW, view), (VIEW_SEED, self.seed)):
            data_sample.set_field(value, name, field_type='metainfo')
        return item

    def _refuse_caches(self) -> None:
        for step in all_steps(self.dataset):
            if hasattr(step, 'results_cache'):
                raise ConfigError(f'train_dataloader.dataset.pipeline: {type(step).__name__} mixes '
                                  'in what was read before, so its images cannot be made again; '
                                  'leave it out, or let the teacher run without a bank')

    def describe(self) -> Dict[str, Any]:
        """JSON values that identify the pixels: dataset, pipeline, seeds, a digest of probes.

        Raises:
            ConfigError: the pipeline draws from somewhere else than ``random``, NumPy and torch,
                so its views cannot be made again.
        """
        last = len(self) - 1
        probes = sorted({int(place) for place in np.linspace(0, last, min(_PROBES, last + 1))})
        digests = []
        for _ in range(2):
            items = [self[place] for place in probes]
            digests.append(arrays_digest(item['inputs'] for item in items))
        if digests[0] != digests[1]:
            raise ConfigError('train_dataloader.dataset.pipeline: it makes other pixels when it is '
                              'run again with the same seed; a transform has a random state of '
                              'its own')
        labels = (self.dataset.get_gt_labels() if hasattr(self.dataset, 'get_gt_labels') else
                  [str(item['data_samples'].get('gt_label')) for item in items])
        return dict(dataset=type(self.dataset).__name__, samples=self.samples, views=self.views,
                    seed=self.seed, pipeline=describe_pipeline(self.dataset), pixels=digests[0],
                    labels=arrays_digest([np.asarray(labels)]))


class _Range:
    """What :class:`DefaultSampler` wants to know of a dataset: its length."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length


@DATA_SAMPLERS.register_module()
class ViewSampler(DefaultSampler):
    """Every sample once per epoch; epoch e takes view e mod ``views``.

    In the order of MMEngine's ``DefaultSampler`` with the same seed, on one process or on many.

    Args:
        dataset: a :class:`SeededViews`.
        kwargs: ``shuffle``, ``seed``, ``round_up`` of ``DefaultSampler``.

    Raises:
        ConfigError: ``dataset`` has no views.
    """

    def __init__(self, dataset: Any, **kwargs: Any) -> None:
        if not hasattr(dataset, 'views'):
            raise ConfigError('train_dataloader.sampler: ViewSampler goes with '
                              "train_dataloader.dataset=dict(type='mmrazor.SeededViews', ...)")
        self.views, self._samples = dataset.views, dataset.samples
        super().__init__(_Range(dataset.samples), **kwargs)

    @property
    def view(self) -> int:
        """The view of this epoch."""
        return self.epoch % self.views

    def __iter__(self) -> Iterator[int]:
        first = self.view * self._samples
        return iter([first + sample for sample in super().__iter__()])
