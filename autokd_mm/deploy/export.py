"""An ONNX file of a network, looked at before it is kept."""
from __future__ import annotations

import importlib.util
import inspect
import json
import warnings
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmengine.config import Config
from mmengine.model import BaseModel

from autokd_mm.deploy.images import Images, Size, images_of
from autokd_mm.deploy.outputs import Raw, refuse
from autokd_mm.errors import ConfigError, UserError
from autokd_mm.version import __version__
from autokd_mm.whole_file import replacing

OPSET = 17  # the newest that the exporter of torch 2.1 knows
INPUT = 'images'
# Of the difference between onnxruntime and torch, for outputs of up to 1; larger ones, such as
# distances in pixels, are rounded in proportion.
TOLERANCE = 1e-4
_INSTALL = "pip install 'autokd_mm[onnx]'"


class Difference(NamedTuple):
    """Between two tensors: the largest absolute one, and the largest absolute value."""
    absolute: float
    largest: float

    @property
    def fits(self) -> bool:
        return self.absolute <= TOLERANCE * max(1., self.largest)


def export_onnx(config: Config, network: BaseModel, path: str, size: Optional[Size] = None,
                opset: int = OPSET, classes: Optional[Sequence[str]] = None) -> List[str]:
    """Write ``network`` to ``path`` and compare it with torch on the CPU.

    Args:
        config: of its training, with the test pipeline.
        network: of :func:`~autokd_mm.deploy.student.student_of`.
        size: height and width in pixels, see :func:`~autokd_mm.deploy.images.images_of`.
        opset: version of ONNX's operators.
        classes: names of its classes, for the file's metadata.

    Returns:
        What was written, in lines.

    Raises:
        ConfigError: the package ``onnx`` is not installed; the network cannot be exported; the file
            says something else than torch.
    """
    if importlib.util.find_spec('onnx') is None:
        raise ConfigError(f'--onnx: the package onnx is not installed; {_INSTALL}')
    raw = Raw(network)
    images = images_of(config, network, size)
    batches = _batches(images)
    wanted = [_run(raw, batch) for batch in batches]
    about = _metadata(raw, images, classes)
    with replacing(path) as unfinished:
        found = None
        for dynamic in (True, False):
            _write(raw, images.example, unfinished, opset, dynamic, about)
            if importlib.util.find_spec('onnxruntime') is None:
                break
            found = _differences(unfinished, batches[:1 + dynamic], wanted)
            if found is not None and all(one.fits for batch in found for one in batch):
                break
        else:
            refuse(network, 'makes a file that onnxruntime cannot run' if found is None else
                   f'says something else in ONNX than in torch ({_in_words(found)})')
    return _lines(path, raw, images, wanted[0], opset, dynamic, found)


def _batches(images: Images) -> List[torch.Tensor]:
    """One image, and two that differ."""
    return [images.example, torch.cat([images.example.flip(-1), images.example])]


@torch.no_grad()
def _run(raw: Raw, batch: torch.Tensor) -> Tuple[torch.Tensor, ...]:
    try:
        return raw(batch)
    except UserError:
        raise
    except Exception as error:  # a head that needs more than images
        refuse(raw.network, f'cannot be run on images alone ({_short(error)})')


def _write(raw: Raw, example: torch.Tensor, path: str, opset: int, dynamic: bool,
           about: Dict[str, str]) -> None:
    import onnx
    names = list(raw.names)
    axes = {name: {0: 'batch'} for name in [INPUT, *names]} if dynamic else None
    # The exporter by tracing is in every torch since 1.x; that by torch.export, the default since
    # 2.9, needs one more package and a graph without the Python that heads of detectors have.
    traced: Dict[str, Any] = {}
    if 'dynamo' in inspect.signature(torch.onnx.export).parameters:
        traced['dynamo'] = False
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # shapes become constants: they are to
            torch.onnx.export(raw, (example, ), path, input_names=[INPUT], output_names=names,
                              opset_version=opset, dynamic_axes=axes, **traced)
    except UserError:
        raise
    except Exception as error:  # an operator that ONNX does not have, for one
        if opset != OPSET:
            raise ConfigError(f'--opset={opset}: {type(raw.network).__name__} cannot be exported '
                              f'({_short(error)}); without --opset it is {OPSET}') from None
        refuse(raw.network, f'cannot be exported ({_short(error)})')
    model = onnx.load(path)
    onnx.helper.set_model_props(model, about)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _differences(path: str, batches: Sequence[torch.Tensor],
                 wanted: Sequence[Sequence[torch.Tensor]]) -> Optional[List[List[Difference]]]:
    """Of each batch and tensor the difference from torch; ``None``: onnxruntime cannot run it."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    result = []
    try:
        session = onnxruntime.InferenceSession(path, options, ['CPUExecutionProvider'])
        for batch, tensors in zip(batches, wanted):
            pairs = list(zip(map(torch.from_numpy, session.run(None, {INPUT: batch.numpy()})),
                             tensors))
            if any(one.shape != other.shape for one, other in pairs):
                return None
            result.append([Difference(float((one - other).abs().max()),
                                      float(other.abs().max())) for one, other in pairs])
    except Exception:  # onnxruntime has errors of its own, without a common base
        return None
    return result


def _metadata(raw: Raw, images: Images, classes: Optional[Sequence[str]]) -> Dict[str, str]:
    about = dict(producer=f'autokd_mm {__version__}', task=raw.task,
                 network=type(raw.network).__name__, layout='NCHW', color_order=images.order,
                 mean=_numbers(images.mean), std=_numbers(images.std),
                 height=str(images.example.shape[2]), width=str(images.example.shape[3]))
    if classes:
        about['classes'] = json.dumps(list(classes), ensure_ascii=False)
    return about


def _lines(path: str, raw: Raw, images: Images, outputs: Sequence[torch.Tensor], opset: int,
           dynamic: bool, found: Optional[List[List[Difference]]]) -> List[str]:
    batch = 'N' if dynamic else '1'
    numbers = sum(value.numel() for value in raw.parameters())
    lines = [f'{path}: {raw.task} ({type(raw.network).__name__}), {numbers:,} parameters, opset '
             f'{opset}, ' + ('batches of any size' if dynamic else 'batches of one image')]
    for word, name, tensor in [('input', INPUT, images.example),
                               *(('output', *pair) for pair in zip(raw.names, outputs))]:
        lines.append(f'  {word:<6} {name}: {" x ".join([batch, *map(str, tensor.shape[1:])])}')
    lines.append(f'  images are {images.order}, (pixel - mean) / std with mean '
                 f'{_numbers(images.mean)} and std {_numbers(images.std)}')
    if found is None:
        lines.append(f'  not compared with torch: onnxruntime is not installed; {_INSTALL}')
    else:
        lines.append(f'  onnxruntime and torch differ by at most {_in_words(found)}')
    return lines


def _in_words(found: Sequence[Sequence[Difference]]) -> str:
    most = max(one.largest for batch in found for one in batch)
    return ', '.join(f'{max(batch).absolute:.2g} (batch of {number})'
                     for number, batch in enumerate(found, 1)) + f'; values are up to {most:.3g}'


def _numbers(values: Sequence[float]) -> str:
    return ','.join(f'{value:g}' for value in values)


def _short(error: Exception) -> str:
    return f'{type(error).__name__}: {" ".join(str(error).split())[:200]}'
