"""What every operation shares: torchvision's kernels, numbers in which it counts, and how an output
is written."""
import functools
from typing import Any, Callable, List, Sequence, TypeVar

import torch
import torchvision  # noqa: F401  (its import names its kernels to torch)
from torch import Tensor

kernels = torch.ops.torchvision

Function = TypeVar('Function', bound=Callable[..., Any])
_HALVES = (torch.float16, torch.bfloat16)


def operation(function: Function) -> Function:
    """No gradient is recorded, and autocast changes no type: mmcv's autograd functions see to both,
    and call us with autocast still on."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        first = args[0] if args else next(iter(kwargs.values()))
        with torch.no_grad(), torch.autocast(first.device.type, enabled=False):
            return function(*args, **kwargs)

    return call  # type: ignore[return-value]


def counted_in(*tensors: Tensor) -> List[Tensor]:
    """The tensors in the widest of their types, at least single precision.

    Half precision is for storing: torchvision's kernels lack it on a CPU, and coordinates on a
    feature map of some hundred pixels lose their fraction in it.
    """
    wide = functools.reduce(torch.promote_types, (tensor.dtype for tensor in tensors))
    wide = torch.float32 if wide in _HALVES else wide
    return [tensor.to(wide) for tensor in tensors]


def fill(outputs: Sequence[Tensor], compute: Callable[[], Sequence[Tensor]]) -> None:
    """Make what ``compute`` returns the content of ``outputs``, tensors of the same shapes.

    Where it can be, the memory of an output is given back before and its place taken by the result,
    so that there is one tensor of that size and no copy.
    """
    alone = [output._base is None and output.is_contiguous() for output in outputs]
    for output, own in zip(outputs, alone):
        if own:
            output.set_()  # type: ignore[call-overload]
    for output, own, result in zip(outputs, alone, compute()):
        if own:
            output.set_(result.to(output.dtype).contiguous())  # type: ignore[call-overload]
        else:
            output.copy_(result)
