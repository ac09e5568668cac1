"""HOW MMEngine runs it: the search loop, the proxy, the feature bank, the study on disk."""
from autokd_mm.engine.bank import FeatureBank
from autokd_mm.engine.runner import SearchLoop

__all__ = ['FeatureBank', 'SearchLoop']
