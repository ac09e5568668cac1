"""Several frozen teachers as one module."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import torch
from mmengine.model import BaseModel
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.models.algorithms.bare_teacher import with_body
from autokd_mm.models.algorithms.teacher_input import TeacherInput
from autokd_mm.registry import MODELS


@MODELS.register_module()
class Teachers(BaseModel):
    """Any number of teachers that look at the same images, each as it was trained.

    A distiller names their modules with the teacher's number in front: ``'0.backbone.layer3'``,
    ``'1.head.fc'``. With ``mean_logits`` the module ``'mean_logits'`` gives the mean of the
    teachers' logits (an ensemble's; its softmax is the normalised geometric mean of theirs).

    Args:
        teachers: their configs. One without ``data_preprocessor`` gets the student's images.
        mean_logits: name of the module that gives the logits, one for all teachers or one for
            each; ``None``: no mean.

    Raises:
        ConfigError: no teacher, or a number of names that is not that of the teachers.
    """

    def __init__(self, teachers: Sequence[Mapping[str, Any]],
                 mean_logits: Union[str, Sequence[str], None] = None) -> None:
        super().__init__()
        if not isinstance(teachers, (list, tuple)) or not teachers:
            raise ConfigError('model.teacher.teachers: must be a list of one config or more')
        self._count = len(teachers)
        self._own_images = [speaks_of_images(teacher) for teacher in teachers]
        for number, teacher in enumerate(teachers):
            self.add_module(str(number), MODELS.build(dict(with_body(teacher))))
        self._logits: List[str] = []
        if mean_logits is not None:
            self._logits = one_for_each(mean_logits, self._count, 'model.teacher.mean_logits')
            self.mean_logits = nn.Identity()
        self._inputs: List[Optional[TeacherInput]] = [None] * self._count

    def __len__(self) -> int:
        return self._count

    def networks(self) -> List[BaseModel]:
        return [self._modules[str(number)] for number in range(self._count)]

    @property
    def averaged(self) -> Tuple[str, ...]:
        """Of each teacher the module whose logits are in the mean; empty where there is none."""
        return tuple(self._logits)

    def inputs(self) -> List[Optional[TeacherInput]]:
        """What each teacher's images go through; ``None`` where it sees the student's."""
        return self._inputs

    def look_through(self, student: Any, inputs: Any,
                     network: Optional[nn.Module] = None) -> None:
        """Let each teacher see images as it was trained.

        Args:
            student: the ``data_preprocessor`` of the batches that will come.
            inputs: config of :class:`TeacherInput` for all teachers, a list with one for each, or
                ``None``.
            network: the student.
        """
        configs = one_for_each(inputs, self._count, 'model.teacher_input')
        for number, (teacher, own, config) in enumerate(zip(self.networks(), self._own_images,
                                                            configs)):
            own_images = getattr(teacher, 'data_preprocessor', None) if own else None
            view = TeacherInput.between(student, own_images, config,
                                        None if network is None else (network, teacher))
            if view is not None and view.scale is not None:
                raise ConfigError('model.teacher_input.scale: it is for one teacher; several see '
                                  'images that differ in size at the scale of the student')
            self._inputs[number] = view
            self.add_module(f'input_{number}', view)

    def forward(self, inputs: torch.Tensor, data_samples: Optional[List[Any]] = None,
                mode: str = 'tensor') -> Tuple[Any, ...]:
        """What each teacher returns for N x C x H x W images normalised for the student.

        Raises:
            ConfigError: the teachers' logits differ in shape.
        """
        heard: Dict[int, torch.Tensor] = {}
        outputs = []
        for number, (network, view) in enumerate(zip(self.networks(), self._inputs)):
            handle = self._listen(number, network, heard) if self._logits else None
            try:
                seen = inputs if view is None else view(inputs, data_samples)
                outputs.append(network(seen, data_samples, mode=mode))
            finally:
                if handle is not None:
                    handle.remove()
        if self._logits:
            shapes = [tuple(logits.shape) if isinstance(logits, torch.Tensor)
                      else type(logits).__name__ for logits in heard.values()]
            if len(heard) != self._count or len(set(shapes)) != 1 or isinstance(shapes[0], str):
                raise ConfigError('model.teacher.mean_logits: the teachers must give one tensor '
                                  f'of the same shape each, got {shapes}')
            self.mean_logits(torch.stack([heard[i] for i in range(self._count)]).mean(0))
        return tuple(outputs)

    def _listen(self, number: int, network: nn.Module, heard: Dict[int, torch.Tensor]) -> Any:
        modules = dict(network.named_modules())
        name = self._logits[number]
        if not name or name not in modules:
            raise ConfigError(f'model.teacher.mean_logits: teacher {number} '
                              f'({type(network).__name__}) has no module {name!r}')

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            heard[number] = output

        return modules[name].register_forward_hook(hook)

    def init_weights(self) -> None:
        for network in self.networks():
            if not getattr(network, '_is_init', False):
                network.init_weights()


def each_teacher(model: Any) -> List[Tuple[BaseModel, Optional[TeacherInput]]]:
    """The teachers of a :class:`FrozenTeacherDistill`, one or several, with what brings the
    student's images to each; ``None`` where it sees them as they are."""
    if isinstance(model.teacher, Teachers):
        return list(zip(model.teacher.networks(), model.teacher.inputs()))
    return [(model.teacher, model.to_teacher)]


def speaks_of_images(teacher: Any) -> bool:
    """Whether a teacher (or its config) says how its images were normalised."""
    return not isinstance(teacher, Mapping) or 'cfg_path' in teacher or (
        teacher.get('data_preprocessor') is not None)


def one_for_each(value: Any, count: int, key: str) -> List[Any]:
    """``value`` as a list with one item for each teacher.

    Raises:
        ConfigError: it is a list of another length.
    """
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ConfigError(f'{key}: there are {count} teachers, so it must be one value or {count}, '
                          f'got {len(value)}')
    return list(value)
