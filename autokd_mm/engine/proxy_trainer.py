"""One candidate: a fresh copy of the student, a short training with the bank, a measurement."""
from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Optional

import numpy as np
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from autokd_mm.engine.bank import FeatureBank
from autokd_mm.engine.capture import capture
from autokd_mm.engine.measures import calibrated_cross_entropy, linear_cka_gap
from autokd_mm.engine.proxy_data import make_samples
from autokd_mm.engine.schedule import factor
from autokd_mm.seeding import derive, seeded
from autokd_mm.models.distillers import (Layers, RecordGuard, clear_records, disable_inplace,
                                         distiller_config, feed_teacher)
from autokd_mm.registry import MODELS
from autokd_mm.search.reward import Outcome
from autokd_mm.space import DistillerSpec


# What networks and losses raise when numbers, shapes or memory do not suffice; anything else is a
# fault of the program. Out of memory is a RuntimeError on a GPU, a MemoryError from NumPy.
_FAILURES = (RuntimeError, ValueError, ArithmeticError, AssertionError, IndexError, MemoryError)


class CandidateFailed(Exception):
    """A distiller that cannot be trained; the message is the reason in one line."""


@dataclass
class Clock:
    """Seconds inside forward, backward and optimiser, against all seconds of the runs."""
    model: float = 0.0
    total: float = 0.0
    parts: Dict[str, float] = field(default_factory=dict)


class _Candidate(nn.Module):
    """What the optimiser trains: the student, and the distiller's connectors and generators."""

    def __init__(self, student: nn.Module, distiller: nn.Module) -> None:
        super().__init__()
        self.student = student
        self.distiller = distiller
        self.guard = RecordGuard(distiller.student_recorders).watch(student)


class ProxyTrainer:
    """Trains and measures candidates, each from the same weights on the same batches.

    Args:
        student: the initialised student; never changed.
        layers: where the distiller listens.
        train: bank with ``pixels``, ``labels`` and the teacher's ``feature`` and ``logits``.
        held_out: the same for the held-out images.
        views: augmentation views in ``train``; epoch e reads view e mod ``views``.
        optim_wrapper: MMEngine config of the full training's optimiser.
        curve: learning-rate factors of the full training (see :func:`schedule.lr_curve`).
        epochs: passes over the proxy's images.
        batch_size: images per step; the incomplete last batch of an epoch is dropped.
        seed: order of the batches, initialisation of connectors, masks.
        device: where to compute.
    """

    def __init__(self, student: nn.Module, layers: Layers, train: FeatureBank,
                 held_out: FeatureBank, views: int, optim_wrapper: Dict[str, Any],
                 curve: List[float], epochs: int, batch_size: int, seed: int,
                 device: torch.device) -> None:
        self.student = student
        self.layers = layers
        self.train_bank, self.held_out_bank = train, held_out
        self.views, self.epochs, self.batch_size = views, epochs, batch_size
        self.optim_wrapper, self.curve = optim_wrapper, curve
        self.seed, self.device = seed, device
        self.images = len(train.arrays['labels']) // views
        self.samples = {bank.path: make_samples(bank.arrays['labels'], device)
                        for bank in (train, held_out)}
        feature = torch.from_numpy(np.array(held_out.arrays['feature']))
        self.teacher_feature = feature.to(device).float()
        self.clock = Clock()

    def run(self, spec: Optional[DistillerSpec]) -> Outcome:
        """Train with ``spec`` (``None``: without distillation) and measure.

        Raises:
            CandidateFailed: losses that are not finite, out of memory, shapes that do not fit.
        """
        start = time.perf_counter()
        try:
            # Not in a `seeded` block for the whole run: CUDA has generators of its own.
            with seeded(self.seed, 1):
                torch.manual_seed(derive(self.seed, 2))
                candidate = self._build(spec)
                # Connectors and generators have drawn different amounts for their weights.
                torch.manual_seed(derive(self.seed, 3))
                self._train(candidate)
            result = self._measure(candidate.student)
        except CandidateFailed:
            raise
        except _FAILURES as error:
            reason = (str(error).strip() or 'no message').splitlines()[0][:300]
            raise CandidateFailed(f'{type(error).__name__}: {reason}') from None
        seconds = time.perf_counter() - start
        self.clock.total += seconds
        return Outcome(seconds=seconds, **result)

    def _build(self, spec: Optional[DistillerSpec]) -> _Candidate:
        config = (distiller_config(spec, self.layers) if spec is not None else
                  dict(type='mmrazor.ConfigurableDistiller'))
        student = copy.deepcopy(self.student)
        disable_inplace(student)
        distiller = MODELS.build(config)
        distiller.init_weights()
        distiller.prepare_from_student(student)
        return _Candidate(student, distiller).to(self.device)

    def _batches(self) -> Iterator[np.ndarray]:
        order = np.random.default_rng(self.seed)
        for epoch in range(self.epochs):
            rows = order.permutation(self.images) + (epoch % self.views) * self.images
            for start in range(0, self.images - self.batch_size + 1, self.batch_size):
                yield rows[start:start + self.batch_size]

    def _train(self, candidate: _Candidate) -> None:
        optim = build_optim_wrapper(candidate, copy.deepcopy(self.optim_wrapper))
        base = [group['lr'] for group in optim.param_groups]
        steps = self.epochs * (self.images // self.batch_size)
        optim.initialize_count_status(candidate, 0, steps)
        candidate.train()
        for step, rows in enumerate(self._batches()):
            for group, lr in zip(optim.param_groups, base):
                group['lr'] = lr * factor(self.curve, step, steps)
            inputs = self._inputs(self.train_bank, rows, candidate.student, training=True)
            teacher = {name: self._tensor(self.train_bank, name, rows).float()
                       for name in candidate.distiller.teacher_recorders.recorders}
            samples = [self.samples[self.train_bank.path][row] for row in rows]
            before = time.perf_counter()
            with optim.optim_context(candidate):
                loss = self._loss(candidate, inputs, samples, teacher)
            # Asking a GPU for the value stops its queue, so not at every step.
            if (inputs.device.type == 'cpu' or step % 20 == 0) and not torch.isfinite(loss):
                raise CandidateFailed(f'the loss is {loss.item()} at step {step + 1} of {steps}')
            optim.update_params(loss)
            self.clock.model += time.perf_counter() - before
        if not torch.isfinite(loss):
            raise CandidateFailed(f'the loss is {loss.item()} at the last of {steps} steps')

    def _loss(self, candidate: _Candidate, inputs: torch.Tensor, samples: List[Any],
              teacher: Dict[str, torch.Tensor]) -> torch.Tensor:
        distiller = candidate.distiller
        with distiller.student_recorders:
            losses = dict(candidate.student(inputs, samples, mode='loss'))
        candidate.guard.check()
        feed_teacher(distiller, teacher)
        losses.update(distiller.compute_distill_losses())
        clear_records(distiller)
        return total_loss(losses)

    @torch.no_grad()
    def _measure(self, student: nn.Module) -> Dict[str, float]:
        student.eval()
        bank = self.held_out_bank
        total = len(bank.arrays['labels'])
        loss, features, logits = 0.0, [], []
        layers = dict(feature=self.layers.student)
        if self.layers.student_logits:
            layers['logits'] = self.layers.student_logits
        before = time.perf_counter()
        with capture(student, layers) as outputs:
            for start in range(0, total, self.batch_size):
                rows = np.arange(start, min(start + self.batch_size, total))
                inputs = self._inputs(bank, rows, student, training=False)
                samples = [self.samples[bank.path][row] for row in rows]
                loss += float(total_loss(student(inputs, samples, mode='loss'))) * len(rows)
                features.append(outputs['feature'].float())
                logits.append(outputs['logits'].float() if 'logits' in outputs else None)
        self.clock.model += time.perf_counter() - before
        result = dict(held_out_loss=loss / total, calibrated_loss=loss / total,
                      gap=linear_cka_gap(torch.cat(features), self.teacher_feature),
                      metric=float('nan'))
        if logits[0] is not None:
            labels = torch.from_numpy(np.array(bank.arrays['labels'])).to(self.device)
            scores = torch.cat(logits)
            result['calibrated_loss'] = calibrated_cross_entropy(scores, labels)
            result['metric'] = float((scores.argmax(1) == labels).float().mean())
        if not all(np.isfinite(result[name]) for name in ('held_out_loss', 'gap')):
            raise CandidateFailed(f'the student is not finite after training ({result})')
        return result

    def _tensor(self, bank: FeatureBank, name: str, rows: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(bank.rows(name, rows)).to(self.device, non_blocking=True)

    def _inputs(self, bank: FeatureBank, rows: np.ndarray, student: nn.Module,
                training: bool) -> torch.Tensor:
        """Normalised inputs. The labels need no preprocessing, and moving them one by one costs
        more than the rest of it."""
        pixels = self._tensor(bank, 'pixels', rows)
        return student.data_preprocessor(dict(inputs=pixels), training=training)['inputs']


def total_loss(losses: Dict[str, Any]) -> torch.Tensor:
    """Sum of everything with ``loss`` in its name, as MMEngine's ``parse_losses`` does it."""
    parts = []
    for name, value in losses.items():
        if 'loss' in name:
            parts.extend(item.mean() for item in (value if isinstance(value, list) else [value]))
    return sum(parts)  # type: ignore[return-value]
