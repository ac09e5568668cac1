"""Which training images the proxy takes, and which are held out from it."""
from __future__ import annotations

from typing import Any, Callable, Dict, Hashable, List, Optional, Sequence, Set, Tuple

import numpy as np

from autokd_mm.datasets.annotations import LABEL
from autokd_mm.datasets.damage import ReadableImages
from autokd_mm.datasets.identity import Identities
from autokd_mm.errors import ConfigError, nearest
from autokd_mm.proxy.data import read_arrays
from autokd_mm.proxy.settings import SELECTIONS, ProxySettings

# How many candidates for each image that is chosen by the teacher's entropy: enough to stand for
# the whole data set, and a cost that does not grow with it.
POOL = 10


def choose_images(settings: ProxySettings, dataset: Any,
                  entropy: Optional[Callable[[np.ndarray], np.ndarray]] = None,
                  held_out: Any = None,
                  say: Callable[[str], None] = lambda line: None) -> Dict[str, np.ndarray]:
    """Which training images the proxy takes: sample indices of ``train`` and ``held_out``.

    No image is taken twice, and none is in both, under whatever name or wrapper it stands in the
    dataset (see :class:`~autokd_mm.datasets.identity.Identities`). Where every sample is another
    image the choice is that of :func:`choose` without ``pick``.

    Args:
        entropy: gives the teacher's entropy of the samples with these indices; asked with
            ``select='teacher_entropy'`` only.
        held_out: the dataset of ``proxy.held_out_dataset``, from which the held-out images then
            come; training images that are in it are left out.
        say: told in a line how many images are left out.

    Raises:
        ConfigError: more are asked for than there are; or they are to be chosen by entropy and
            ``entropy`` or class labels are missing.
        DataError: a file that would be chosen is damaged.
    """
    known = Identities(dataset)
    pick = Picker(known, ReadableImages(dataset))
    shares = isinstance(settings.images, float) or isinstance(settings.held_out, float)
    images, number = settings.counts(known.count() if shares else len(dataset))
    own = None
    if held_out is not None:
        own, pick.apart = _own_held_out(settings, held_out)
    labels = _class_labels(dataset)
    wanted = (labels, len(dataset), images, number if own is None else None, settings.seed)
    values = None
    if settings.select == 'teacher_entropy':
        if entropy is None:
            raise ConfigError("proxy.select: 'teacher_entropy' needs a teacher")
        if read_arrays(dataset, 0, 0, settings.seed)[1] != LABEL:
            raise ConfigError("proxy.select: 'teacher_entropy' needs one class label for each "
                              "image; 'class_balanced' and 'random' take any")
        # Without entropies the choice is refused here, before the teacher runs for long.
        choose(*wanted, pick=pick.anew())
        pool = candidates(*wanted, pick=pick.anew())
        values = np.full(len(dataset), np.nan)
        values[pool] = entropy(pool)
    pick = pick.anew()
    train, chosen = choose(*wanted, settings.select, values, pick)
    pick.tell(say)
    return dict(train=train, held_out=chosen if own is None else own)


def _own_held_out(settings: ProxySettings, dataset: Any) -> Tuple[np.ndarray, Set[Hashable]]:
    """Images of ``proxy.held_out_dataset``, class by class, and what they are."""
    known, total = Identities(dataset), len(dataset)
    share = settings.held_out
    number = share if isinstance(share, int) else int(round(share * known.count()))
    refuse_few('proxy.held_out', number)
    pick = Picker(known, ReadableImages(dataset, 'proxy.held_out_dataset'))
    chosen, _ = pick(_dealt(_class_labels(dataset), total, settings.seed), number)
    if len(chosen) < number:
        raise ConfigError(f'proxy.held_out={number}: proxy.held_out_dataset has {len(chosen)} '
                          'different images')
    return np.sort(chosen), {known[index] for index in chosen}


class Picker:
    """Takes images one after another, none twice.

    Args:
        known: what the images are.
        readable: whether the pipeline loads one.

    Attributes:
        apart: images that are never taken.
        met: samples of these that it came across.
    """

    def __init__(self, known: Identities, readable: ReadableImages) -> None:
        self.known, self.readable = known, readable
        self.apart: Set[Hashable] = set()
        self.met = 0
        self._taken: Set[Hashable] = set()

    def __call__(self, order: np.ndarray, number: int) -> Tuple[np.ndarray, np.ndarray]:
        """The first ``number`` samples of ``order`` that show images not taken yet, and what is
        behind them. Fewer where there are no more."""
        chosen: List[int] = []
        place = 0
        for place, index in enumerate(order):
            if len(chosen) == number:
                return np.array(chosen, order.dtype), order[place:]
            image = self.known[index]
            if image in self.apart:
                self.met += 1
            elif image not in self._taken and self.readable(index):
                self._taken.add(image)
                chosen.append(index)
        return np.array(chosen, order.dtype), order[len(order):]

    def count(self) -> int:
        """How many different images it could take."""
        return len({self.known[index] for index in range(len(self.known.dataset))} - self.apart)

    def anew(self) -> 'Picker':
        """One that has taken nothing yet."""
        twin = Picker(self.known, ReadableImages(self.readable.dataset, self.readable.key))
        twin.apart = self.apart
        return twin

    def tell(self, say: Callable[[str], None]) -> None:
        """Say in a line each what was left out."""
        if self.met:
            say(f'proxy.held_out_dataset: {self.met} training samples that it holds, too, are left '
                'out of the proxy')
        if self.readable.left_out:
            say(f'{self.readable.key}: the pipeline loads nothing for {self.readable.left_out} '
                'images, they are left out of the proxy')


def _class_labels(dataset: Any) -> Any:
    """One for each image; ``None`` where there are none."""
    if not hasattr(dataset, 'get_gt_labels'):
        return None
    try:
        labels = np.asarray(dataset.get_gt_labels())
    except ValueError:  # of different numbers of labels
        labels = np.empty((0, 0))
    if labels.ndim != 1:
        raise ConfigError(f'train_dataloader.dataset: a {type(dataset).__name__} has several '
                          'labels for an image; a search of a classifier needs one for each')
    return labels


def choose(labels: Optional[Sequence[int]], total: int, train: int,
           held_out: Optional[int], seed: int, select: str = 'class_balanced',
           entropy: Optional[np.ndarray] = None, pick: Optional[Picker] = None
           ) -> Tuple[np.ndarray, np.ndarray]:
    """Two disjoint sets of sample indices out of ``total``.

    The held-out samples are class-balanced and the same for every ``select``, so that rewards of
    differently chosen proxies can be compared. The training samples are

    - ``'random'``: drawn from all others alike;
    - ``'class_balanced'``: shuffled within each class and dealt out one class after another, so
      any prefix is as balanced as the data allow;
    - ``'teacher_entropy'``: one from each of ``train`` equal strata of the candidates in the order
      of the teacher's entropy, so the histogram of entropies is that of the candidates, whatever
      its bins. Entropy of a trained network as what a proxy must preserve: Na et al., IJCAI 2021
      ("Accelerating Neural Architecture Search via Proxy Data"); they favour the tails of the
      histogram, which would change what a distiller is for, so it is matched here instead.

    Args:
        labels: one class for each sample; ``None`` takes all for one class.
        held_out: ``None`` where the held-out samples come from elsewhere.
        entropy: one for each sample, NaN where it is no candidate; for ``'teacher_entropy'``.
        pick: takes different images; ``None`` takes all samples for different ones.

    Raises:
        ConfigError: more samples are asked for than there are, a set too small to compare, or no
            entropies for ``'teacher_entropy'``.
    """
    refuse_few('proxy.images', train)
    if held_out is not None:
        refuse_few('proxy.held_out', held_out)
    _refuse_more(train, held_out, total, total)
    take = pick or _take
    first, rest = take(_dealt(labels, total, seed), held_out or 0)
    if select == 'class_balanced':
        chosen, _ = take(rest, train)
    elif select == 'random':
        chosen, _ = take(np.random.default_rng([seed, 1]).permutation(np.sort(rest)), train)
    elif select == 'teacher_entropy':
        chosen = _one_of_each_stratum(entropy, rest, train, seed)
    else:
        raise ConfigError(f'proxy.select: {nearest(select, SELECTIONS)}')
    if pick is not None and (len(chosen) < train or len(first) < (held_out or 0)):
        _refuse_more(train, held_out, total, pick.count())
        raise ConfigError(f'proxy.images={train}: the pipeline loads {len(chosen)} of the images '
                          'that are left for it')
    return np.sort(chosen), np.sort(first)


def candidates(labels: Optional[Sequence[int]], total: int, train: int, held_out: Optional[int],
               seed: int, pick: Optional[Picker] = None) -> np.ndarray:
    """The samples whose entropy is needed: at most ``POOL`` random ones for each chosen one.

    Args: as :func:`choose`.
    """
    take = pick or _take
    _, rest = take(_dealt(labels, total, seed), held_out or 0)
    rest = np.random.default_rng([seed, 2]).permutation(np.sort(rest))
    return np.sort(take(rest, POOL * train)[0])


def refuse_few(key: str, number: int) -> None:
    """
    Raises:
        ConfigError: so few images that nothing can be compared.
    """
    if number < 2:
        raise ConfigError(f'{key}={number}: at least 2 images are needed')


def _refuse_more(train: int, held_out: Optional[int], total: int, different: int) -> None:
    if train + (held_out or 0) <= different:
        return
    if held_out is None:
        wanted, less = 'needs', f', {different} different ones outside proxy.held_out_dataset'
    else:
        wanted = f'and proxy.held_out={held_out} need'
        less = f' with {different} different images'
    raise ConfigError(f'proxy.images={train} {wanted} {train + (held_out or 0)} training images, '
                      f'the dataset has {total}' + (less if different < total else ''))


def _take(order: np.ndarray, number: int) -> Tuple[np.ndarray, np.ndarray]:
    return order[:number], order[number:]


def _dealt(labels: Optional[Sequence[int]], total: int, seed: int) -> np.ndarray:
    """All samples, shuffled within each class, one class after another."""
    order = np.random.default_rng(seed).permutation(total)
    if labels is None:
        return order
    classes = np.asarray(labels)[order]
    rank = np.zeros(total, dtype=np.int64)
    for value in np.unique(classes):
        members = np.flatnonzero(classes == value)
        rank[members] = np.arange(len(members))
    return order[np.argsort(rank, kind='stable')]


def _one_of_each_stratum(entropy: Optional[np.ndarray], rest: np.ndarray, train: int,
                         seed: int) -> np.ndarray:
    pool = np.sort(rest)
    values = np.full(len(pool), np.nan) if entropy is None else np.asarray(entropy)[pool]
    pool, values = pool[np.isfinite(values)], values[np.isfinite(values)]
    if len(pool) < train:
        raise ConfigError(f"proxy.select: 'teacher_entropy' needs the teacher's entropy of at "
                          f'least {train} images, {len(pool)} are known')
    pool = pool[np.argsort(values, kind='stable')]
    edges = np.linspace(0, len(pool), train + 1).astype(np.int64)
    return pool[np.random.default_rng([seed, 3]).integers(edges[:-1], edges[1:])]
