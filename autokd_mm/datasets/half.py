"""Some images of a dataset, read so that no other image ever gets into what is read."""
from __future__ import annotations

import copy
from typing import Any, Callable, Dict, Iterable, List, NoReturn, Optional, Sequence, Set, Tuple

import numpy as np

from autokd_mm.datasets.identity import file_identity, info_of, path_of
from autokd_mm.datasets.memory import Memory
from autokd_mm.datasets.wrappers import (all_steps, asks_for_more, below, inside, is_seeded,
                                         mixes, source, steps_of)
from autokd_mm.errors import ConfigError
from autokd_mm.seeding import derive, seed_all

KEY = 'train_dataloader.dataset'
# How often an image is tried that is mixed into another one, and how often before a further one.
_TRIES, _OF_ONE = 64, 8


class _Nothing(BaseException):
    """The pipeline gave no image. No ``Exception``, because datasets catch those and take another
    image instead."""


class Half:
    """The training or the held-out images of a dataset, under the indices that they have there.

    MMEngine's datasets take any other image where their pipeline gives ``None``, and
    MultiImageMixDataset draws its partners from all images. Here the first gives ``None``, and
    partners come from these images alone. What transforms keep from earlier images is forgotten
    before each one (see :class:`Memory`), so a sample depends on nothing but the random state.
    The dataset itself is left as it is.

    Args:
        dataset: any, wrapped or not.
        indices: of the images, in any order.

    Attributes:
        indices: as given.
        redrawn, replaced: (index, view) of what was made with another seed, or of another of
            these images, because the pipeline gave nothing; filled by who reads.

    Raises:
        ConfigError: a transform draws further images in a way that cannot be confined.
    """

    def __init__(self, dataset: Any, indices: Iterable[int]) -> None:
        self.dataset, self.indices = dataset, [int(index) for index in indices]
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
        self._shared = _Shared()
        self._part = _Part(dataset, self.indices, self._shared)
        self._places = {index: place for place, index in enumerate(self.indices)}
        self._memory = Memory(self._shared.steps)
        self._paths: Dict[int, Optional[str]] = {}
        self.redrawn: Set[Tuple[int, int]] = set()
        self.replaced: Set[Tuple[int, int]] = set()

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.read(index)

    @property
    def kept(self) -> List[str]:
        """Transforms that had kept earlier images, which were forgotten."""
        return self._memory.kept

    def read(self, index: int, seed: int = 0, again: bool = False) -> Any:
        """Sample ``index``, or ``None`` where the pipeline gives nothing, or another image.

        Args:
            seed: of transforms with a random generator of their own.
            again: it has given nothing before: :class:`SeededViews` draws another view, too.

        Raises:
            KeyError: it is none of these images.
        """
        self._memory.seed(seed)
        self._shared.again = again
        try:
            sample = self._part[self._places[index]]
        except _Nothing:
            return None
        finally:
            self._memory.forget()
        return None if sample is None or self._is_another(index, sample) else sample

    def name(self, index: int) -> str:
        """The file of image ``index``, or its number."""
        return path_of(info_of(*source(self.dataset, index))) or str(index)

    def _is_another(self, index: int, sample: Any) -> bool:
        """The sample shows another file than it should: a dataset has replaced it on its own."""
        found = getattr(sample['data_samples'], 'img_path', None) if isinstance(
            sample, dict) and 'data_samples' in sample else None
        if not isinstance(found, str):
            return False
        if index not in self._paths:
            self._paths[index] = path_of(info_of(*source(self.dataset, index)))
        path = self._paths[index]
        if path is None or found == path:
            return False
        there, wanted = file_identity(found), file_identity(path)
        # Names that are no files may be written in several ways.
        return isinstance(there, tuple) and isinstance(wanted, tuple) and there != wanted


class _Shared:
    """What the parts of one half have in common."""

    def __init__(self) -> None:
        self.again = False
        self.steps: List[Any] = []


class _Part:
    """Samples of one dataset by their place among ``indices``; stands for the dataset in what
    wraps it."""

    def __init__(self, dataset: Any, indices: Sequence[int], shared: _Shared,
                 patient: bool = False) -> None:
        self.dataset, self.indices, self._shared = dataset, list(indices), shared
        self._tries = _TRIES if patient else 1
        found = [below(dataset, index) for index in self.indices]
        self._get: Callable[[int], Any]
        if not self.indices or found[0] is None:
            twin = _confined(dataset, shared)
            self._get = lambda place: twin[self.indices[place]]
        elif mixes(dataset):
            twin = copy.copy(dataset)
            twin.dataset = _Part(dataset.dataset, self.indices, shared, patient=True)
            twin.num_samples = len(self.indices)
            twin.pipeline = _own_steps(dataset.pipeline)
            shared.steps.extend(twin.pipeline)
            self._get = lambda place: _mixed(twin, place)
        else:
            self._get = self._through([one for one in found if one is not None])

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> Any:
        if not 0 <= place < len(self.indices):
            raise IndexError(f'image {place} of {len(self.indices)}')
        # One of several images that are mixed: only it is drawn again, as MMEngine does it.
        for left in reversed(range(self._tries)):
            try:
                return self._get(place)
            except _Nothing:
                if not left:
                    raise
                if left % _OF_ONE == 0:
                    place = int(np.random.randint(len(self.indices)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__') or name == 'dataset':
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def _through(self, found: Sequence[Tuple[Any, int]]) -> Callable[[int], Any]:
        """Reads what a wrapper that only knows where its samples are hands on."""
        places: Dict[int, Dict[int, int]] = {}
        for inner, index in found:
            there = places.setdefault(id(inner), {})
            there.setdefault(index, len(there))
        parts = {key: _Part(inner, list(places[key]), self._shared)
                 for key, inner in {id(inner): inner for inner, _ in found}.items()}
        wrapper, seeds = self.dataset, is_seeded(self.dataset)

        def get(place: int) -> Any:
            inner, index = found[place]
            if seeds and not self._shared.again:
                view, sample = divmod(self.indices[place], wrapper.samples)
                seed_all(derive(wrapper.seed, sample, view))
            return parts[id(inner)][places[id(inner)][index]]

        return get


def _confined(dataset: Any, shared: _Shared) -> Any:
    """A dataset that gives :class:`_Nothing` instead of another image."""
    if inside(dataset) and any(map(asks_for_more, all_steps(dataset))):
        raise ConfigError(f'{KEY}: {type(dataset).__name__} mixes images, and whether it leaves '
                          'those alone that are held out is not known; let it stand in mmdet\'s or '
                          "mmseg's MultiImageMixDataset")
    twin = copy.copy(dataset)
    if hasattr(dataset, '_rand_another'):
        twin._rand_another = _nothing
    if hasattr(dataset, 'prepare_data'):
        twin.prepare_data = lambda index: _or_nothing(type(dataset).prepare_data(twin, index))
    if steps_of(dataset):
        twin.pipeline = _own_steps(dataset.pipeline)
        shared.steps.extend(steps_of(twin))
    confined = [_confined(inner, shared) for inner in inside(dataset)]
    if confined and isinstance(getattr(dataset, 'datasets', None), (list, tuple)):
        twin.datasets = confined
    elif confined:
        twin.dataset = confined[0]
    return twin


def _mixed(dataset: Any, place: int) -> Any:
    """Sample of a MultiImageMixDataset, whose error says that its pipeline gives nothing."""
    try:
        return dataset[place]
    except RuntimeError as error:
        if 'always return None' in str(error):
            raise _Nothing from None
        raise


def _own_steps(pipeline: Any) -> Any:
    """A copy, so that what it keeps does not get into the dataset's."""
    try:
        return copy.deepcopy(pipeline)
    except Exception:  # holds something that cannot be copied, such as an open file
        return pipeline


def _nothing(*args: Any, **values: Any) -> NoReturn:
    raise _Nothing


def _or_nothing(sample: Any) -> Any:
    if sample is None:
        raise _Nothing
    return sample
