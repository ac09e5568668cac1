"""The bank of a full training: what the teacher says of every sample in every view."""
from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from torch import nn
from torch.utils.data import DataLoader, Subset

from autokd_mm.bank import FeatureBank, Plan, TornBank, read_manifest
from autokd_mm.bank.arrays import OUTPUT_DTYPES
from autokd_mm.bank.records import KIND, keys_of, read_made_from, sources_of
from autokd_mm.datasets import SeededViews
from autokd_mm.datasets.mixing import refuse_mixing
from autokd_mm.errors import ConfigError, nearest
from autokd_mm.layers.capture import find_layer
from autokd_mm.layers.layouts import tensors_in
from autokd_mm.pairs.forms import read_forms
from autokd_mm.registry import MODELS
from autokd_mm.teacher.bank_config import recorded, refuse_unfit
from autokd_mm.teacher.checkpoint import made_from
from autokd_mm.teacher.proxy_banks import refuse_infinite

_ADVICE = 'ask for fewer --views or --dtype float16, or name another folder'
_VIEWS, _SEED, _DTYPE = 8, 0, 'float16'
Progress = Callable[[str, int, int], None]


class TeacherBank:
    """A bank that may have to be written: networks, images and layers are looked at first.

    Args:
        config: of the training.
        path: folder of the bank. What is not said below is as in a bank that is there.
        views: augmented versions of each sample; 8 by default.
        seed: of the augmentation; 0 by default.
        dtype: of the outputs on disk; float16 by default.
        layers: names of the teacher's modules; by default those that the distiller records.
        device: where the teacher computes.

    Attributes:
        plan: what the bank will hold.

    Raises:
        ConfigError: there is no teacher, its images have no bank (detection, mixing ...), or a
            module does not exist.
    """

    def __init__(self, config: Config, path: str, views: Optional[int] = None,
                 seed: Optional[int] = None, dtype: Optional[str] = None,
                 layers: Optional[Sequence[str]] = None,
                 device: Optional[torch.device] = None) -> None:
        refuse_unfit(config)
        self.path, there = path, _there(path)
        data = there['made_from']['data'] if there else {}
        views = data.get('views', _VIEWS) if views is None else views
        seed = data.get('seed', _SEED) if seed is None else seed
        dtype = dtype or (there['made_from']['dtype'] if there else _DTYPE)
        if dtype not in OUTPUT_DTYPES:
            raise ConfigError(f'--dtype: {nearest(dtype, OUTPUT_DTYPES)}')
        self._layers = list(dict.fromkeys(layers or recorded(config)))
        if there:
            self._layers = _held(path, there, self._layers)
        if not self._layers:
            raise ConfigError('model.distiller: it records nothing of the teacher; name its '
                              'modules with --layers')
        with DefaultScope.overwrite_default_scope(config.get('default_scope')):
            self._model = _build(config, device)
            self._images = SeededViews(copy.deepcopy(config.train_dataloader.dataset), views, seed)
        self._loader: Dict[str, Any] = dict(
            batch_size=int(config.train_dataloader.batch_size),
            num_workers=int(config.train_dataloader.get('num_workers', 0)))
        self.dtype = dtype
        last = len(self._images) - 1
        outputs = self._outputs(pseudo_collate([self._images[0], self._images[last]]))
        self.plan = Plan(
            dict(made_from(self._model.teacher, config), kind=KIND, dtype=dtype,
                 data=self._images.describe()),
            {name: ((last + 1, *values.shape[1:]), dtype) for name, values in outputs.items()})

    def in_words(self) -> str:
        """One line: what it will hold, and its size."""
        held = ', '.join(f'{name} {"x".join(map(str, shape[1:]))}'
                         for name, (shape, _) in self.plan.arrays.items())
        return (f'{self._images.views} views of {self._images.samples:,} samples, {held} as '
                f'{self.dtype}: {self.plan.bytes / 2**20:,.1f} MiB in {self.plan.shards} '
                f'shard{"s" * (self.plan.shards > 1)} of {self.plan.rows_per_shard:,} rows')

    def open_or_build(self, warn: Callable[[str], None], share: float = 0.0,
                      progress: Progress = lambda what, done, total: None) -> FeatureBank:
        """The bank, written or mended where needed, together with whoever else is at it; see
        :meth:`FeatureBank.open_or_build`.

        Args:
            share: where to begin, 0 to 1: rank / world size.
            progress: told what is done, rows, all rows.

        Raises:
            ConfigError: the bank there is another one, or the disk is too small.
        """
        there = 0

        def more(done: int, total: int) -> None:
            nonlocal there
            there = done

        return FeatureBank.open_or_build(
            self.path, self.plan, lambda start, stop: self._make(
                start, stop, lambda done: progress('teacher', there + done, self.plan.rows)),
            warn, key='--out', advice=_ADVICE, share=share, progress=more)

    def _make(self, start: int, stop: int,
              progress: Callable[[int], None]) -> Dict[str, np.ndarray]:
        parts: Dict[str, List[np.ndarray]] = {name: [] for name in self.plan.arrays}
        done = 0
        for batch in DataLoader(Subset(self._images, range(start, stop)),  # type: ignore[arg-type]
                                collate_fn=pseudo_collate, **self._loader):
            for name, values in self._outputs(batch).items():
                shape = self.plan.arrays[name][0]
                if values.shape[1:] != shape[1:]:
                    raise _differ_in_size(f'{tuple(values.shape[1:])} and {shape[1:]} at {name}')
                refuse_infinite(values, self.dtype, name, '--dtype float32 or bfloat16')
                parts[name].append(values)
            done += len(batch['data_samples'])
            progress(done)
        return {name: np.concatenate(values) for name, values in parts.items()}

    @torch.no_grad()
    def _outputs(self, batch: Mapping[str, Any]) -> Dict[str, np.ndarray]:
        """What the modules return for a batch as the dataloader gives it."""
        sizes = {tuple(image.shape) for image in batch['inputs']}
        if len(sizes) > 1:
            raise _differ_in_size(' and '.join(map(str, sorted(sizes)[:2])))
        model = self._model
        data = model.data_preprocessor(dict(batch), training=False)
        inputs = data['inputs'] if model.to_teacher is None else model.to_teacher(data['inputs'])
        with _listening(model.teacher, self._layers) as found:
            model.teacher(inputs, data['data_samples'], mode='tensor')
        outputs: Dict[str, np.ndarray] = {}
        for layer in self._layers:
            if len(found[layer]) != 1:
                raise ConfigError(f'--layers: {layer!r} runs {len(found[layer])} times '
                                  'for an image, it must be once; name the block around it')
            output = found[layer][0]
            tensors = tensors_in(output)
            if len(tensors) == 1 and tensors[0][2] is not None:
                output = (tensors[0][1], )  # its rows and columns are known
            several = isinstance(output, (tuple, list))
            for name, tensor in zip(keys_of(layer, len(output) if several else None),
                                    output if several else [output]):
                if not isinstance(tensor, torch.Tensor) or len(tensor) != len(inputs):
                    raise ConfigError(f'--layers: {layer!r} does not return one row for '
                                      'each image')
                outputs[name] = tensor.float().cpu().numpy()
        return outputs


def _there(path: str) -> Optional[Dict[str, Any]]:
    """The manifest of the bank at ``path``; ``None`` where it has to be written."""
    try:
        manifest = read_manifest(path)
    except TornBank:
        return None
    read_made_from(path, '--teacher-bank')
    return manifest


def _held(path: str, manifest: Mapping[str, Any], layers: Sequence[str]) -> List[str]:
    """All layers of a bank, which must be these or more."""
    held = sources_of(list(manifest['arrays']))
    for layer in layers:
        if layer not in held:
            raise ConfigError(f'--layers: {nearest(layer, list(held))} (what the bank {path} '
                              'holds); write one with all layers in another folder')
    return list(held)


def _build(config: Config, device: Optional[torch.device]) -> Any:
    """The algorithm of a config with its teacher, in evaluation mode."""
    config = copy.deepcopy(config)
    read_forms(config)
    own = config.model
    own.pop('bank', None)
    if not own.get('teacher_ckpt') and not any(
            word in repr(own.get('teacher')) for word in ('Pretrained', 'pretrained=True',
                                                          "'pretrained': True")):
        raise ConfigError('teacher_ckpt is not set: name the checkpoint of the trained teacher '
                          '(--cfg-options teacher_ckpt=FILE)')
    model = MODELS.build(own)
    refuse_mixing(config, model.student)
    if not own.get('teacher_ckpt'):
        model.teacher.init_weights()
    return model.to(device or torch.device('cpu')).eval()


def _differ_in_size(sizes: str) -> ConfigError:
    return ConfigError(f'train_dataloader.dataset.pipeline: images differ in size ({sizes}); crop '
                       'or resize them to one size')


@contextmanager
def _listening(model: nn.Module, layers: Sequence[str]) -> Iterator[Dict[str, List[Any]]]:
    """Fills the yielded dict with everything that each layer returns.

    Raises:
        ConfigError: no such layer, or its output is overwritten in place by what follows it.
    """
    found: Dict[str, List[Any]] = {layer: [] for layer in layers}
    versions: List[Any] = []

    def keep(layer: str) -> Any:

        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            found[layer].append(output)
            for tensor in output if isinstance(output, (tuple, list)) else [output]:
                if isinstance(tensor, torch.Tensor):
                    versions.append((layer, tensor, tensor._version))

        return hook

    handles = [find_layer(model, layer, '--layers').register_forward_hook(keep(layer))
               for layer in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
    for layer, tensor, version in versions:
        if tensor._version != version:
            raise ConfigError(f'--layers: the output of {layer!r} is overwritten in place by what '
                              'follows it; name the block around it')
