"""Loading a config with the command line's options, for all our tools."""
from __future__ import annotations

import logging
import os
import tempfile
from typing import Any, Dict, Optional

from mmengine.config import Config
from mmengine.logging import print_log

from autokd_mm.errors import ConfigError

# Top-level variables of our configs that are repeated inside them. MMEngine evaluates a config
# before it applies the command line, so setting the variable alone would change nothing.
PATH_VARIABLES = ('data_root', 'teacher_ckpt', 'backbone_ckpt')


def load_config(path: str, cfg_options: Optional[Dict[str, Any]] = None) -> Config:
    """``Config.fromfile`` plus options, where a top-level path reaches every place it stands in.

    ``data_root``, ``teacher_ckpt`` and ``backbone_ckpt`` given in ``cfg_options`` replace the old
    value wherever it stands: under a key of the same name, and as the beginning of another path (an
    annotation file below the data root). A config that reads no data from a folder, or has no
    teacher, takes them too, so that one command line fits all.

    Raises:
        ConfigError: the file is missing.
    """
    try:
        config = Config.fromfile(path)
    except OSError as error:  # missing, a folder, not a config file
        raise ConfigError(f'CONFIG: {error}') from None
    options = dict(cfg_options or {})
    for name in PATH_VARIABLES:
        if name in options:
            value = options.pop(name)
            value = _path(value)
            if name not in config:
                print_log(f'--cfg-options {name}: {path} has no use for it',
                          level=logging.WARNING)
                continue
            old = config[name]
            if name == 'data_root' and isinstance(value, str) and str(old or '').endswith('/'):
                value = value.rstrip('/') + '/'
            # One pass over everything: a second one could meet the new value as the old one.
            for key, item in config.to_dict().items():
                config[key] = _replaced(key, item, name, old, value)
    if options:
        try:
            config.merge_from_dict(options)
        except TypeError as error:  # a key below something that is no dict
            reason = ' '.join(str(error).split())
            raise ConfigError(f'--cfg-options: {reason}') from None
    return config


def check_writable(folder: str, key: str = '--work-dir') -> None:
    """Make ``folder`` and write into it, so that a mistake shows before any work.

    Raises:
        ConfigError: it cannot be made, is a file, is read-only or full.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f'{key}: {folder} cannot be written ({error.strerror}); name a folder '
                          'that can') from None


def _path(value: Any) -> Any:
    """A path from the command line; several teachers have a list of them."""
    if isinstance(value, (list, tuple)):
        return [_path(item) for item in value]
    return None if value in (None, 'None', 'none', '') else str(value)


def _replaced(key: Any, value: Any, name: str, old: Any, new: Any) -> Any:
    """``value`` with the path ``old`` replaced by ``new`` in it and below it."""
    if key == name and isinstance(value, list) and value == old:
        return new
    if isinstance(value, dict):
        return type(value)({inner: _replaced(inner, item, name, old, new)
                            for inner, item in value.items()})
    if isinstance(value, (list, tuple)):
        return type(value)(_replaced(None, item, name, old, new) for item in value)
    if value == old and (key == name or (isinstance(old, str) and len(old) > 1)):
        return new
    if all(isinstance(text, str) for text in (new, value, old)) and new and len(old) > 1:
        stem = old.rstrip('/')
        if value.startswith(stem + '/'):
            return str(new).rstrip('/') + value[len(stem):]
    return value
