"""WHAT can be searched. Pure Python: no torch, no MM* package is imported here."""
from autokd_mm.space.distiller_space import DistillerSpace
from autokd_mm.space.layerwise_space import LayerwiseSpace, Space
from autokd_mm.space.layerwise_spec import LayerwiseSpec, Spec, spec_from_dict
from autokd_mm.space.rules import Shapes
from autokd_mm.space.spec import LEVELS, DistillerSpec

__all__ = ['DistillerSpace', 'DistillerSpec', 'LEVELS', 'LayerwiseSpace', 'LayerwiseSpec', 'Shapes',
           'Space', 'Spec', 'spec_from_dict']
