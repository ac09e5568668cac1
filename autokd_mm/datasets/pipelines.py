"""Where the pipeline stands in a dataset's config."""
from __future__ import annotations

from typing import Any, Mapping


def pipeline_of(config: Mapping[str, Any]) -> Any:
    """The pipeline of a dataset's config, below wrappers such as RepeatDataset."""
    inner = config.get('dataset') or config.get('datasets')
    if inner:
        return pipeline_of(inner[0] if isinstance(inner, (list, tuple)) else inner)
    return config['pipeline']


def has_pipeline(config: Mapping[str, Any]) -> bool:
    """Whether there is one where :func:`pipeline_of` looks."""
    inner = config.get('dataset') or config.get('datasets')
    if inner:
        return has_pipeline(inner[0] if isinstance(inner, (list, tuple)) else inner)
    return bool(config.get('pipeline'))
