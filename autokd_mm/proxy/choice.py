"""Which training images the proxy takes, and which are held out from it."""
from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Sequence, Tuple

import numpy as np

from autokd_mm.datasets.annotations import LABEL
from autokd_mm.errors import ConfigError, nearest
from autokd_mm.proxy.data import read_arrays
from autokd_mm.proxy.settings import SELECTIONS, ProxySettings

# How many candidates for each image that is chosen by the teacher's entropy: enough to stand for
# the whole data set, and a cost that does not grow with it.
POOL = 10


def choose_images(settings: ProxySettings, dataset: Any,
                  entropy: Optional[Callable[[np.ndarray], np.ndarray]] = None
                  ) -> Dict[str, np.ndarray]:
    """Which training images the proxy takes: sample indices of ``train`` and ``held_out``.

    Args:
        entropy: gives the teacher's entropy of the samples with these indices; asked with
            ``select='teacher_entropy'`` only.

    Raises:
        ConfigError: more are asked for than there are; or they are to be chosen by entropy and
            ``entropy`` or class labels are missing.
    """
    images, held_out_images = settings.counts(len(dataset))
    labels = _class_labels(dataset)
    values = None
    if settings.select == 'teacher_entropy':
        if entropy is None:
            raise ConfigError("proxy.select: 'teacher_entropy' needs a teacher")
        if read_arrays(dataset, 0, 0, settings.seed)[1] != LABEL:
            raise ConfigError("proxy.select: 'teacher_entropy' needs one class label for each "
                              "image; 'class_balanced' and 'random' take any")
        # Without entropies the choice is refused here, before the teacher runs for long.
        choose(labels, len(dataset), images, held_out_images, settings.seed)
        pool = candidates(labels, len(dataset), images, held_out_images, settings.seed)
        values = np.full(len(dataset), np.nan)
        values[pool] = entropy(pool)
    train, held_out = choose(labels, len(dataset), images, held_out_images, settings.seed,
                             settings.select, values)
    return dict(train=train, held_out=held_out)


def _class_labels(dataset: Any) -> Any:
    return dataset.get_gt_labels() if hasattr(dataset, 'get_gt_labels') else None


def choose(labels: Optional[Sequence[int]], total: int, train: int, held_out: int, seed: int,
           select: str = 'class_balanced',
           entropy: Optional[np.ndarray] = None) -> Tuple[np.ndarray, np.ndarray]:
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
        entropy: one for each sample, NaN where it is no candidate; for ``'teacher_entropy'``.

    Raises:
        ConfigError: more samples are asked for than there are, a set too small to compare, or no
            entropies for ``'teacher_entropy'``.
    """
    for key, wanted, least in (('proxy.images', train, 2), ('proxy.held_out', held_out, 2)):
        if wanted < least:
            raise ConfigError(f'{key}={wanted}: at least {least} images are needed')
    if train + held_out > total:
        raise ConfigError(f'proxy.images={train} and proxy.held_out={held_out} need '
                          f'{train + held_out} training images, the dataset has {total}')
    order = _dealt(labels, total, seed)
    rest = order[held_out:]
    if select == 'class_balanced':
        chosen = rest[:train]
    elif select == 'random':
        chosen = np.random.default_rng([seed, 1]).permutation(np.sort(rest))[:train]
    elif select == 'teacher_entropy':
        chosen = _one_of_each_stratum(entropy, rest, train, seed)
    else:
        raise ConfigError(f'proxy.select: {nearest(select, SELECTIONS)}')
    return np.sort(chosen), np.sort(order[:held_out])


def candidates(labels: Optional[Sequence[int]], total: int, train: int, held_out: int,
               seed: int) -> np.ndarray:
    """The samples whose entropy is needed: at most ``POOL`` random ones for each chosen one."""
    rest = np.sort(_dealt(labels, total, seed)[held_out:])
    return np.sort(np.random.default_rng([seed, 2]).permutation(rest)[:POOL * train])


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
