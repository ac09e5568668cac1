"""What all distances share: one way to be called, one way to say that nothing can be compared."""
import warnings
from typing import Optional, Sequence, Tuple

from torch import Tensor, nn

from autokd_mm.errors import ConfigError, DegenerateBatchWarning, nearest
from autokd_mm.models.transforms.tensors import checked_pair, full_precision

_MANY = 1 << 20


class Distance(nn.Module):
    """A distance between two features of the same shape, 0 or above, a mean over all it compares.

    ``forward(student, teacher)`` takes N x C x H x W, N x D (read as N x D x 1 x 1), or stacked
    patches P x N x C x h x w (the mean over patches), and returns a scalar of at least float32.
    The teacher is a constant, no input is changed, and autocast is off inside.

    What a distance compares needs a smallest length (a softmax over one element is always 1). If
    the map or the channels are too few, a ``ConfigError`` says so; if only the batch is too small,
    as the last one of an epoch may be, there is nothing to learn from it and the loss is 0, with
    one warning.

    Args:
        inter: the inter-spatial transform, one of ``inters``: what is taken as one vector.
    """

    inters: Sequence[str] = ('none', 'sample', 'channel')

    def __init__(self, inter: Optional[str] = None) -> None:
        super().__init__()
        inter = self.inters[0] if inter is None else inter
        if inter not in self.inters:
            raise ConfigError(f'{type(self).__name__}.inter: {nearest(inter, self.inters)}')
        self.inter = inter

    @property
    def minimum(self) -> int:
        """The smallest number of things compared for which the distance says anything."""
        return 1

    def compared(self, n: int, c: int, h: int, w: int, patches: int = 1) -> Tuple[int, str]:
        """How many things one comparison is made of, and what they are."""
        if self.inter == 'none':
            return c * h * w, 'values of a sample (C H W)'
        if self.inter == 'sample':
            return n, 'samples of the batch (N)'
        return n * h * w, 'values of a channel (N H W)'

    def why_undefined(self, shape: Sequence[int]) -> Optional[str]:
        """One line if the distance says nothing about features of this shape, else None.

        Args:
            shape: of 2, 4 or 5 numbers, as ``forward`` takes.
        """
        shape = tuple(shape) + (1, 1) if len(shape) == 2 else tuple(shape)
        patches = shape[0] if len(shape) == 5 else 1
        n, c, h, w = shape[-4:]
        length, unit = self.compared(n, c, h, w, patches)
        if length >= self.minimum:
            return None
        return (f'{type(self).__name__}(inter={self.inter!r}) compares the {unit} and needs at '
                f'least {self.minimum}, got {length} in features of shape {shape}')

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return self.compare(*checked_pair(student, teacher, type(self).__name__))

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """What ``forward`` returns, for a pair that ``checked_pair`` made."""
        reason = self.why_undefined(student.shape)
        if reason is not None:
            of_any_batch = student.shape[:-4] + (_MANY, ) + student.shape[-3:]
            if self.why_undefined(of_any_batch) is not None:
                raise ConfigError(reason)
            warnings.warn(f'{reason}: the loss of such a batch is 0',
                          DegenerateBatchWarning, stacklevel=2)
            return student.flatten()[:0].sum()  # 0, whatever the student says
        with full_precision(student):
            return self.measure(student, teacher)

    def measure(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The distance of two maps (4-D) or of stacked patches (5-D)."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f'inter={self.inter!r}' if len(self.inters) > 1 else ''
