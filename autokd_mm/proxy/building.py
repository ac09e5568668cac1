"""Candidates, each a copy of the same student with the distiller of its own."""
from __future__ import annotations

import copy
from typing import Callable, Dict, Optional, Sequence

import torch
from torch import nn

from autokd_mm.models.algorithms.inherited import Parts, copy_part, freeze_part
from autokd_mm.models.distillers import (Layers, disable_inplace, distiller_config, for_bank,
                                         lend_teacher, loss_schedules)
from autokd_mm.proxy.candidate import Candidate
from autokd_mm.proxy.failures import CandidateFailed
from autokd_mm.proxy.settings import ProxySettings
from autokd_mm.proxy.sparse import SparseMasks
from autokd_mm.registry import MODELS
from autokd_mm.space import Spec


class CandidateBuilder:
    """Builds what is trained in one trial.

    Args:
        fresh_student: gives the student as initialised with a seed. Called once per seed;
            candidates are copies.
        layers: where the distiller listens.
        settings: of the proxy.
        device: where to compute.
        parts: of the teacher, from which students may start.
        teacher: that has them, trained by the time a candidate is built.
    """

    def __init__(self, fresh_student: Callable[[int], nn.Module], layers: Layers,
                 settings: ProxySettings, device: torch.device, parts: Optional[Parts] = None,
                 teacher: Optional[nn.Module] = None) -> None:
        self.fresh_student, self.layers = fresh_student, layers
        self.settings, self.device = settings, device
        self.parts, self.teacher = parts, teacher
        self._students: Dict[int, nn.Module] = {}

    def initial(self, seed: int) -> nn.Module:
        """The student as initialised with ``seed``, on the CPU; not to be changed.

        To be asked for before anything is seeded: the first time must be as any other.
        """
        if seed not in self._students:
            self._students[seed] = self.fresh_student(seed).cpu()
        return self._students[seed]

    def build(self, spec: Optional[Spec], student: nn.Module) -> Candidate:
        """A copy of ``student`` with the distiller ``spec``; ``None``: without distillation.

        Connectors and generators draw their weights from torch's generator.
        """
        config = (for_bank(distiller_config(spec, self.layers)) if spec is not None else
                  dict(type='mmrazor.ConfigurableDistiller'))
        student = copy.deepcopy(student)
        inherited = self._start(student, spec)
        disable_inplace(student)
        distiller = MODELS.build(config)
        distiller.init_weights()
        distiller.prepare_from_student(student)
        lend_teacher(distiller, self.teacher)
        student.to(self.device)  # its data_preprocessor hears of it only so
        schedules = loss_schedules(spec, self.layers) if spec is not None else {}
        rate = 1 if spec is None or spec.start_lr is None else spec.start_lr
        candidate = Candidate(student, distiller, schedules, inherited, rate).to(self.device)
        if self.settings.channels_last:
            candidate.student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return candidate

    def _start(self, student: nn.Module, spec: Optional[Spec]) -> Sequence[str]:
        """Give a copy of the student what ``spec`` lets it begin with; returns the modules."""
        if spec is None or spec.start is None:
            return ()
        if self.parts is None or spec.start not in self.parts.fitting or self.teacher is None:
            raise CandidateFailed(f'start={spec.start}: no such part of the teacher fits')
        modules = self.parts.fitting[spec.start].modules
        copy_part(student, self.teacher, modules)
        if spec.start_lr == 0:
            freeze_part(student, modules)
        return modules

    def masks(self, candidate: Candidate, seed: int, steps: int) -> Optional[SparseMasks]:
        """Masks on the student for a training of so many steps; ``None`` where it is dense."""
        if not self.settings.sparse:
            return None
        return SparseMasks(candidate.student, seed=seed, steps=steps, **self.settings.sparse)
