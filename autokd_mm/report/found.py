"""The config of a full training with a distiller of a search."""
from __future__ import annotations

from typing import Any, Dict, Optional, Sequence, Union

from mmengine.config import Config

from autokd_mm.models.algorithms.inherited import Parts
from autokd_mm.models.distillers import Layers, distiller_config, loss_schedules
from autokd_mm.report.export import best_config
from autokd_mm.report.start import set_start
from autokd_mm.report.teachers import leave_out_unheard
from autokd_mm.space import Spec


def found_config(config: Config, spec: Spec, layers: Layers, parts: Optional[Parts],
                 full_training: Dict[str, Any], teacher_ckpt: Union[str, Sequence[str], None],
                 load_from: Optional[str]) -> Config:
    """The config that trains with ``spec`` as the candidates did, at full length: its losses and
    their schedules, the start of its student, and the teachers that it hears.

    Args:
        config: of the search.
        layers: that were compared.
        parts: of the teacher; may be ``None`` where nothing of it is copied.
        full_training: the ``train_cfg`` of the full training.
        teacher_ckpt: where the teacher's weights are now.
        load_from: file whose weights the training starts from, as the candidates did.
    """
    result = best_config(config, distiller_config(spec, layers), full_training, teacher_ckpt,
                         load_from, loss_schedules(spec, layers))
    set_start(result, spec, parts)
    leave_out_unheard(result)
    return result
