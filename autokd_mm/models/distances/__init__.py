"""How features are compared: distances that return a scalar."""
from autokd_mm.models.distances.base import Distance
from autokd_mm.models.distances.gram import GramL2Distance
from autokd_mm.models.distances.kl import KLDistance
from autokd_mm.models.distances.pointwise import CosineDistance, L2Distance, PearsonDistance
from autokd_mm.models.distances.relation import (CorrelationDistance, LocalCorrelationDistance,
                                                 RKDAngle, RKDDistance)

__all__ = [
    'CorrelationDistance', 'CosineDistance', 'Distance', 'GramL2Distance', 'KLDistance',
    'L2Distance', 'LocalCorrelationDistance', 'PearsonDistance', 'RKDAngle', 'RKDDistance'
]
