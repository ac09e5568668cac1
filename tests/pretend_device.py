"""A GPU that is not there: tensors that say they are on 'cuda', and compute on the CPU.

``with pretend_cuda() as device:`` inside, ``tensor.to('cuda')``, ``torch.zeros(2, device='cuda')``
and modules that are moved give :class:`PretendTensor`. As on a GPU, tensors of two devices do not
meet (:class:`DeviceFault`), but for a number on the CPU (0 dimensions) and for indices; and what
makes the program wait for the GPU is counted with the line that asked for it (``device.waits``).

How: C++ takes them for tensors of 'meta' that have a GPU's dispatch keys, as torch's FakeTensor
does; autograd then needs no threads of a GPU. Python is told 'cuda:0'. Numbers are drawn from the
CPU's generator, and autocast leaves all as it is. Compiled extensions other than torchvision's
would look for numbers that are not there.
"""
from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, Iterator, Tuple
from unittest import mock

import torch
from pretend_tensor import CUDA, META, DeviceFault, Pretended, PretendTensor, Wait

__all__ = ['DeviceFault', 'PretendTensor', 'Pretended', 'Wait', 'pretend_cuda']


def _is_cuda(device: Any) -> bool:
    return device is not None and torch.device(device).type == 'cuda'


def _meta_for_cuda(args: Any, kwargs: Any) -> Tuple[Any, Any]:
    """C++ takes a :class:`PretendTensor` for one of 'meta'."""
    def other(item: Any) -> Any:
        cuda = isinstance(item, (str, torch.device)) and _is_cuda(item)
        return META if cuda else item

    return tuple(map(other, args)), {name: other(value) for name, value in kwargs.items()}


def _made_on_cpu(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """``torch.tensor`` and the like: on the CPU first, and then copied over."""
    def made(*args: Any, device: Any = None, **kwargs: Any) -> torch.Tensor:
        if not _is_cuda(device) or args and isinstance(args[0], PretendTensor):
            return make(*args, device=None if _is_cuda(device) else device, **kwargs)
        return make(*args, **kwargs).to(CUDA)
    return made


def _to(move: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """``Tensor.to``, which would ask CUDA for its current device."""
    def to(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        args, kwargs = _meta_for_cuda(args, kwargs)
        return move(tensor, *args, **kwargs)
    return to


def _always(value: Any) -> Callable[..., Any]:
    return lambda *args, **kwargs: value


def _answers() -> Dict[str, Callable[..., Any]]:
    """Of ``torch.cuda``. Each is a function of its own, as torch keeps tables of them."""
    fixed = dict(is_available=True, device_count=1, current_device=0, is_initialized=True,
                 get_device_name='a pretended GPU', is_bf16_supported=True, memory_allocated=0,
                 max_memory_allocated=0, is_current_stream_capturing=False)
    silent = ('_lazy_init', 'synchronize', 'set_device', 'empty_cache', 'manual_seed',
              'reset_peak_memory_stats', 'manual_seed_all')
    return dict({name: _always(value) for name, value in fixed.items()},
                **{name: _always(None) for name in silent},
                get_rng_state=lambda *args: torch.get_rng_state(),
                set_rng_state=lambda state, *args: torch.set_rng_state(state))


@contextlib.contextmanager
def pretend_cuda() -> Iterator[Pretended]:
    """Inside there is a GPU."""
    from autokd_mm.registration import register_all_modules
    register_all_modules()  # torch.jit compiles parts of it, and reads what is patched here
    from mmengine.device import utils
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    with contextlib.ExitStack() as stack:
        for name, answer in _answers().items():
            stack.enter_context(mock.patch.object(torch.cuda, name, answer))
        for name in ('tensor', 'as_tensor'):
            stack.enter_context(mock.patch.object(torch, name, _made_on_cpu(getattr(torch, name))))
        stack.enter_context(mock.patch.object(torch.Tensor, 'to', _to(torch.Tensor.to)))
        stack.enter_context(mock.patch.object(torch.Tensor, 'cuda', lambda self, *args, **kwargs:
                                              self.to(CUDA)))
        stack.enter_context(mock.patch.object(utils, 'DEVICE', 'cuda'))
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(1)  # the tensors are small
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwrites)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        yield stack.enter_context(Pretended())
