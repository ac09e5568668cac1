"""The losses of a candidate, whose teacher is in the bank, beside those of the full training."""
import copy

import numpy as np

from autokd_mm.measure.losses import total_loss
from autokd_mm.models.distillers import distiller_config
from autokd_mm.registry import MODELS


def online(task, spec):
    model = MODELS.build(dict(
        type='mmrazor.FrozenTeacherDistill', distiller=distiller_config(spec, task.layers),
        architecture=copy.deepcopy(task.student), teacher=task.teacher)).train()
    model.to_teacher = task.model.to_teacher
    return model


def distilled(losses):
    return total_loss({name: value for name, value in losses.items()
                       if name.startswith('distill.')}).item()


def of_one_size(task, candidate, model):
    """Distillation losses of two images of one size, which the running teacher sees as the bank's
    did: of a candidate from the bank, and of the full training."""
    trainer = task.trainer
    shapes = [tuple(shape) for shape in trainer.train_images.bank.arrays['pixels'].shapes]
    rows = np.array([row for row, shape in enumerate(shapes) if shape == shapes[0]])[:2]
    if task.scope == 'mmseg':  # pads to one size; the teacher in the bank saw no padding
        for student in (candidate.student, model.student):
            student.data_preprocessor.size, student.data_preprocessor.size_divisor = None, 1
    found = candidate.losses(*trainer.training_batch(candidate, rows))[1].item()
    inputs, samples = trainer.train_images.inputs(model.student, rows, True)
    return found, distilled(model.loss(inputs, samples))
