"""What a search is about: found out by running both networks once, before anything is written."""
from __future__ import annotations

import copy
import math
from typing import Any, Callable, Dict, List, Mapping, Sequence, Union

import torch
from mmengine.registry import DATASETS as ALL_DATASETS

from autokd_mm.engine.checks import refuse_mixing
from autokd_mm.engine.layers import find_layers
from autokd_mm.engine.proxy import ProxySettings
from autokd_mm.engine.proxy_data import choose_images, held_out_dataset_config, read_one
from autokd_mm.engine.schedule import factor, lr_curve
from autokd_mm.seeding import seeded
from autokd_mm.models.distillers import disable_inplace
from autokd_mm.registry import MODELS
from autokd_mm.space import DistillerSpace, DistillerSpec, Shapes
from autokd_mm.space.handcrafted import handcrafted


class Task:
    """The student every candidate starts from, the layers, the images, the space over them.

    Args:
        config: of the runner.
        dataloader: of the training images.
        model: the :class:`FrozenTeacherDistill`; its teacher is listened to once, the weights do
            not matter yet.
        layers: names of the layers (see :func:`find_layers`).
        proxy: how much of the training a candidate gets.
        space: option lists that replace the default ones, by level.
        warm_start: distillers that are tried first, by name or as options.
        say: told how large the space is and which options are left out.

    Attributes:
        student: initialised; candidates are copies of it.
        layers, classes: of :func:`find_layers`.
        images: sample indices of ``train`` and ``held_out``.
        space: what can be searched for these tensors.
        first: parameters of the trials that come first.

    Raises:
        ConfigError: every mistake that the config has in these.
    """

    def __init__(self, config: Any, dataloader: Any, model: Any, layers: Mapping[str, Any],
                 proxy: ProxySettings, space: Mapping[str, Any],
                 warm_start: Sequence[Union[str, Mapping[str, Any]]],
                 say: Callable[[str], None]) -> None:
        self.config, self.dataloader, self.proxy = config, dataloader, proxy
        self.layer_names = dict(layers)
        self.student = _fresh_student(config, proxy.seed)
        # The full training takes the algorithm's, which is the student's own by default.
        self.student.data_preprocessor = model.data_preprocessor
        self.student.to(next(model.parameters()).device)
        refuse_mixing(config, self.student)
        self.images = choose_images(proxy, dataloader.dataset)
        image, _ = read_one(dataloader.dataset, int(self.images['train'][0]), 0, proxy.seed)
        self.layers, self.classes = find_layers(
            model, self.student, self.layer_names,
            torch.from_numpy(image)[None].repeat(2, 1, 1, 1))
        self.space = self._space(space, say)
        self.first = [self.space.params(
            handcrafted(item, self.layers.same_shape) if isinstance(item, str)
            else DistillerSpec.from_dict(dict(item))) for item in warm_start]

    def _space(self, options: Mapping[str, Any], say: Callable[[str], None]) -> DistillerSpace:
        channels, height, width = self.layers.teacher_shape
        shapes = Shapes(self.proxy.batch_size, channels, height, width, self.classes,
                        self.layers.same_shape, self.classes > 0,
                        student_positions=math.prod(self.layers.student_shape[1:]))
        space = DistillerSpace(options, shapes, log=say)
        say(f'{space.count():,} distillers')  # the walk also says what is left out
        return space

    def datasets(self) -> Dict[str, Any]:
        """The training images behind the pipeline of training, and behind that of validation."""
        loaders = self.config.train_dataloader, self.config.val_dataloader
        held_out = held_out_dataset_config(loaders[0].dataset, loaders[1].dataset)
        return dict(train=self.dataloader.dataset, held_out=ALL_DATASETS.build(held_out))

    def curve(self, full_training: Mapping[str, Any]) -> List[float]:
        """Learning-rate factors of the full training."""
        epochs = full_training.get('max_epochs')
        batches = max(1, len(self.dataloader))
        if not epochs:
            epochs, batches = 1, int(full_training.get('max_iters', batches))
        return lr_curve(self.config.get('param_scheduler'), epochs, batches,
                        self.config.optim_wrapper.optimizer.get('lr', 1.0))

    def description(self, curve: Sequence[float]) -> Dict[str, Any]:
        """JSON values that tell this task from another one, the teacher's left to others."""
        return dict(space={level: list(options) for level, options in self.space.levels()},
                    shapes=vars(self.space.shapes), layers=self.layer_names,
                    proxy=self.proxy.to_dict(),
                    student=repr(self.config.model.architecture.to_dict()),
                    optim_wrapper=repr(self.config.optim_wrapper.to_dict()),
                    learning_rate=[round(factor(curve, i, 16), 9) for i in range(16)])


def _fresh_student(config: Any, seed: int) -> Any:
    with seeded(seed, 0):
        student = MODELS.build(copy.deepcopy(config.model.architecture))
        student.init_weights()
    disable_inplace(student)
    return student
