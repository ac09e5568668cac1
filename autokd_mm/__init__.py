"""Distillers found by Monte Carlo tree search, as a plugin of MMRazor and MMEngine.

Its losses, connectors, algorithms, datasets and loops are in MMRazor's registries before anything
can be built from a config; ``custom_imports = dict(imports=['autokd_mm'])`` in a config sees to it
in programs that do not import the package. :mod:`autokd_mm.search` and :mod:`autokd_mm.space` need
NumPy and Optuna only, and import nothing else.

Raises:
    ImportError: MMEngine is imported and something that the plugin needs is missing: one line that
        says what to install. Otherwise the first use of MMRazor says so.
"""
from autokd_mm.moved import tell_new_places
from autokd_mm.registration import register_all_modules, register_in_time
from autokd_mm.version import __version__

__all__ = ['__version__', 'register_all_modules']

tell_new_places()
register_in_time()
