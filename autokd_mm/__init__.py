"""Distillers found by Monte Carlo tree search, as a plugin of MMRazor and MMEngine.

Importing the package registers its losses, connectors, algorithms, datasets and loops in
MMRazor's registries; ``custom_imports = dict(imports=['autokd_mm'])`` in a config does the same.

Raises:
    ImportError: one line that says what to install.
"""
from autokd_mm.compat import prepare
from autokd_mm.version import __version__

prepare()

from autokd_mm import datasets, engine, models  # noqa: E402,F401

__all__ = ['__version__']
