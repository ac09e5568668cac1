"""What a dense head says on all levels of its pyramid, as one tensor for each of its outputs.

A loss is given the maps as keyword arguments: ``student_classes_0``, ``student_classes_1`` ... and
likewise ``teacher_classes_0``; beside ``classes`` there are ``boxes`` and ``quality`` (centerness
or objectness). A map of A anchors is N x (A D) x H x W, the D numbers of an anchor beside one
another. Levels are joined before anything is computed, so that a loss has as many kernels for five
levels as for one; what does not count has weight 0 and is not picked out, because a GPU has to be
waited for to know how many are picked.
"""
from __future__ import annotations

from inspect import Parameter, Signature
from typing import Any, Callable, List, Mapping, Optional, Sequence, Tuple, TypeVar

import torch
from torch import Tensor

from autokd_mm.errors import ConfigError
from autokd_mm.models.transforms.padding import BatchSizes

Size = Tuple[int, int]
Forward = TypeVar('Forward', bound=Callable[..., Tensor])
CLASSES, BOXES, QUALITY = 'classes', 'boxes', 'quality'
# No pyramid of mmdet's has more than seven levels.
MOST_LEVELS = 16


def hears_levels(forward: Forward) -> Forward:
    """Let a ``forward(self, **maps)`` say by name which maps it takes: MMRazor's distiller looks
    into the signature of a loss before it gives it anything."""
    names = [f'{who}_{what}_{level}' for who in ('student', 'teacher')
             for what in (CLASSES, BOXES, QUALITY) for level in range(MOST_LEVELS)]
    forward.__signature__ = Signature([  # type: ignore[attr-defined]
        Parameter('self', Parameter.POSITIONAL_OR_KEYWORD),
        *(Parameter(name, Parameter.KEYWORD_ONLY, annotation=Tensor) for name in names)])
    return forward


def level_maps(maps: Mapping[str, Tensor], who: str, what: str, loss: str) -> List[Tensor]:
    """The maps of ``'student'`` or ``'teacher'`` by level, of at least float32, the teacher's
    without a gradient.

    Args:
        what: ``'classes'``, ``'boxes'`` or ``'quality'``.
        loss: name for the message.

    Raises:
        ConfigError: there is none, or the other network's have other shapes.
    """
    other = 'teacher' if who == 'student' else 'student'
    found: List[Tensor] = []
    while f'{who}_{what}_{len(found)}' in maps:
        tensor = maps[f'{who}_{what}_{len(found)}']
        partner = maps.get(f'{other}_{what}_{len(found)}')
        if tensor.dim() != 4 or (partner is not None and partner.shape != tensor.shape):
            told = '' if partner is None else f', the {other}\'s {tuple(partner.shape)}'
            raise ConfigError(f'{loss}: {what} of level {len(found)}: the {who}\'s map has shape '
                              f'{tuple(tensor.shape)}{told}; both must be N x C x H x W and equal')
        if tensor.dtype in (torch.float16, torch.bfloat16):
            tensor = tensor.float()
        found.append(tensor if who == 'student' else tensor.detach())
    if not found:
        raise ConfigError(f'{loss}: it needs {who}_{what}_0, the {what} of the {who}\'s first '
                          'level')
    return found


def joined(levels: Sequence[Tensor], numbers: int, what: str, loss: str) -> Tensor:
    """N x (A D) x H x W by level -> N x A x D x P, P positions of all levels.

    Args:
        numbers: D, of an anchor.

    Raises:
        ConfigError: the channels are no multiple of ``numbers``.
    """
    channels = levels[0].shape[1]
    if channels % numbers:
        raise ConfigError(f'{loss}: {what} have {channels} channels, which are no multiple of the '
                          f'{numbers} of an anchor')
    flat = [level.flatten(2) for level in levels]
    whole = flat[0] if len(flat) == 1 else torch.cat(flat, 2)
    return whole.view(len(whole), channels // numbers, numbers, -1)


def in_images(sizes: Optional[BatchSizes], levels: Sequence[Tensor]) -> Optional[Tensor]:
    """1 at the positions of images and 0 in the padding of their batch, N x 1 x P; ``None`` where
    nothing is padding."""
    if sizes is None:
        return None
    shapes = [(int(level.shape[-2]), int(level.shape[-1])) for level in levels]
    cells = [sizes.cells(shape) for shape in shapes]
    if all(cell == shape for level, shape in zip(cells, shapes) for cell in level):
        return None
    # One copy to the device for all levels and images: N x levels x 2.
    limits = torch.tensor(cells).transpose(0, 1).to(levels[0].device, non_blocking=True)
    parts = []
    for level, (rows, columns) in enumerate(shapes):
        limit = limits[:, level, :, None]
        row = torch.arange(rows, device=limits.device) < limit[:, 0]
        column = torch.arange(columns, device=limits.device) < limit[:, 1]
        parts.append((row[:, :, None] & column[:, None]).flatten(1))
    return torch.cat(parts, 1)[:, None].to(levels[0].dtype)


def confidence(classes: Tensor, exclusive: bool, objectness: Optional[Tensor]) -> Tensor:
    """How sure a head is that an anchor has an object, N x A x P.

    The probability of the likeliest class; of exclusive classes the last is the background. Times
    the objectness where the head has one.

    Args:
        classes: logits, N x A x K x P.
        objectness: logits, N x A x 1 x P, or ``None``.
    """
    found = probabilities(classes, exclusive)
    found = (found[:, :, :-1] if exclusive else found).amax(2)
    return found if objectness is None else found * objectness[:, :, 0].sigmoid()


def probabilities(classes: Tensor, exclusive: bool) -> Tensor:
    """Of the classes, of N x A x K x P logits."""
    return classes.softmax(2) if exclusive else classes.sigmoid()


class _Settled(torch.autograd.Function):
    """A loss whose gradient is known."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> Tuple[Tensor, None, None]:
        return ctx.saved_tensors[0] * above[0], None, None


def settled(loss_of: Callable[[Tensor], Tensor], student: Tensor) -> Tensor:
    """``loss_of(student)``, a scalar, with its gradient computed at once.

    Class maps of many anchors are larger than the features. Of half a dozen tensors of their size,
    which the backward pass would need, the gradient alone is kept until then.
    """
    if not (torch.is_grad_enabled() and student.requires_grad):
        return loss_of(student)
    own = student.detach().requires_grad_()
    loss = loss_of(own)
    gradient, = torch.autograd.grad(loss, own)
    return _Settled.apply(student, loss.detach(), gradient)


def over(total: Tensor, weights: Tensor) -> Tensor:
    """A sum over the sum of weights, which counts as at least 1: an image without an object has no
    large loss."""
    return total / weights.sum().clamp(min=1)
