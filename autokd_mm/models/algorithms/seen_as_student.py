"""A distillation that shows its student to whoever looks at it as at the network in training."""
from __future__ import annotations

from typing import Any, Dict, Tuple

from mmengine.model import BaseModel

from autokd_mm.models.algorithms.weights import PREFIX


class SeenAsStudent(BaseModel):
    """Names that the algorithm does not have itself are those of its ``architecture``.

    Hooks of mmdet, mmseg and mmpretrain are written for ``runner.model`` and look at it: YOLOX's
    sets ``model.bbox_head.use_l1``, others call ``model.set_epoch(...)`` or put a loss into
    ``model.head``. Private names are never the student's.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            student = self._student_with(name)
            if student is None:
                raise
            return getattr(student, name)

    def __setattr__(self, name: str, value: Any) -> None:
        student = None if _is_own(self, name) else self._student_with(name)
        if student is None:
            super().__setattr__(name, value)
        else:
            setattr(student, name, value)

    def _student_with(self, name: str) -> Any:
        """The student where it has ``name`` and others may see that, else ``None``."""
        student = self.__dict__.get('_modules', {}).get('architecture')
        return None if name.startswith('_') or not hasattr(student, name) else student

    def get_layer_depth(self, param_name: str) -> Tuple[int, int]:
        """Depth of a parameter and the largest one, for layer-wise decay of learning rates; what
        is not the student's counts as the head does."""
        if param_name.startswith(PREFIX):
            param_name = param_name[len(PREFIX):]
        return self.architecture.get_layer_depth(param_name)

    def _load_from_state_dict(self, state_dict: Dict[str, Any], prefix: str, *args: Any) -> None:
        """Weights of the student alone, as ``load_from`` may name them, are the student's."""
        names = list(state_dict)
        if names and not prefix and not any(name.startswith((PREFIX, 'distiller.'))
                                            for name in names):
            for name in names:
                state_dict[PREFIX + name] = state_dict.pop(name)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _is_own(model: Any, name: str) -> bool:
    """Whether the algorithm has ``name``, or is still being made."""
    kept = model.__dict__
    return (not kept.get('_made') or name in kept or hasattr(type(model), name) or any(
        name in kept.get(key, {}) for key in ('_modules', '_parameters', '_buffers')))
