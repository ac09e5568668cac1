"""Unpickling what a file says only as far as a table of names allows.

A pickle is a program: it names functions and calls them. Whoever reads one from a file says here
which names he expects; any other is refused before it is imported.
"""
import pickle
from importlib import import_module
from typing import Any, Dict, Tuple, Type

import numpy as np

# (module, name) as the pickle has it -> what stands for it.
Table = Dict[Tuple[str, str], Any]


class RestrictedUnpickler(pickle.Unpickler):
    """Finds what is in its class's ``table``; ``super().find_class``, which imports, is not asked.

    Attributes:
        table: what may be named. Names of Python 2's ``__builtin__`` are looked up in
            ``builtins``.
        refusal: message for anything else, with a place for its ``{name}``.

    Raises:
        pickle.UnpicklingError: the file names something else.
    """

    table: Table = {}
    refusal = '{name} is not allowed'

    def find_class(self, module: str, name: str) -> Any:
        module = 'builtins' if module == '__builtin__' else module  # as protocol 2 has it
        if (module, name) not in self.table:
            raise pickle.UnpicklingError(self.refusal.format(name=f'{module}.{name}'))
        return self.table[module, name]


def unpickler(allowed: Table, refused: str) -> Type[RestrictedUnpickler]:
    """A class of its own for each caller, as ``torch.load`` wants a class."""

    class Unpickler(RestrictedUnpickler):
        table = dict(allowed)
        refusal = refused

    return Unpickler


def of_numpy(names: Dict[str, str]) -> Table:
    """Private functions of NumPy under both names of their module, that of NumPy 1 and of 2.

    Args:
        names: function -> its module below ``numpy.core``.
    """
    core = 'numpy._core' if np.lib.NumpyVersion(np.__version__) >= '2.0.0' else 'numpy.core'
    return {(f'numpy.{place}.{module}', name): getattr(import_module(f'{core}.{module}'), name)
            for name, module in names.items() for place in ('core', '_core')}
