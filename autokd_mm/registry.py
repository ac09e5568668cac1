"""The one door to MMRazor's registries.

Importing this module makes MMRazor importable (see :mod:`autokd_mm.compat`); everything of this
package registers itself in the registries below, so ``type='mmrazor.SearchLoop'`` and the like
resolve in any OpenMMLab config.
"""
from autokd_mm.compat import prepare

prepare()

from mmrazor.registry import (DATA_SAMPLERS, DATASETS, HOOKS, LOOPS,  # noqa: E402
                              MODELS, OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS,
                              TASK_UTILS, TRANSFORMS)

__all__ = ['DATASETS', 'DATA_SAMPLERS', 'HOOKS', 'LOOPS', 'MODELS', 'OPTIM_WRAPPERS',
           'OPTIM_WRAPPER_CONSTRUCTORS', 'TASK_UTILS', 'TRANSFORMS']
