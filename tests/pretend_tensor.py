"""Tensors that say they are on 'cuda' and compute on the CPU, for pretend_device.py; waits for the
GPU that is not there are counted."""
from __future__ import annotations

import contextlib
import functools
import os
import sys
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OURS = os.path.join(ROOT, 'autokd_mm') + os.sep
_NOT_SHOWN = (os.path.dirname(torch.__file__) + os.sep,
              os.path.join(ROOT, 'tests', 'pretend_'), '<')
CUDA, META, CPU = torch.device('cuda', 0), torch.device('meta'), torch.device('cpu')

# What a GPU's queue is waited for, as its result has a size or a value that the program needs.
_WAITS = {'_local_scalar_dense': 'item', 'nonzero': 'nonzero', 'masked_select': 'masked_select',
          '_unique2': 'unique', 'unique_dim': 'unique', 'unique_consecutive': 'unique',
          'equal': 'equal', 'bincount': 'bincount', 'nms': 'nms', 'repeat_interleave': 'repeat'}
_TWO_DEVICES = ('copy_', '_to_copy', '_foreach_copy_')
# Not set_ and resize_, which are for memory that is used again, whose shape nobody asks for.
_NEW_SHAPE = ('squeeze_', 'unsqueeze_', 'transpose_', 't_', 'as_strided_', 'resize_as_')
_ALIKE = ('cat', 'stack', 'mm', 'bmm', 'convolution')  # not even a number of another device


class DeviceFault(RuntimeError):
    """What torch raises when tensors of two devices meet."""


class Wait(NamedTuple):
    """The program waits for the GPU.

    Attributes:
        kind: such as 'item' or 'nonzero'.
        line: ``file:line`` of the innermost frame outside of torch; of the project's own files
            from the project's root on.
    """
    kind: str
    line: str

    @property
    def ours(self) -> bool:
        return self.line.startswith('autokd_mm' + os.sep)


class PretendTensor(torch.Tensor):
    """On 'cuda:0', with its numbers on the CPU in ``held``."""
    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> 'PretendTensor':
        shape = torch.empty_strided(held.shape, held.stride(), dtype=held.dtype, device=META)
        made = torch.Tensor._make_subclass(cls, shape, False, device_for_backend_keys=CUDA)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _on_cuda(func, args, kwargs or {})

    @property
    def device(self) -> torch.device:
        return CUDA

    is_cuda = property(lambda self: True)
    is_cpu = is_meta = property(lambda self: False)

    def get_device(self) -> int:
        return 0

    def type(self, dtype: Any = None, **kwargs: Any) -> Any:
        return self.to(dtype) if dtype is not None else f'torch.cuda.{self.held.type()[6:]}'

    def new_tensor(self, data: Any, dtype: Any = None, device: Any = None,
                   requires_grad: bool = False) -> torch.Tensor:
        made = torch.tensor(data, dtype=dtype or self.dtype)
        made = made if device is not None and torch.device(device) == CPU else made.to(CUDA)
        return made.requires_grad_(requires_grad)

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def __deepcopy__(self, memo: Any) -> 'PretendTensor':
        if id(self) not in memo:
            if not self.is_leaf:
                raise RuntimeError('only leaves can be deep-copied')
            with torch.no_grad():
                made = self.detach().clone()
            for name, value in vars(self).items():
                if name != 'held':
                    setattr(made, name, value)
            memo[id(self)] = made.requires_grad_(self.requires_grad)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.held.detach().__reduce_ex__(protocol)  # in a checkpoint, as of the CPU

    def __getitem__(self, index: Any) -> torch.Tensor:
        return super().__getitem__(_tensors_for_lists(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(_tensors_for_lists(index), value)

    def __repr__(self, **kwargs: Any) -> str:
        return f'pretended on cuda:0: {self.held!r}'

    __format__ = object.__format__


class Pretended(TorchDispatchMode):
    """What has been waited for.

    Attributes:
        waits: in the order in which they happened.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: List[Wait] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _on_cuda(func, args, kwargs or {}, self.waits)

    @contextlib.contextmanager
    def counted(self) -> Iterator[List[Wait]]:
        """The waits of the block, in a list that is filled at its end."""
        before, found = len(self.waits), []  # type: Tuple[int, List[Wait]]
        yield found
        found.extend(self.waits[before:])


def _on_cuda(func: Any, args: Any, kwargs: Any, waits: Optional[List[Wait]] = None) -> Any:
    """Run an operation on what its tensors hold, or raise what a GPU would."""
    name, written, returned = _facts(func)
    tensors = _tensors([args, list(kwargs.values())])
    there = [tensor for tensor in tensors if isinstance(tensor, PretendTensor)]
    device = kwargs.get('device')
    on_cuda = bool(there) if device is None else device.type in ('cuda', 'meta')

    def wait(kind: str) -> None:
        if waits is not None:
            waits.append(Wait(kind, _line()))

    if there and name not in _TWO_DEVICES:
        _refuse_two_devices(name, _written(written, args, kwargs), args, tensors)
    if on_cuda and kwargs.get('generator') is not None:
        raise DeviceFault(f'{name}: a generator of the CPU for numbers on cuda:0')
    if there and name in _WAITS:
        wait(_WAITS[name])
    elif there and name.startswith(('index', '_index_put_impl', '_unsafe_index')):
        for kind in _waits_of_index(name, args):
            wait(kind)
    elif name == '_to_copy' and bool(there) != on_cuda or (
            name == 'copy_' and isinstance(args[0], PretendTensor)
            != isinstance(args[1], PretendTensor)):
        if not (kwargs.get('non_blocking') or len(args) > 2 and args[2]):
            wait('copied over')
    elif not there and not on_cuda:
        return func(*args, **kwargs)
    if device is not None:
        kwargs = dict(kwargs, device=CPU)
    if there and name in _NEW_SHAPE:
        with torch._C._DisableTorchDispatch():
            func(*args, **kwargs)  # of what C++ takes it for
    args_held, kwargs_held = _each(_held, args), {key: _each(_held, value)
                                                  for key, value in kwargs.items()}
    made = func(*args_held, **kwargs_held)
    if returned:
        found = _written(written, args, kwargs)
        return found[0] if returned == 1 else tuple(found)
    return _each(_wrapped, made) if on_cuda else made


@functools.lru_cache(maxsize=None)
def _facts(func: Any) -> Tuple[str, Sequence[Tuple[int, str]], int]:
    """Of an operation its name, place and name of the arguments that it writes to, and how many of
    these it returns."""
    schema = func._schema
    written = [(place, argument.name) for place, argument in enumerate(schema.arguments)
               if argument.alias_info is not None and argument.alias_info.is_write]
    returned = schema.returns and schema.returns[0].alias_info is not None and bool(written)
    return schema.name.split('::')[1], written, len(schema.returns) if returned else 0


def _wrapped(item: Any) -> Any:
    return PretendTensor(item) if isinstance(item, torch.Tensor) else item


def _tensors(item: Any) -> List[torch.Tensor]:
    """In lists of lists; pytree's functions take twice as long as all the rest."""
    if isinstance(item, torch.Tensor):
        return [item]
    if isinstance(item, (list, tuple)):
        return [found for part in item for found in _tensors(part)]
    return []


def _each(function: Callable[[Any], Any], item: Any) -> Any:
    """The same lists with ``function`` of what is in them."""
    if isinstance(item, (list, tuple)):
        return type(item)([_each(function, part) for part in item])
    return function(item)


def _held(item: Any) -> Any:
    return item.held if isinstance(item, PretendTensor) else item


def _written(places: Sequence[Tuple[int, str]], args: Any, kwargs: Any) -> List[torch.Tensor]:
    return _tensors([args[place] if place < len(args) else kwargs.get(name)
                     for place, name in places])


def _refuse_two_devices(name: str, written: List[torch.Tensor], args: Any,
                        tensors: List[torch.Tensor]) -> None:
    if all(isinstance(tensor, PretendTensor) for tensor in tensors):
        return
    indices = _tensors(args[1]) if name == 'index' or name.startswith(
        ('index_put', '_index_put_impl', '_unsafe_index')) else []
    if indices and not isinstance(args[0], PretendTensor):
        raise DeviceFault('indices should be either on cpu or on the same device as the indexed '
                          'tensor (cpu)')
    strangers = [tensor for tensor in tensors if not isinstance(tensor, PretendTensor)
                 and not any(tensor is index for index in indices)]
    for tensor in strangers:
        if tensor.dim() or name in _ALIKE or any(tensor is one for one in written):
            raise DeviceFault(f'{name}: expected all tensors to be on the same device, but found '
                              f'at least two devices, cuda:0 and cpu ({tuple(tensor.shape)})')


def _waits_of_index(name: str, args: Any) -> List[str]:
    if not isinstance(args[0], PretendTensor) or not isinstance(args[1], (list, tuple)):
        return []
    indices = [index for index in args[1] if isinstance(index, torch.Tensor)]
    found = ['index copied over' for index in indices if not isinstance(index, PretendTensor)]
    masks = [index for index in indices if index.dtype in (torch.bool, torch.uint8)]
    filled = 'put' in name and args[2].numel() == 1 and len(indices) == 1
    return found + ['boolean index'] * (len(masks) if not filled else 0)


def _line() -> str:
    """``file:line`` of who has asked, outside of torch."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_NOT_SHOWN):
        frame = frame.f_back
    file = frame.f_code.co_filename
    return f'{os.path.relpath(file, ROOT) if file.startswith(ROOT) else file}:{frame.f_lineno}'


def _tensors_for_lists(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(map(_tensors_for_lists, index))
    return torch.tensor(index) if isinstance(index, list) else index
