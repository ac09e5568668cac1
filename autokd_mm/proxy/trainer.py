"""One candidate: a fresh copy of the student, a short training with the bank, a measurement."""
from __future__ import annotations

import contextlib
import copy
import logging
import time
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Any, Callable, Collection, Dict, Iterator, List, Optional, Tuple

import numpy as np
import torch
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from torch import nn

from autokd_mm.bank import FeatureBank
from autokd_mm.models.distillers import Layers, disable_inplace, distiller_config, for_bank
from autokd_mm.proxy.batches import ProxyBatches
from autokd_mm.proxy.candidate import Candidate
from autokd_mm.proxy.failures import CandidateFailed, one_line_reason
from autokd_mm.proxy.first_step import FirstStep, first_step
from autokd_mm.proxy.held_out import HeldOut
from autokd_mm.proxy.ranks import Ranks
from autokd_mm.proxy.schedule import factor
from autokd_mm.proxy.settings import ProxySettings
from autokd_mm.proxy.sparse import SparseMasks
from autokd_mm.registry import MODELS
from autokd_mm.search.reward import Outcome
from autokd_mm.seeding import derive, seeded
from autokd_mm.space import Spec

Watch = Callable[[int, Outcome], None]


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
    """

    def __init__(self, fresh_student: Callable[[int], nn.Module], layers: Layers,
                 train: FeatureBank, held_out: FeatureBank, settings: ProxySettings,
                 optim_wrapper: Dict[str, Any], curve: List[float],
                 device: torch.device, ranks: Optional[Ranks] = None) -> None:
        self.fresh_student, self._students = fresh_student, {}  # type: ignore[var-annotated]
        self.layers = layers
        self.settings = settings
        self.optim_wrapper, self.curve, self.device = optim_wrapper, curve, device
        self.train_images = ProxyBatches(train, device, settings.channels_last)
        self.images = len(self.train_images) // settings.views
        self.held_out = HeldOut(ProxyBatches(held_out, device, settings.channels_last), layers,
                                settings)
        self.clock = Clock()
        self.ranks = ranks or Ranks()

    def run(self, spec: Optional[Spec], watch: Optional[Watch] = None,
            seed: Optional[int] = None, length: int = 1,
            looks: Optional[Collection[int]] = None) -> Outcome:
        """Train with ``spec`` (``None``: without distillation) and measure.

        Args:
            watch: called behind epochs but the last with their number (from 0) and what the
                student is worth so far; what it raises ends the run and passes. With it the
                outcome has a curve.
            seed: of initial weights, masks and batch order; by default the proxy's.
            length: the proxy's epochs times this.
            looks: finished epochs behind which ``watch`` is called; by default all.

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
            student = self.train(spec, look if watch else None, seed, length)
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
        initial = self._initial(seed)
        with self.ranks.together(), one_line_reason(), seeded(seed, 1):
            torch.manual_seed(derive(seed, 2))
            candidate = self._build(spec, initial).train()
            self._masks(candidate, seed, 1)
            self._seed_noise(seed)
            for rows in next(self.batches(seed))[:batches]:
                with self.clock.in_model(), self._precision():
                    losses = candidate.losses(*self.training_batch(candidate, rows))
                    result.append(first_step(candidate.student, *losses, self.ranks.mean))
        return result

    def train(self, spec: Optional[Spec],
              look: Optional[Callable[[int, nn.Module], None]] = None,
              seed: Optional[int] = None, length: int = 1) -> nn.Module:
        """The student, trained; ``look`` sees it behind every epoch but the last."""
        seed = self.settings.seed if seed is None else seed
        initial = self._initial(seed)
        # Not in a `seeded` block for the whole run: CUDA has generators of its own.
        with seeded(seed, 1):
            torch.manual_seed(derive(seed, 2))
            candidate = self._build(spec, initial)
            # Connectors and generators have drawn different amounts for their weights.
            self._seed_noise(seed)
            self._train(candidate, seed, length, look)
        return candidate.student

    def _seed_noise(self, seed: int) -> None:
        """Of random masks and the like: other ones for the samples of other ranks."""
        torch.manual_seed(derive(seed, 3, *([self.ranks.rank] if self.ranks.rank else [])))

    def measure(self, student: nn.Module) -> Dict[str, float]:
        """Terms of the reward on the held-out images.

        Raises:
            CandidateFailed: the student is not finite.
        """
        with self.clock.in_model(), self._precision():
            self.ranks.average_buffers(student)
            result = self.held_out.measure(student)
        if not all(np.isfinite(result[name]) for name in ('held_out_loss', 'gap')):
            raise CandidateFailed(f'the student is not finite after training ({result})')
        return result

    def _outcome(self, points: List[Dict[str, float]], start: float) -> Outcome:
        return Outcome(seconds=time.perf_counter() - start, curve=tuple(points), **points[-1])

    def _initial(self, seed: int) -> nn.Module:
        """Drawn before anything is seeded here: the first time must be as any other."""
        if seed not in self._students:
            self._students[seed] = self.fresh_student(seed).cpu()
        return self._students[seed]

    def _build(self, spec: Optional[Spec], student: nn.Module) -> Candidate:
        config = (for_bank(distiller_config(spec, self.layers)) if spec is not None else
                  dict(type='mmrazor.ConfigurableDistiller'))
        student = copy.deepcopy(student)
        disable_inplace(student)
        distiller = MODELS.build(config)
        distiller.init_weights()
        distiller.prepare_from_student(student)
        student.to(self.device)  # its data_preprocessor hears of it only so
        candidate = Candidate(student, distiller).to(self.device)
        if self.settings.channels_last:
            candidate.student.to(memory_format=torch.channels_last)
        return candidate

    def batches(self, seed: int, length: int = 1) -> Iterator[List[np.ndarray]]:
        """For each epoch the rows of its batches."""
        order, size = np.random.default_rng(seed), self.settings.batch_size

        def forever() -> Iterator[np.ndarray]:
            for number in count():
                rows = order.permutation(self.images) + number % self.settings.views * self.images
                for start in range(0, self.images - size + 1, size):
                    yield rows[start:start + size]

        stream, steps = forever(), self.settings.steps(self.images)
        for _ in range(self.settings.epochs * length):
            yield list(islice(stream, steps))

    def _train(self, candidate: Candidate, seed: int, length: int,
               look: Optional[Callable[[int, nn.Module], None]]) -> None:
        epochs = self.settings.epochs * length
        with quiet():
            optim = build_optim_wrapper(candidate, copy.deepcopy(self.optim_wrapper))
        optim.step = self._averaged(optim.step, candidate)
        base = [group['lr'] for group in optim.param_groups]
        steps, step = epochs * self.settings.steps(self.images), 0
        optim.initialize_count_status(candidate, 0, steps)
        masks = self._masks(candidate, seed, steps)
        for epoch, batches in enumerate(self.batches(seed, length)):
            candidate.train()
            for rows in batches:
                for group, lr in zip(optim.param_groups, base):
                    group['lr'] = lr * factor(self.curve, step, steps)
                inputs, samples, teacher = self.training_batch(candidate, rows)
                with self.clock.in_model():
                    with optim.optim_context(candidate), self._precision():
                        loss = sum(candidate.losses(inputs, samples, teacher))
                    # Asking a GPU for the value stops its queue, so not at every step.
                    if (self.device.type == 'cpu' or step % 20 == 0) and not torch.isfinite(loss):
                        raise CandidateFailed(
                            f'the loss is {loss.item()} at step {step + 1} of {steps}')
                    optim.update_params(loss)
                    if masks is not None:
                        masks.after_step(step, optim)
                step += 1
            if look is not None and epoch < epochs - 1:
                look(epoch, candidate.student)
        if not torch.isfinite(loss):
            raise CandidateFailed(f'the loss is {loss.item()} at the last of {steps} steps')

    def _averaged(self, step: Callable[..., None], candidate: Candidate) -> Callable[..., None]:
        """An optimiser's step with the gradients of all ranks, before they are clipped."""
        parameters = [p for p in candidate.parameters() if p.requires_grad]

        def averaged(**kwargs: Any) -> None:
            self.ranks.average_gradients(parameters)
            step(**kwargs)

        return averaged

    def _masks(self, candidate: Candidate, seed: int, steps: int) -> Optional[SparseMasks]:
        if not self.settings.sparse:
            return None
        return SparseMasks(candidate.student, seed=seed, steps=steps, **self.settings.sparse)

    def training_batch(self, candidate: Candidate,
                       rows: np.ndarray) -> Tuple[torch.Tensor, List[Any], Dict[str, torch.Tensor]]:
        """Inputs, data samples and the teacher's records of a batch's rows of the bank, of
        several ranks those of this one's share."""
        rows = self.ranks.share(rows)
        inputs, samples = self.train_images.inputs(candidate.student, rows, True)
        names = candidate.distiller.teacher_recorders.recorders
        return inputs, samples, self.train_images.of_teacher(names, rows, inputs, samples)

    def _precision(self) -> Any:
        if self.settings.precision == 'float32':
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, getattr(torch, self.settings.precision))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Only warnings: MMEngine writes a line for each parameter with options of its own, and there
    is a new optimiser for each candidate."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
