"""WHAT can be searched. Pure Python: no torch, no MM* package is imported here.

``distiller_space`` asks for one level after another and ``layerwise_space`` does so for several
layers; ``offers`` says what a level offers then, by the ``rules`` about ``shapes``
(``distance_rules`` for the last of them), out of ``options`` and ``schedules``; ``spec`` and
``layerwise_spec`` are the points, ``handcrafted`` the ones that the literature knows; ``walk``
visits them all.
"""
from autokd_mm.space.distiller_space import DistillerSpace
from autokd_mm.space.handcrafted import HANDCRAFTED, handcrafted
from autokd_mm.space.layerwise_space import LayerwiseSpace, Space
from autokd_mm.space.layerwise_spec import LayerwiseSpec, Spec, spec_from_dict
from autokd_mm.space.shapes import Shapes
from autokd_mm.space.spec import LEVELS, DistillerSpec
from autokd_mm.space.walk import level_of

__all__ = ['DistillerSpace', 'DistillerSpec', 'HANDCRAFTED', 'LEVELS', 'LayerwiseSpace',
           'LayerwiseSpec', 'Shapes', 'Space', 'Spec', 'handcrafted', 'level_of', 'spec_from_dict']
