"""One candidate: a fresh copy of the student, a short training with the bank, a measurement."""
from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from typing import (Any, Callable, Collection, ContextManager, Dict, Iterator, List, Optional,
                    Tuple)

import numpy as np
import torch
from torch import nn

from autokd_mm.bank import FeatureBank
from autokd_mm.measure.dense_metrics import DenseMetric
from autokd_mm.measure.losses import EVALUATION, NONE
from autokd_mm.models.algorithms.inherited import Parts
from autokd_mm.models.distillers import Layers
from autokd_mm.proxy.batches import ProxyBatches, training_rows
from autokd_mm.proxy.building import CandidateBuilder
from autokd_mm.proxy.candidate import Candidate
from autokd_mm.proxy.failures import CandidateFailed, one_line_reason
from autokd_mm.proxy.first_step import FirstStep, first_step
from autokd_mm.proxy.held_out import HeldOut
from autokd_mm.proxy.ranks import Ranks
from autokd_mm.proxy.settings import ProxySettings
from autokd_mm.proxy.stepping import Stepper, refuse_infinite
from autokd_mm.search.reward import Outcome
from autokd_mm.seeding import derive, seeded
from autokd_mm.space import Spec

Watch = Callable[[int, Outcome], None]
Keep = Callable[[Candidate], None]


@dataclass
class Clock:
    """Seconds inside forward, backward and optimiser, against all seconds of the runs."""
    model: float = 0.0
    total: float = 0.0

    @contextlib.contextmanager
    def in_model(self) -> Iterator[None]:
        before = time.perf_counter()
        yield
        self.model += time.perf_counter() - before


class ProxyTrainer:
    """Trains and measures candidates, each from the same weights on the same batches.

    Of several ranks each takes its share of every batch, and all make the same step with the mean
    of their gradients: losses that compare samples, and normalisations, see the share. Each rank
    measures all held-out images, with the mean of the running statistics.

    Args:
        fresh_student: gives the student as initialised with a seed. Called once per seed;
            candidates are copies.
        layers: where the distiller listens.
        train: bank with pixels, annotations and what the teacher says at the layers.
        held_out: the same for the held-out images.
        settings: of the proxy. The e-th pass over the images reads view e mod ``views``; its
            incomplete last batch is dropped.
        optim_wrapper: MMEngine config of the full training's optimiser.
        curve: learning-rate factors of the full training (see :func:`schedule.lr_curve`).
        device: where to compute.
        ranks: that call the same methods at the same time; by default those of this process.
        loss_mode, own_metric: of :class:`HeldOut`.
        parts, teacher: of :class:`CandidateBuilder`.

    Attributes:
        builder: of the candidates.
        clock: where the time of all runs went.
        images: so many different ones are trained on.
        samples: that a run of length 1 sees, counted as often as it sees them.
    """

    def __init__(self, fresh_student: Callable[[int], nn.Module], layers: Layers,
                 train: FeatureBank, held_out: FeatureBank, settings: ProxySettings,
                 optim_wrapper: Dict[str, Any], curve: List[float],
                 device: torch.device, ranks: Optional[Ranks] = None,
                 loss_mode: str = EVALUATION,
                 own_metric: Optional[Callable[[], DenseMetric]] = None,
                 parts: Optional[Parts] = None, teacher: Optional[nn.Module] = None) -> None:
        self.layers, self.settings = layers, settings
        self.builder = CandidateBuilder(fresh_student, layers, settings, device, parts, teacher)
        self.optim_wrapper, self.curve, self.device = optim_wrapper, curve, device
        self.train_images = ProxyBatches(train, device, settings.channels_last)
        self.images = len(self.train_images) // settings.views
        self.samples = settings.epochs * settings.steps(self.images) * settings.batch_size
        self.held_out = HeldOut(ProxyBatches(held_out, device, settings.channels_last), layers,
                                settings, loss_mode, own_metric)
        self.clock = Clock()
        self.ranks = ranks or Ranks()

    def run(self, spec: Optional[Spec], watch: Optional[Watch] = None,
            seed: Optional[int] = None, length: int = 1,
            looks: Optional[Collection[int]] = None, keep: Optional[Keep] = None) -> Outcome:
        """Train with ``spec`` (``None``: without distillation) and measure.

        Args:
            watch: called behind epochs but the last with their number (from 0) and what the
                student is worth so far; what it raises ends the run and passes. With it the
                outcome has a curve.
            seed: of initial weights, masks and batch order; by default the proxy's.
            length: the proxy's epochs times this.
            looks: finished epochs behind which ``watch`` is called; by default all.
            keep: given the trained candidate.

        Raises:
            CandidateFailed: losses that are not finite, out of memory, shapes that do not fit.
        """
        start = time.perf_counter()
        points: List[Dict[str, float]] = []

        def look(epoch: int, student: nn.Module) -> None:
            if looks is not None and epoch + 1 not in looks:
                return
            points.append(self.measure(student))
            if watch is not None:
                watch(epoch, self._outcome(points, start))

        with self.ranks.together(), one_line_reason():
            student = self.train(spec, look if watch else None, seed, length, keep)
            points.append(self.measure(student))
        result = self._outcome(points, start)
        self.clock.total += result.seconds
        return result if watch else replace(result, curve=())

    def first_step(self, spec: Spec, batches: int = 2) -> List[FirstStep]:
        """Losses and gradients of the first ``batches`` batches with the initial weights.

        Raises:
            CandidateFailed: as :meth:`run`.
        """
        seed, result = self.settings.seed, []
        initial = self.builder.initial(seed)
        with self.ranks.together(), one_line_reason(), seeded(seed, 1):
            torch.manual_seed(derive(seed, 2))
            candidate = self.builder.build(spec, initial).train()
            self.builder.masks(candidate, seed, 1)
            self._seed_noise(seed)
            for rows in next(self.batches(seed))[:batches]:
                with self.clock.in_model(), self.precision():
                    losses = candidate.losses(*self.training_batch(candidate, rows))
                    result.append(first_step(candidate.student, *losses, self.ranks.mean))
        return result

    def train(self, spec: Optional[Spec],
              look: Optional[Callable[[int, nn.Module], None]] = None,
              seed: Optional[int] = None, length: int = 1,
              keep: Optional[Keep] = None) -> nn.Module:
        """The student, trained; ``look`` sees it behind every epoch but the last, ``keep`` the
        candidate at the end."""
        seed = self.settings.seed if seed is None else seed
        initial = self.builder.initial(seed)
        # Not in a `seeded` block for the whole run: CUDA has generators of its own.
        with seeded(seed, 1):
            torch.manual_seed(derive(seed, 2))
            candidate = self.builder.build(spec, initial)
            # Connectors and generators have drawn different amounts for their weights.
            self._seed_noise(seed)
            self._train(candidate, seed, length, look)
        if keep is not None:
            keep(candidate)
        return candidate.student

    def _seed_noise(self, seed: int) -> None:
        """Of random masks and the like: other ones for the samples of other ranks."""
        torch.manual_seed(derive(seed, 3, *([self.ranks.rank] if self.ranks.rank else [])))

    def measure(self, student: nn.Module) -> Dict[str, float]:
        """Terms of the reward on the held-out images.

        Raises:
            CandidateFailed: the student is not finite.
        """
        with self.clock.in_model(), self.precision():
            self.ranks.average_buffers(student)
            result = self.held_out.measure(student)
        known = ('gap', ) if self.held_out.loss_mode == NONE else ('held_out_loss', 'gap')
        if not all(np.isfinite(result[name]) for name in known):
            raise CandidateFailed(f'the student is not finite after training ({result})')
        return result

    def _outcome(self, points: List[Dict[str, float]], start: float) -> Outcome:
        return Outcome(seconds=time.perf_counter() - start, curve=tuple(points), **points[-1])

    def batches(self, seed: int, length: int = 1) -> Iterator[List[np.ndarray]]:
        """For each epoch the rows of its batches (see :func:`training_rows`)."""
        return training_rows(self.images, self.settings, seed, length)

    def _train(self, candidate: Candidate, seed: int, length: int,
               look: Optional[Callable[[int, nn.Module], None]]) -> None:
        epochs = self.settings.epochs * length
        steps = epochs * self.settings.steps(self.images)
        stepper = Stepper(candidate, self.optim_wrapper, self.curve, steps,
                          self.builder.masks(candidate, seed, steps), self.ranks)
        for epoch, batches in enumerate(self.batches(seed, length)):
            candidate.train()
            for rows in batches:
                batch = self.training_batch(candidate, rows)
                with self.clock.in_model():
                    with stepper.context(), self.precision():
                        own, distilled = candidate.losses(*batch)
                        loss = own + distilled
                    stepper.step(loss)
            if look is not None and epoch < epochs - 1:
                look(epoch, candidate.student)
        refuse_infinite(loss, f'at the last of {steps} steps')

    def training_batch(self, candidate: Candidate,
                       rows: np.ndarray) -> Tuple[torch.Tensor, List[Any], Dict[str, torch.Tensor]]:
        """Inputs, data samples and the teacher's records of a batch's rows of the bank, of
        several ranks those of this one's share."""
        rows = self.ranks.share(rows)
        inputs, samples = self.train_images.inputs(candidate.student, rows, True)
        names = candidate.distiller.teacher_recorders.recorders
        return inputs, samples, self.train_images.of_teacher(names, rows, inputs, samples)

    def precision(self) -> ContextManager[Any]:
        """In which the student computes."""
        if self.settings.precision == 'float32':
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, getattr(torch, self.settings.precision))
