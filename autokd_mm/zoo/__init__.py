"""From the names of two networks to a search: what is compared, and why, is found by looking."""
from autokd_mm.zoo.names import Source, resolve
from autokd_mm.zoo.pair import Pair, make_pair

__all__ = ['Pair', 'Source', 'make_pair', 'resolve']
