"""What a search is about: found out by running both networks once, before anything is written."""
from __future__ import annotations

import copy
import os
from functools import cached_property
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from mmengine.registry import DATASETS as ALL_DATASETS

from autokd_mm.bank import FeatureBank
from autokd_mm.datasets.annotations import LABEL, refuse_panoptic
from autokd_mm.datasets.epochs import refuse_no_epoch
from autokd_mm.datasets.mixing import leave_out_mixing, mixing, says_left_out
from autokd_mm.datasets.pipelines import pipeline_of
from autokd_mm.datasets.wrappers import all_steps
from autokd_mm.errors import ConfigError
from autokd_mm.layers.find import find_layers, inputs_for
from autokd_mm.layers.padding import padded
from autokd_mm.models.algorithms.sync_bn import without_sync_bn
from autokd_mm.models.distillers import disable_inplace
from autokd_mm.models.heads import share_boxes
from autokd_mm.proxy.batches import ProxyBatches
from autokd_mm.proxy.choice import choose_images
from autokd_mm.proxy.data import held_out_dataset_config
from autokd_mm.proxy.freeze import first_stages, freeze
from autokd_mm.proxy.schedule import lr_curve
from autokd_mm.proxy.settings import ProxySettings
from autokd_mm.registry import MODELS
from autokd_mm.report.words import factors_text
from autokd_mm.seeding import seeded
from autokd_mm.space.handcrafted import first_params
from autokd_mm.task.classes import check_heads, check_same_classes, check_teachers
from autokd_mm.task.description import describe
from autokd_mm.task.factors import COMPUTED, checked_temperature, weigh
from autokd_mm.task.held_out_loss import find_loss
from autokd_mm.task.inheriting import fitting_parts, with_usable_rates
from autokd_mm.task.own_metric import own_metric
from autokd_mm.task.probe import probe, refuse_unfit
from autokd_mm.task.spaces import space_over
from autokd_mm.task.start import StartingWeights
from autokd_mm.task.teacher_entropy import remember, remembered, teacher_entropy
from autokd_mm.task.teachers import heard_apart
from autokd_mm.teacher import checkpoint as teachers


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
        metric: which value of ``val_evaluator`` is measured; ``None``: that of the task.

    Attributes:
        student: initialised; candidates are copies of it.
        kind: of the annotations, see :mod:`autokd_mm.datasets.annotations`.
        layers: of :func:`find_layers`.
        loss_mode: how the student's loss is measured, see :mod:`autokd_mm.measure.losses`.
        own_metric: makes the metric that the config asks for; ``None``: it asks for none.
        frozen: modules of the student that take no gradient.
        parts: of the teacher, from which candidates may start.
        space: what can be searched for these tensors.
        first: parameters of the trials that come first.

    Raises:
        ConfigError: every mistake that the config has in these.
    """

    def __init__(self, config: Any, dataloader: Any, model: Any, layers: Mapping[str, Any],
                 proxy: ProxySettings, space: Mapping[str, Any],
                 warm_start: Sequence[Union[str, Mapping[str, Any]]],
                 say: Callable[[str], None], metric: Optional[str] = None) -> None:
        self.config, self.dataloader, self.proxy = config, dataloader, proxy
        self.layer_names = dict(layers)
        self.model, self._say = model, say
        self.frozen: Tuple[str, ...] = ()
        self.start = StartingWeights(config, say)
        self.student = self.fresh_student(proxy.seed)
        check_heads(self.student, dataloader.dataset, 'model.architecture')
        refuse_panoptic(all_steps(dataloader.dataset))
        pixels, self.kind, samples, fullest = probe(dataloader.dataset, proxy, self.own_held_out,
                                                    say)
        self._leave_out_mixing()
        if self.kind != LABEL:
            pixels = padded(pixels, model.data_preprocessor)
        self.layers = find_layers(model, self.student, self.layer_names, pixels, samples,
                                  self.kind != LABEL, say)
        self.layers = heard_apart(self.layers, model.teacher, space)
        check_teachers(model, dataloader.dataset)
        checked_temperature(self.layer_names)
        refuse_unfit(self.layers, self.kind, proxy)
        self.loss_mode = find_loss(self.student, *fullest, self.kind, say)
        self._metric = metric
        self.own_metric = None if not metric else own_metric(
            config.get('val_evaluator'), metric, dataloader.dataset, self.kind, self.student,
            *fullest)
        if not self.has_metric:
            self._say('accuracy is not measured without layers.student_logits and teacher_logits, '
                      "and counts nothing in the reward; train_cfg.metric='accuracy/top1' takes it "
                      'from what the student predicts')
        self.frozen = first_stages(self.student, proxy.frozen,
                                   [pair.student for pair in self.layers.pairs],
                                   inputs_for(model, pixels, teacher=False))
        self.parts = fitting_parts(self.student, model.teacher, self.kind, space, say)
        space = with_usable_rates(space, config.optim_wrapper, self.parts, say,
                                  config.get('param_scheduler'))
        self.space = space_over(self.layers, self.kind, proxy.batch_size, space, say, self.parts)
        self.first = [first_params(item, self.space) for item in warm_start]

    def add_first(self, name: str) -> Optional[Dict[str, Any]]:
        """Let a hand-crafted method be among the trials that come first; its parameters, ``None``
        where the space does not offer it."""
        try:
            params = first_params(name, self.space)
        except ConfigError:
            return None
        if params not in self.first:
            self.first.append(params)
        return params

    def _leave_out_mixing(self) -> None:
        """Candidates see images as the cached teacher has seen them; the full training mixes them,
        and its teacher runs."""
        found = mixing(self.config, self.student)
        if found is not None:
            leave_out_mixing(self.model.data_preprocessor)
            self._say(says_left_out(*found))

    @property
    def device(self) -> torch.device:
        """Of the model, and where candidates are trained."""
        return next(self.model.parameters()).device

    @property
    def has_metric(self) -> bool:
        """A metric is measured on the held-out images: accuracy, box mAP or mean IoU."""
        return self.kind != LABEL or self.layers.classes > 0 or bool(self.own_metric)

    def fresh_student(self, seed: int) -> Any:
        """The student as initialised with ``seed``, with the weights of ``load_from``, on the
        model's device, with its first stages frozen where the proxy says so."""
        with seeded(seed, 0):
            student = MODELS.build(without_sync_bn(copy.deepcopy(self.config.model.architecture)))
            self.start.initialise(student)
        if self.config.model.get('shared_boxes') is not None:
            share_boxes(student, self.config.model.shared_boxes)
        disable_inplace(student)
        # The full training takes the algorithm's, which is the student's own by default. A copy:
        # who moves a student to the CPU would move the preprocessor of all.
        student.data_preprocessor = copy.deepcopy(self.model.data_preprocessor)
        return freeze(student, self.frozen).to(self.device)

    @cached_property
    def images(self) -> Dict[str, np.ndarray]:
        """Sample indices of ``train`` and ``held_out``. Where the teacher's entropy decides, the
        teacher must be trained by the time they are asked for."""
        return choose_images(self.proxy, self.dataloader.dataset, self._entropy,
                             self.own_held_out)

    @cached_property
    def own_held_out(self) -> Any:
        """The dataset of ``proxy.held_out_dataset`` behind the pipeline of validation, or
        ``None``."""
        own = self.proxy.held_out_dataset
        if own is None:
            return None
        loaders = self.config.train_dataloader, self.config.val_dataloader
        found = ALL_DATASETS.build(held_out_dataset_config(
            loaders[0].dataset, loaders[1].dataset, copy.deepcopy(own)))
        check_same_classes(self.dataloader.dataset, found, 'proxy.held_out_dataset')
        return found

    def _entropy(self, indices: np.ndarray) -> np.ndarray:
        settings = self.proxy
        work_dir = self.config.get('work_dir')
        folder = os.path.join(work_dir, 'bank') if work_dir else None
        made_from = dict(teachers.made_from(self.model.teacher, self.config),
                         logits=self.layers.logits[0].teacher, input_size=settings.input_size,
                         seed=settings.seed,
                         pipeline=repr(pipeline_of(self.config.val_dataloader.dataset)))
        found = remembered(folder, made_from, indices)
        if found is None:
            self._say(f"the teacher's entropy on {len(indices):,} images decides which are taken")
            found = teacher_entropy(self.model, self.layers.logits[0].teacher,
                                    self._plain(), indices, settings.seed,
                                    settings.batch_size, settings.input_size)
            remember(folder, made_from, indices, found)
        return found

    def weigh(self, bank: FeatureBank) -> None:
        """Compute the factors of the pairs of layers, where the config asks for it.

        Args:
            bank: of the proxy's training images.
        """
        images = ProxyBatches(bank, self.device)
        self.layers = weigh(self.layers, self.layer_names, self.student, images,
                            self.proxy.batch_size, self.proxy.seed)
        if len(self.layers.pairs) > 1:
            self._say('factors of the layers: ' + factors_text(self.layers))

    @property
    def computed_factors(self) -> str:
        """By what :meth:`weigh` computes factors; '' where they are known."""
        kind = self.layer_names.get('factors')
        return kind if kind in COMPUTED and len(self.layers.pairs) > 1 else ''

    def datasets(self) -> Dict[str, Any]:
        """The training images behind the pipeline of training, and what is held out behind that
        of validation: the same images, or those of ``proxy.held_out_dataset``."""
        own = self.own_held_out
        return dict(train=self.dataloader.dataset, held_out=self._plain() if own is None else own)

    def _plain(self) -> Any:
        """The training images behind the pipeline of validation."""
        loaders = self.config.train_dataloader, self.config.val_dataloader
        return ALL_DATASETS.build(held_out_dataset_config(loaders[0].dataset, loaders[1].dataset))

    def curve(self, full_training: Mapping[str, Any]) -> List[float]:
        """Learning-rate factors of the full training.

        Raises:
            ConfigError: its dataloader gives no epoch, or its schedule cannot be built.
        """
        epochs = full_training.get('max_epochs')
        refuse_no_epoch(self.dataloader, bool(epochs))
        batches = max(1, len(self.dataloader))
        if not epochs:
            epochs, batches = 1, int(full_training.get('max_iters', batches))
        return lr_curve(self.config.get('param_scheduler'), epochs, batches,
                        self.config.optim_wrapper.optimizer.get('lr', 1.0))

    def description(self, curve: Sequence[float]) -> Dict[str, Any]:
        """JSON values that tell this task from another one, the teacher's left to others.

        Args:
            curve: of :meth:`curve`.
        """
        return dict(describe(self.space, self.layer_names, self.proxy, self.config, curve),
                    **self.start.description(),
                    **(dict(metric=self._metric) if self._metric else {}))
