"""A teacher whose outputs come from a bank."""
from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple, Union

import torch
from torch import nn

from autokd_mm.bank import TeacherRecords
from autokd_mm.bank.identity import weights_digest
from autokd_mm.bank.records import where_from
from autokd_mm.errors import ConfigError, nearest

Record = Union[torch.Tensor, Tuple[torch.Tensor, ...]]
# Relative to the largest value. Numbers of half the length, TF32 and other kernels stay far below,
# other pixels, weights or normalisations far above.
_TOLERANCE = 0.02
_PROBES = 4


class BankedTeacher:
    """Reads what a teacher's modules returned instead of running it.

    Args:
        config: ``dict(path=FOLDER)`` of a bank that tools/cache_teacher.py wrote.
        distiller: the ``ConfigurableDistiller`` whose teacher recorders are fed.

    Raises:
        ConfigError: no such bank; or the distiller wants something of the teacher that is not the
            output of a module in the bank.
    """

    def __init__(self, config: Dict[str, Any], distiller: Any) -> None:
        for key in config:
            if key != 'path':
                raise ConfigError(f'model.bank: {nearest(key, ["path"])}')
        if distiller.deliveries.deliveries:
            raise ConfigError('model.bank: a distiller with deliveries needs the teacher itself; '
                              'train without a bank')
        self.records = TeacherRecords(str(config.get('path')))
        self._sources: Dict[str, str] = {}
        for name, recorder in distiller.teacher_recorders.recorders.items():
            key = f'model.distiller.teacher_recorders.{name}'
            if type(recorder).__name__ != 'ModuleOutputsRecorder':
                raise ConfigError(f'{key}: a bank holds what modules return, so the type must be '
                                  'ModuleOutputs; train without a bank')
            self.records.find(recorder.source, f'{key}.source')
            self._sources[name] = recorder.source
        self._compared = False

    def __deepcopy__(self, memo: Dict[int, Any]) -> 'BankedTeacher':
        return self  # memory maps would be copied into memory

    def read(self, data_samples: Any, like: torch.Tensor) -> Dict[str, Record]:
        """Records by recorder name, N x ..., with the dtype and on the device of ``like``.

        Raises:
            ConfigError: the batch does not come from ``SeededViews``, or from other views than
                the bank's.
        """
        samples, views = self._where(data_samples)

        def tensor(array: Any) -> torch.Tensor:
            return torch.from_numpy(array).to(like, non_blocking=True)

        found: Dict[str, Record] = {}
        for name, source in self._sources.items():
            output = self.records.read(source, samples, views)
            found[name] = (tuple(map(tensor, output)) if isinstance(output, tuple)
                           else tensor(output))
        return found

    def _where(self, data_samples: Any) -> Tuple[Sequence[int], Sequence[int]]:
        origin = where_from(data_samples)
        if origin is None:
            raise ConfigError(
                'model.bank: the images do not say which sample and view they are; let '
                'tools/train.py --teacher-bank set up the training, or wrap '
                "train_dataloader.dataset in dict(type='mmrazor.SeededViews')")
        samples, views, seed = origin
        bank = self.records
        if seed != bank.seed or max(views) >= bank.views or max(samples) >= bank.samples:
            raise ConfigError(
                f'train_dataloader.dataset: sample {max(samples)}, view {max(views)}, seed {seed} '
                f'is not in {bank.path}, which holds {bank.samples} samples, {bank.views} views, '
                f'seed {bank.seed}')
        return samples, views

    def compare_once(self, teacher: nn.Module, run: Any, inputs: torch.Tensor,
                     data_samples: List[Any], records: Dict[str, Record]) -> None:
        """Hold the first records against the teacher itself, on a few images of the batch.

        Args:
            run: ``(inputs, data_samples)`` -> records by name, of the running teacher.

        Raises:
            ConfigError: the bank is of another teacher, or of other images than these.
        """
        if self._compared:
            return
        there, here = self.records.made_from['teacher'], weights_digest(teacher.state_dict())
        if there != here:
            raise ConfigError(f'model.bank: {self.records.path} was written for another teacher '
                              f'(teacher: {there} there, {here} here)')
        teacher.to(inputs.device)
        with torch.autocast(inputs.device.type, enabled=False):
            online = run(inputs[:_PROBES], data_samples[:_PROBES])
        teacher.cpu()  # it has spoken
        for name, record in records.items():
            for kept, fresh in zip(_tensors(record), _tensors(online[name])):
                error = (kept[:_PROBES].float() - fresh.float()).abs().max()
                if not error <= _TOLERANCE * fresh.float().abs().max() + 1e-6:
                    raise ConfigError(
                        f'model.bank: what {self.records.path} holds of {self._sources[name]} '
                        'is not what the teacher says of these images (off by '
                        f'{error.item():.3g}); the pipeline, its packages or the normalisation '
                        'have changed since, write the bank again')
        self._compared = True


def _tensors(record: Any) -> Sequence[torch.Tensor]:
    return record if isinstance(record, (tuple, list)) else [record]
