"""The layers of both networks that are compared, found by running each once."""
from __future__ import annotations

from typing import Any, Dict, Mapping, Tuple

import torch
from torch import nn

from autokd_mm.engine.capture import capture, map_shape
from autokd_mm.models.distillers import Layers
from autokd_mm.space.errors import ConfigError, nearest


def find_layers(model: nn.Module, student: nn.Module, names: Mapping[str, Any],
                pixels: torch.Tensor) -> Tuple[Layers, int]:
    """Run both networks once and read the shapes at the named layers.

    Args:
        model: the :class:`FrozenTeacherDistill` with the teacher.
        names: ``student`` and ``teacher`` (the features), ``student_logits`` and
            ``teacher_logits`` (may be missing).
        pixels: B x C x H x W, uint8.

    Returns:
        The layers, and the number of classes (0 without logits).

    Raises:
        ConfigError: no such layer, or teacher and student differ in classes.
    """
    valid = ('student', 'teacher', 'student_logits', 'teacher_logits')
    for key in names:
        if key not in valid:
            raise ConfigError(f'layers: {nearest(key, valid)}')
    shapes = {}
    for who, other in (('student', 'teacher'), ('teacher', 'student')):
        if names.get(f'{who}_logits') and not names.get(f'{other}_logits'):
            raise ConfigError(f'layers.{other}_logits is missing: logits are compared with logits')
    for who, network in (('student', student), ('teacher', model.teacher)):
        if not names.get(who):
            raise ConfigError(f'layers.{who} is missing: name the module whose output is the '
                              'feature')
        wanted = {key: names[key] for key in (who, f'{who}_logits') if names.get(key)}
        outputs = forward(network, wanted, inputs_for(model, pixels, network is model.teacher))
        shapes.update({key: map_shape(value) for key, value in outputs.items()})
    classes = shapes.get('student_logits', (0, ))[0]
    if 'teacher_logits' in shapes and 'student_logits' in shapes:
        if shapes['teacher_logits'] != shapes['student_logits']:
            raise ConfigError(
                f'model.teacher: the teacher has {shapes["teacher_logits"][0]} classes and the '
                f'student {classes}; both must have the same')
    return Layers(names['student'], names['teacher'], names.get('student_logits'),
                  names.get('teacher_logits'), shapes['student'], shapes['teacher']), classes


def inputs_for(model: nn.Module, pixels: torch.Tensor, teacher: bool) -> torch.Tensor:
    """uint8 images as a :class:`FrozenTeacherDistill` gives them to its student or teacher."""
    device = next(model.parameters()).device
    inputs = model.data_preprocessor(dict(inputs=pixels.to(device)), training=False)['inputs']
    return model.renormalise(inputs) if teacher and model.renormalise is not None else inputs


@torch.no_grad()
def forward(network: nn.Module, layers: Mapping[str, str],
            inputs: torch.Tensor) -> Dict[str, torch.Tensor]:
    """Outputs of the named layers in evaluation mode."""
    network.eval()
    with capture(network, layers) as outputs:
        network(inputs, mode='tensor')
    return {name: value.detach() for name, value in outputs.items()}
