"""Early rejection: what two batches say about a distiller before any training."""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Optional, Sequence, Tuple

from autokd_mm.errors import ConfigError
from autokd_mm.space.checks import read_settings, whole_number


@dataclass(frozen=True)
class Rejection:
    """Refuses distillers from which no student can learn, at the price of two batches.

    Attributes:
        gradient_ratio: least and largest norm of the student's gradient from the weighted distill
            losses, as a multiple of the norm from the task loss. Below it the distiller does
            nothing, above it the task is not learnt.
        free: this many rejections cost none of the search's trials; each further one counts as a
            trial, so that a space that is all bad still comes to an end. None: as many as trials.
    """
    gradient_ratio: Tuple[float, float] = (1e-3, 1e3)
    free: Optional[int] = None

    @classmethod
    def from_config(cls, config: Any) -> Optional['Rejection']:
        """From ``train_cfg.rejection``; ``None`` where it is switched off.

        Raises:
            ConfigError: unknown key, or a value out of range.
        """
        values = read_settings('rejection', config, cls)
        if values is None:
            return None
        bounds = values.get('gradient_ratio', cls.gradient_ratio)
        if (not isinstance(bounds, (list, tuple)) or len(bounds) != 2
                or any(isinstance(bound, bool) or not isinstance(bound, (int, float))
                       for bound in bounds) or not 0 <= bounds[0] < bounds[1]):
            raise ConfigError(f'rejection.gradient_ratio={bounds!r}: must be the least and the '
                              f'largest ratio, such as {cls.gradient_ratio}')
        if values.get('free') is not None:
            whole_number('rejection.free', values['free'], 0)
        return cls(**dict(values, gradient_ratio=(float(bounds[0]), float(bounds[1]))))

    def reason(self, steps: Sequence[Any]) -> Optional[str]:
        """Why a distiller is rejected, in one line; ``None`` where nothing speaks against it.

        Args:
            steps: one for each batch, with ``task_loss``, ``distill_loss``,
                ``task_gradient_norm``, ``distill_gradient_norm`` and ``depends_on_student``.
                A single batch may be unlucky (an empty mask, say): what is zero must be zero in
                all of them, and the ratio is that of the sums.
        """
        for step in steps:
            if not math.isfinite(step.distill_loss):
                return f'the distill loss is {step.distill_loss} before training'
            if not math.isfinite(step.task_loss):
                return f'the task loss is {step.task_loss} before training'
        if not any(step.depends_on_student for step in steps):
            return 'the distill loss does not depend on the student'
        distill, task = (math.fsum(getattr(step, f'{name}_gradient_norm') for step in steps)
                         for name in ('distill', 'task'))
        if not math.isfinite(distill):
            return f'the gradient of the distill loss is {distill} before training'
        if distill == 0:
            return 'no gradient of the distill loss reaches the student'
        least, largest = self.gradient_ratio
        ratio = distill / task if task else math.inf
        if not least <= ratio <= largest:
            return (f"the gradient of the distill loss is {ratio:.3g} times the task loss's, "
                    f'outside {least:g} to {largest:g}')
        return None
