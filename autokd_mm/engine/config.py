"""Loading a config with the command line's options, for all our tools."""
from __future__ import annotations

import copy
from typing import Any, Dict, Optional

from mmengine.config import Config, ConfigDict

from autokd_mm.space.errors import ConfigError

# Top-level variables of our configs that are repeated inside them. MMEngine evaluates a config
# before it applies the command line, so setting the variable alone would change nothing.
PATH_VARIABLES = ('data_root', 'teacher_ckpt')


def load_config(path: str, cfg_options: Optional[Dict[str, Any]] = None) -> Config:
    """``Config.fromfile`` plus options, where a top-level path reaches every place it stands in.

    ``data_root`` and ``teacher_ckpt`` given in ``cfg_options`` replace the old value wherever it
    stands: under a key of the same name, and as the beginning of another path (an annotation
    file below the data root).

    Raises:
        ConfigError: the file is missing.
    """
    try:
        config = Config.fromfile(path)
    except FileNotFoundError as error:
        raise ConfigError(f'CONFIG: {error}') from None
    options = dict(cfg_options or {})
    for name in PATH_VARIABLES:
        if name in options:
            if name not in config:
                raise ConfigError(f'--cfg-options {name}: {path} has no variable {name}')
            value = options.pop(name)
            value = None if value in ('None', 'none', '') else str(value)
            if name == 'data_root' and value and str(config[name] or '').endswith('/'):
                value = value.rstrip('/') + '/'
            old = config[name]
            _replace(config._cfg_dict, name, old, value)
            config[name] = value
    if options:
        config.merge_from_dict(options)
    return config


def _replace(node: Any, name: str, old: Any, new: Any) -> None:
    items = node.items() if isinstance(node, (dict, ConfigDict)) else enumerate(node)
    for key, value in list(items):
        if isinstance(value, (dict, ConfigDict, list)):
            _replace(value, name, old, new)
        elif key == name and value == old:
            node[key] = copy.deepcopy(new)
        elif old and new and isinstance(value, str) and len(str(old)) > 1:
            if value == old:
                node[key] = new
            elif value.startswith(str(old).rstrip('/') + '/'):
                node[key] = str(new).rstrip('/') + value[len(str(old).rstrip('/')):]
