"""MMRazor's single-teacher distillation with a teacher that is only listened to."""
from __future__ import annotations

import contextlib
import copy
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
from mmengine.model import BaseModel
from mmrazor.models.algorithms import SingleTeacherDistill
from mmrazor.models.utils import add_prefix
from torch import nn

from autokd_mm.errors import ConfigError
from autokd_mm.models.algorithms.arguments import check_arguments
from autokd_mm.models.algorithms.banked_teacher import BankedTeacher
from autokd_mm.models.algorithms.bare_teacher import with_body
from autokd_mm.models.algorithms.held_teacher import HeldTeacher
from autokd_mm.models.algorithms.inherited import StartFromTeacher, first_of, keep_statistics
from autokd_mm.models.algorithms.seen_as_student import SeenAsStudent
from autokd_mm.models.algorithms.sync_bn import without_sync_bn
from autokd_mm.models.algorithms.teacher_input import TeacherInput, refuse_other_sizes
from autokd_mm.models.algorithms.teachers import Teachers, speaks_of_images
from autokd_mm.models.distillers import (RecordGuard, all_off, bring_to_one_grid, clear_records,
                                         disable_inplace, distill_losses, feed_teacher,
                                         hear_teacher, hook_to_teacher, lend_teacher, no_losses,
                                         recording, refuse_unknown_sources, runs_teacher,
                                         show_samples, unknown_module)
from autokd_mm.models.distillers.listening import Modes
from autokd_mm.models.heads.shared_boxes import share_boxes
from autokd_mm.registry import MODELS


def _sharing(network: Union[BaseModel, Dict[str, Any]], boxes: int) -> BaseModel:
    """A detector, built where it is a config, whose RoI head judges the teacher's boxes too."""
    return share_boxes(MODELS.build(network) if isinstance(network, dict) else network, boxes)


@MODELS.register_module()
class FrozenTeacherDistill(SeenAsStudent, HeldTeacher, SingleTeacherDistill):
    """Train ``architecture`` with the help of a frozen ``teacher`` and a plain distiller.

    What differs from :class:`mmrazor.models.SingleTeacherDistill`:

    - the teacher is in evaluation mode for good (no Dropout, DropPath or BatchNorm update);
    - its weights are in no checkpoint and in no exponential moving average, and copies of the
      model share it;
    - its checkpoint must fit: see :func:`load_teacher`;
    - it sees images normalised as *it* was trained, whatever the student's ``data_preprocessor``,
      and at its own resolution (``teacher_input``);
    - it may be several (see :class:`Teachers`);
    - it runs forward only (``mode='tensor'``) and no further than the last module that is
      recorded, computes a loss only where the distiller records what is called for that alone
      (see :func:`hear_teacher`), and does not run at all once distillation has stopped, when the
      distiller records nothing of it or when all weights are 0 (see :class:`DistillScheduleHook`);
    - ``student_trainable=False`` lets no gradient reach the student, whatever
      ``calculate_student_loss`` says;
    - hooks that look at ``runner.model`` find the student's attributes (see
      :class:`SeenAsStudent`), and ``load_from`` may be weights of the student alone;
    - without a GPU, BatchNorm takes the place of SyncBN;
    - activations of both networks write to new tensors (``inplace`` is switched off on every
      torch), records are released after every step, and a record that was overwritten in place
      nevertheless is an error.

    Args:
        distiller: config of a ``mmrazor.ConfigurableDistiller``.
        teacher: config of the teacher, or the built model; a network without a head becomes a
            :class:`BareTeacher`. A config with no ``data_preprocessor`` says nothing about how the
            teacher was trained: it then gets the student's images.
        teacher_ckpt: path of the teacher's checkpoint, of several teachers a list. With ``None`` a
            teacher given as a config is initialised by its ``init_cfg``, and a built one stays as
            it is.
        teacher_input: ``dict(size=...)``, the side or (height, width) in pixels to which the
            student's images are resized for the teacher; of several teachers one for all or a
            list. ``dict(scale=...)``, for images that differ in size, multiplies the sides of the
            batch; the maps of one teacher are then brought to the student's grid, and the layers
            that are compared must have the same stride. ``order='rgb'``: the data set gives RGB,
            as CIFAR's, and not BGR, as files are read. ``None``: as they are.
        bank: ``dict(path=FOLDER)`` of a bank of the teacher's outputs (tools/cache_teacher.py) on
            the training images, which come from ``mmrazor.SeededViews``. The teacher then stays
            on the CPU and runs once, on a few images, to be compared with the bank.
        shared_boxes: of two detectors with RoI heads, how many of the teacher's proposals in an
            image the student's head judges, too; their logits are heard at
            ``roi_head.shared_logits`` of both. ``None``: none.
        start: ``dict(part=...)``, a part of the student that begins as the teacher's: ``'head'``,
            ``'neck_head'`` or ``'classifier'``; ``init_weights`` copies it, so a training that is
            resumed goes on with its own. With ``frozen=True`` it stays the teacher's. Checkpoints
            are those of any student. ``None``: it begins as initialised.
        kwargs: ``architecture`` and the other arguments of ``SingleTeacherDistill``.

    Raises:
        ConfigError: ``teacher_trainable``; a checkpoint or a bank that does not fit; a recorder of
            what is not there; a part that does not fit.
    """

    def __init__(self,
                 distiller: Dict[str, Any],
                 teacher: Union[BaseModel, Dict[str, Any]],
                 teacher_ckpt: Union[str, Sequence[Optional[str]], None] = None,
                 teacher_input: Any = None,
                 bank: Optional[Dict[str, Any]] = None,
                 shared_boxes: Optional[int] = None,
                 start: Optional[Dict[str, Any]] = None,
                 **kwargs: Any) -> None:
        check_arguments(FrozenTeacherDistill, dict(kwargs, teacher=teacher, distiller=distiller))
        if kwargs.pop('teacher_trainable', False):
            raise ConfigError('model.teacher_trainable: FrozenTeacherDistill never trains its '
                              'teacher; use mmrazor.SingleTeacherDistill for that')
        networks = dict(teacher=without_sync_bn(with_body(teacher)),
                        architecture=without_sync_bn(kwargs.pop('architecture')))
        if shared_boxes is not None:  # what is recorded must be there before the recorders are
            networks = {key: _sharing(network, shared_boxes) for key, network in networks.items()}
        if isinstance(distiller, dict):
            refuse_unknown_sources(distiller)
        try:
            super().__init__(distiller=distiller, teacher_ckpt=None, **networks, **kwargs)
        except AssertionError as error:
            raise self._mistake(error) from None
        if not self.student_trainable:
            if not any(True for _ in self.distiller.parameters()):
                raise ConfigError('model.student_trainable=False: then only connectors learn, and '
                                  'model.distiller has none with parameters')
            self.architecture.requires_grad_(False)
        self._hold_teacher()
        disable_inplace(self.architecture)
        self._weigh_teacher(teacher, teacher_ckpt)
        lend_teacher(self.distiller, self.teacher)
        self._start = None if start is None else StartFromTeacher(
            start, self.architecture, self.teacher)
        self.to_teacher = self._way_to_teacher(speaks_of_images(teacher), teacher_input)
        self._guards = [
            RecordGuard(self.distiller.student_recorders, 'student').watch(self.student),
            RecordGuard(self.distiller.teacher_recorders, 'teacher').watch(self.teacher)]
        self._listening = True
        self._modes: Modes = ()  # in which the teacher runs, once it is known
        refuse_other_sizes(self.to_teacher, shared_boxes, bank)
        self._bank = BankedTeacher(bank, self.distiller) if bank else None
        self._made = True

    def _way_to_teacher(self, own_images: bool, config: Any) -> Optional[TeacherInput]:
        """From the batch of this model's preprocessor, which is the student's by default, to the
        teacher's; several teachers have a way each."""
        if isinstance(self.teacher, Teachers):
            self.teacher.look_through(self.data_preprocessor, config, self.student)
            return None
        own = getattr(self.teacher, 'data_preprocessor', None)
        return TeacherInput.between(self.data_preprocessor, own if own_images else None, config,
                                    (self.student, self.teacher))

    def _mistake(self, error: AssertionError) -> Exception:
        """What of the config has stopped MMRazor."""
        built = self.__dict__.get('_modules', {})
        if not {'architecture', 'distiller', 'teacher'} <= set(built):
            return error
        return unknown_module(built['distiller'], built['architecture'],
                              built['teacher']) or error

    def init_weights(self) -> None:
        """Initialise the student and the connectors; the teacher if nobody has given it weights.
        The first time the student gets the part of the teacher that it starts from."""
        super().init_weights()
        first = first_of(self.teacher)
        trained = not self._teacher_needs_init or bool(first._is_init or first.init_cfg)
        if self._teacher_needs_init:
            self.teacher.init_weights()
            self._teacher_needs_init, self.teacher_was_initialised = False, True
        if self._start is not None:
            self._start.give(self.architecture, self.teacher, trained)

    @property
    def inherited(self) -> Tuple[str, ...]:
        """Modules of the student that begin as the teacher's."""
        return () if self._start is None else self._start.modules

    def train(self, mode: bool = True) -> 'FrozenTeacherDistill':
        super().train(mode)
        if self._start is not None and self._start.frozen:
            keep_statistics(self.architecture, self._start.modules)
        return self

    def loss(self,
             batch_inputs: torch.Tensor,
             data_samples: Optional[List[Any]] = None) -> Dict[str, torch.Tensor]:
        """Losses of one batch: the student's own under ``student.*``, the distiller's under
        ``distill.*``.

        Args:
            batch_inputs: N x 3 x H x W, as the model's ``data_preprocessor`` returns them.
            data_samples: N samples with the labels.

        Raises:
            ConfigError: a record was overwritten in place; names the layer.
        """
        if not self.distiller.loss_forward_mappings:
            return self._student_losses(batch_inputs, data_samples)
        if self.distillation_stopped or all_off(self.distiller):
            losses = self._student_losses(batch_inputs, data_samples)
            # Connectors get a gradient of 0: a distributed training waits for one.
            losses.update(add_prefix(no_losses(self.distiller, batch_inputs.device), 'distill'))
            return losses
        self._listen()
        try:
            if runs_teacher(self.distiller):
                self._ask_teacher(batch_inputs, data_samples)
            self.distiller.set_deliveries_override(True)
            with recording(self.distiller, 'student'):
                losses = self._student_losses(batch_inputs, data_samples)
            self.check_records()
            self.unscale_teacher(batch_inputs)
            show_samples(self.distiller, data_samples, batch_inputs)
            losses.update(self._distill_losses(batch_inputs))
        finally:
            self.forget_records()
        return losses

    def check_records(self) -> None:
        """Raises:
            ConfigError: a record was overwritten in place; names the layer.
        """
        for guard in self._guards:
            guard.check()

    def forget_records(self) -> None:
        """Let go of what the recorders hold."""
        for guard in self._guards:
            guard.forget()
        clear_records(self.distiller)

    def _student_losses(self, batch_inputs: torch.Tensor,
                        data_samples: Optional[List[Any]]) -> Dict[str, torch.Tensor]:
        with contextlib.nullcontext() if self.student_trainable else torch.no_grad():
            losses = self.student(batch_inputs, data_samples, mode='loss')
        return add_prefix(losses, 'student') if self.calculate_student_loss else {}

    def _distill_losses(self, batch_inputs: torch.Tensor) -> Dict[str, torch.Tensor]:
        return add_prefix(distill_losses(self.distiller, batch_inputs.device), 'distill')

    def _ask_teacher(self, batch_inputs: torch.Tensor, data_samples: Optional[List[Any]]) -> None:
        """Fill the teacher's recorders."""
        if self._bank is None:
            self.run_teacher(batch_inputs, data_samples)
            return
        records = self._bank.read(data_samples, batch_inputs)

        def online(inputs: torch.Tensor, samples: List[Any]) -> Dict[str, Any]:
            self.run_teacher(inputs, samples)
            return {name: recorder.data_buffer[0] for name, recorder
                    in self.distiller.teacher_recorders.recorders.items()}

        self._bank.compare_once(self.teacher, online, batch_inputs, data_samples or [], records)
        feed_teacher(self.distiller, records)

    def run_teacher(self, batch_inputs: torch.Tensor, data_samples: Optional[List[Any]],
                    labels: bool = True) -> None:
        """Let the teacher fill its recorders with what it says of a batch.

        Args: as :meth:`loss`.
            labels: ``False``: the samples have none, so what is called for a loss is not heard.
        """
        inputs = batch_inputs if self.to_teacher is None else self.to_teacher(batch_inputs,
                                                                              data_samples)
        found = hear_teacher(self.distiller, self.teacher, inputs, data_samples,
                             self._modes if labels else (), labels)
        self._modes = found if labels else self._modes

    def unscale_teacher(self, batch_inputs: torch.Tensor) -> None:
        """Bring what the teacher said at another scale to the cells of the student's batch."""
        way = self.to_teacher
        if way is not None and way.scale is not None:
            seen, batch = ((int(images.shape[-2]), int(images.shape[-1]))
                           for images in (way.scaled(batch_inputs[:1]), batch_inputs))
            bring_to_one_grid(self.distiller, way.as_unscaled, seen, batch)

    def _listen(self) -> None:
        """Hook a copy's recorders to the shared teacher, when it first asks for a loss."""
        if not self._listening:
            hook_to_teacher(self.distiller, self.teacher)
            self._guards[1].watch(self.teacher)
            self._listening = True

    def __deepcopy__(self, memo: Dict[int, Any]) -> 'FrozenTeacherDistill':
        twin = self.__class__.__new__(self.__class__)
        memo[id(self)] = twin
        for name, value in self.__dict__.items():
            twin.__dict__[name] = copy.deepcopy(value, memo)
        # The hooks on the teacher, which is not copied, lead to the original's recorders.
        twin._listening = False
        return twin

    def _apply(self, fn: Any, *args: Any, **kwargs: Any) -> nn.Module:
        if self._bank is None:
            self.teacher._apply(fn, *args, **kwargs)
        return super()._apply(fn, *args, **kwargs)
