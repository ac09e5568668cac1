"""The one door to MMRazor's registries.

Importing this module makes MMRazor importable (see :mod:`autokd_mm.compat`); everything of this
package registers itself in the registries below, so ``type='mmrazor.SearchLoop'`` and the like
resolve in any OpenMMLab config.
"""
from autokd_mm.compat import prepare

prepare()

from mmrazor.registry import (DATASETS, HOOKS, LOOPS, MODELS,  # noqa: E402
                              TASK_UTILS, TRANSFORMS)

__all__ = ['DATASETS', 'HOOKS', 'LOOPS', 'MODELS', 'TASK_UTILS', 'TRANSFORMS']
