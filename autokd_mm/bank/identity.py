"""Digests and descriptions by which a bank is recognised."""
from __future__ import annotations

import hashlib
import re
from typing import Any, Iterable, Mapping

import numpy as np


def weights_digest(state_dict: Mapping[str, Any]) -> str:
    """Digest of a network's weights (torch tensors by name), whatever file they came from."""
    digest = hashlib.blake2b(digest_size=12)
    for name, value in sorted(state_dict.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def arrays_digest(arrays: Iterable[Any]) -> str:
    """Digest of the bytes of arrays, one behind another."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def describe_pipeline(dataset: Any) -> str:
    """The transforms of a dataset, below wrappers such as RepeatDataset, in words."""
    while getattr(dataset, 'pipeline', None) is None and hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    pipeline = getattr(dataset, 'pipeline', None)
    transforms = list(getattr(pipeline, 'transforms', []))
    if isinstance(pipeline, list):  # MultiImageMixDataset: behind that of the dataset in it
        before = describe_pipeline(dataset.dataset) if hasattr(dataset, 'dataset') else ''
        transforms = [*([before] if before else []), *pipeline]
    text = ' '.join(' '.join((transform if isinstance(transform, str) else repr(transform)).split())
                    for transform in transforms)
    return re.sub(r' at 0x[0-9a-f]+', '', text)  # the address of one without a repr of its own
