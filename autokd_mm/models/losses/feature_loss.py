"""The loss of one point of the search space on one pair of features."""
import math
import warnings
from typing import List, Optional, Tuple

from torch import Tensor, nn

from autokd_mm.errors import ConfigError, DegenerateBatchWarning
from autokd_mm.models.distances import Distance
from autokd_mm.models.losses.operations import (DEFAULT_BACKGROUND_WEIGHT, DEFAULT_MASK_RATIO,
                                                DEFAULT_PATCH_GRID, DISTANCES, INTERS, INTRAS,
                                                REGIONS, TRANSFORMS, Operation, build,
                                                build_distance, check_name, check_only,
                                                check_weighted, given)
from autokd_mm.models.numbers import checked_weight
from autokd_mm.models.transforms import ForegroundBackgroundTransform, InstancesTransform
from autokd_mm.models.transforms.padding import SeesSizes, on_device, put_together
from autokd_mm.models.transforms.tensors import checked_pair, weighted
from autokd_mm.registry import MODELS


@MODELS.register_module()
class FeatureLoss(SeesSizes, nn.Module):
    """loss_weight * distance(intra(transform(student, teacher))).

    The student's feature is compared with the teacher's after, in this order: the global transform,
    the intra-spatial transform (the loss is the weighted mean over its parts; parts on which the
    distance says nothing, as a softmax over one position, are left out), and the inter-spatial
    transform, which says what the distance reads as one vector. The formulas are with the modules
    that the names stand for, the tables of ``operations.py``.

    What is padding in a batch of images of different sizes is left out, if the sizes are shown
    before the call (``show_samples``): the loss is the mean over the images of what each has on its
    own cells, those with as many rows and columns being taken together. Images on which the
    operations say nothing (a 4 x 4 grid on 3 rows) are left out of it. Under inter='sample', which
    compares images of any sizes, each goes alone through the transform and is put into zeros, so
    that the products of two images count the cells that both have. 'instances' are cut out of the
    images anyway. An operation given as a dict sees the images of one size as a batch.

    With a region the boxes of the batch must be shown too.
    'instances' come first: what is pooled from the boxes goes through all the rest like samples.
    'foreground_background' comes last: its weights go through the intra-spatial transform as the
    features do (a coarser scale has their mean), and their roots multiply both features in front
    of the distance. A batch without boxes has no instances and a loss of 0, with gradients of 0.

    Shapes: student and teacher N x C x H x W or N x D (read as N x D x 1 x 1), equal after the
    connector. Returns a scalar of at least float32. The teacher gets no gradient.

    Args:
        transform: 'none', 'spatial_attention', 'channel_attention', 'attention_mask',
            'random_mask', 'teacher_attention_mask', or the dict of a registered module
            ``forward(student, teacher) -> (student, teacher)``.
        intra: 'none', 'multi_scale', 'local', or the dict of a registered module
            ``forward(student, teacher) -> [(weight, student, teacher), ...]``.
        inter: 'none', 'sample', 'channel'. 'gram_l2' needs 'sample' or 'channel'; the relations
            between samples ('rkd_distance', 'rkd_angle', 'correlation') need 'sample'.
        distance: 'l2', 'cosine', 'pearson', 'kl', 'gram_l2', 'rkd_distance', 'rkd_angle',
            'correlation', 'local_correlation' (needs intra='local'), or the dict of a registered
            module ``forward(student, teacher) -> scalar``, which brings its own ``inter``.
        temperature: of 'kl', in units of the feature. 1 if not given.
        mask_ratio: of 'random_mask', the probability of a position to be hidden. 0.65 if not given.
        patch_grid: of 'local', patches along each side. 2 if not given.
        channels: C, which 'random_mask' needs for its generator.
        loss_weight: factor of the loss.
        region: 'all', 'foreground_background' or 'instances'.
        background_weight: of 'foreground_background', the weight of all background together where
            each box has 1. 0.5 if not given.

    Raises:
        ConfigError: an unknown name, or an argument that belongs to an operation that was not
            chosen; in ``forward``, shapes that differ or on which the distance says nothing.
        ValueError: in ``forward``, an empty batch.
    """

    def __init__(self,
                 transform: Operation = 'none',
                 intra: Operation = 'none',
                 inter: str = 'none',
                 distance: Operation = 'l2',
                 temperature: Optional[float] = None,
                 mask_ratio: Optional[float] = None,
                 patch_grid: Optional[int] = None,
                 channels: Optional[int] = None,
                 loss_weight: float = 1.0,
                 region: str = 'all',
                 background_weight: Optional[float] = None) -> None:
        super().__init__()
        for key, name, table in (('transform', transform, TRANSFORMS), ('intra', intra, INTRAS),
                                 ('inter', inter, INTERS), ('distance', distance, DISTANCES),
                                 ('region', region, REGIONS)):
            check_name(key, name, table)
        check_only(temperature, 'temperature', 'distance', 'kl', distance)
        check_only(mask_ratio, 'mask_ratio', 'transform', 'random_mask', transform)
        check_only(patch_grid, 'patch_grid', 'intra', 'local', intra)
        check_only(background_weight, 'background_weight', 'region', 'foreground_background',
                    region)
        self.loss_weight = checked_weight('FeatureLoss', loss_weight)
        if transform == 'channel_attention' and intra in ('multi_scale', 'local'):
            raise ConfigError(f"FeatureLoss.intra: {intra!r} needs a map, but "
                              f"transform='channel_attention' leaves 1 x 1; use 'none'")
        if distance == 'local_correlation' and intra != 'local':
            raise ConfigError(f"FeatureLoss.intra: distance='local_correlation' compares patches "
                              f"and needs 'local', got {intra!r}")
        if transform == 'random_mask' and channels is None:
            raise ConfigError("FeatureLoss.channels: transform='random_mask' needs the number of "
                              "channels of the teacher's feature")

        self.transform = build('transform', transform, TRANSFORMS, **given(
            transform == 'random_mask', channels=channels,
            mask_ratio=DEFAULT_MASK_RATIO if mask_ratio is None else mask_ratio))
        self.intra = build('intra', intra, INTRAS, **given(
            intra == 'local', crop=distance == 'local_correlation',
            patch_grid=DEFAULT_PATCH_GRID if patch_grid is None else patch_grid))
        self.distance, self.inter = build_distance(distance, inter, temperature), inter
        if region == 'foreground_background':
            check_weighted(transform, inter, distance)
        self.region = build('region', region, REGIONS, **given(
            region == 'foreground_background', background_weight=DEFAULT_BACKGROUND_WEIGHT
            if background_weight is None else background_weight))
        self._has_compared = False

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        student, teacher = checked_pair(student, teacher, 'FeatureLoss')
        weights = None
        if isinstance(self.region, InstancesTransform):
            whole = student
            student, teacher = self.region(student, teacher)
            if not len(student):
                return self._zero(whole)
        elif isinstance(self.region, ForegroundBackgroundTransform):
            weights = self.region.weights(student)
        try:
            loss = self._in_images(student, teacher, weights)
        except ConfigError as error:
            # Where images differ in size a batch may have none that is large enough.
            if not self._has_compared:
                raise
            warnings.warn(f'{error}: the loss of such a batch is 0', DegenerateBatchWarning,
                          stacklevel=2)
            return self._zero(student)
        self._has_compared = True
        return loss

    def _in_images(self, student: Tensor, teacher: Tensor, weights: Optional[Tensor]) -> Tensor:
        """The loss on what is no padding.

        Raises:
            ConfigError: all maps are too small.
        """
        groups = None
        if self.sizes is not None and not isinstance(self.region, InstancesTransform):
            groups = self.sizes.groups(student)
        if groups is None:
            return self._compare(*self._transformed(student, teacher), weights)
        crops = []
        for places, (rows, columns) in groups:
            part = (on_device(places, student), slice(None), slice(rows), slice(columns))
            # Weights are relative to their mean over the whole map.
            share = rows * columns / math.prod(student.shape[-2:])
            crops.append((student[part], teacher[part],
                          None if weights is None else weights[part] * share))
        if self.inter == 'sample':
            made = [self._transformed(s, t) for s, t, _ in crops]
            student, teacher = (put_together(parts, groups) for parts in zip(*made))
            return self._compare(student, teacher, None)
        return self._mean_over_images(crops)

    def _mean_over_images(self, crops: List[Tuple[Tensor, Tensor, Optional[Tensor]]]) -> Tensor:
        total, images, fault = None, 0, None
        for s, t, weights in crops:
            try:
                loss = self._compare(*self._transformed(s, t), weights) * len(s)
            except ConfigError as error:  # maps that are too small
                fault = error
                continue
            total = loss if total is None else total + loss
            images += len(s)
        if total is None:
            raise ConfigError(str(fault))
        return total / images

    def _transformed(self, student: Tensor, teacher: Tensor) -> Tuple[Tensor, Tensor]:
        return (student, teacher) if self.transform is None else self.transform(student, teacher)

    def _compare(self, student: Tensor, teacher: Tensor, weights: Optional[Tensor]) -> Tensor:
        """The loss behind the global transform."""
        if self.intra is None:
            if weights is not None:
                student, teacher = student * weights.sqrt(), teacher * weights.sqrt()
            return weighted(self.distance(student, teacher), self.loss_weight)
        parts = self.intra(student, teacher)
        if weights is not None:
            roots = [root.sqrt() for _, root, _ in self.intra(weights, weights)]
            parts = [(share, s * root, t * root) for root, (share, s, t) in zip(roots, parts)]
        if isinstance(self.distance, Distance):
            # The first part stays if none is fit: the distance then says what it lacks.
            parts = [part for part in parts
                     if self.distance.why_undefined(part[1].shape) is None] or parts[:1]
        total = sum(weight for weight, _, _ in parts)
        loss = sum(self.distance(s, t) * (weight / total) for weight, s, t in parts)
        return loss * self.loss_weight

    def _zero(self, student: Tensor) -> Tensor:
        """0 with gradients of 0, also for the generator of 'random_mask': where several processes
        train together each parameter must get one."""
        return sum((parameter.flatten()[:0].sum() for parameter in self.parameters()),
                   student[:0].sum())

    def extra_repr(self) -> str:
        return f'loss_weight={self.loss_weight}'
