"""Loading a config with the command line's options, for all our tools."""
from __future__ import annotations

import ast
import importlib.util
import logging
import os
import re
import tempfile
from typing import Any, Dict, Iterator, List, Optional, Sequence

from mmengine.config import Config
from mmengine.logging import print_log

from autokd_mm.engine.tracebacks import first_line, frames_of, ours
from autokd_mm.errors import ConfigError, UserError
from autokd_mm.report.export import unquotable

# Top-level variables of our configs that are repeated inside them. MMEngine evaluates a config
# before it applies the command line, so setting the variable alone would change nothing.
PATH_VARIABLES = ('data_root', 'teacher_ckpt', 'backbone_ckpt')


def load_config(path: str, cfg_options: Optional[Dict[str, Any]] = None,
                key: str = 'CONFIG') -> Config:
    """``Config.fromfile`` plus options, where a top-level path reaches every place it stands in.

    ``data_root``, ``teacher_ckpt`` and ``backbone_ckpt`` at the top of the config, or given in
    ``cfg_options``, replace what its bases say of them wherever that stands: under a key of the
    same name, and as the beginning of another path (an annotation file below the data root). A
    config that reads no data from a folder, or has no teacher, takes the options too, so that one
    command line fits all.

    Args:
        key: what the command line calls the file, for messages.

    Raises:
        ConfigError: the file is missing or no config, or what it imports is; an option is for a
            key that cannot be.
    """
    config = _read(path, key)
    options = dict(cfg_options or {})
    for name in PATH_VARIABLES:
        if name not in config:
            if name in options:
                del options[name]
                print_log(f'--cfg-options {name}: {path} has no use for it',
                          level=logging.WARNING)
            continue
        value = _path(options.pop(name)) if name in options else config[name]
        old = _said(config, name)
        if isinstance(value, str) and name == 'data_root' and any(
                str(one or '').endswith('/') for one in old):
            value = value.rstrip('/') + '/'
        # One pass over everything: a second one could meet the new value as an old one.
        for key, item in config.to_dict().items():
            config[key] = _replaced(key, item, name, old, value)
    if options:
        try:
            config.merge_from_dict(options)
        except (KeyError, TypeError) as error:  # below something that is no dict or list so long
            reason = ' '.join(str(error.args[0]).split())
            raise ConfigError(f'--cfg-options: {reason}') from None
    return config


def in_new_style(path: str) -> bool:
    """Whether a config names its bases in ``with read_base():``."""
    try:
        with open(path, encoding='utf-8') as file:
            return any(_blocks_of_bases(ast.parse(file.read())))
    except (OSError, SyntaxError, ValueError):  # of JSON or YAML
        return False


def _blocks_of_bases(tree: ast.AST) -> Iterator[ast.With]:
    return (block for block in ast.walk(tree)
            if isinstance(block, ast.With) and 'read_base' in ast.dump(block.items[0]))


def _read(path: str, key: str) -> Config:
    try:
        config = Config.fromfile(path)
    except OSError as error:  # missing, a folder, not a config file
        raise ConfigError(f'{key}: {error}') from error
    except Exception as error:  # a config is a program of the user's, and may raise anything
        if isinstance(error, UserError) or any(map(ours, frames_of(error)[1:])):
            raise  # a fault of ours in what it imports
        raise ConfigError(_why_unreadable(path, error, key)) from error
    try:
        _import_all([value for _, value in dict.items(config._cfg_dict)
                     if isinstance(value, (dict, list, tuple))])
    except ImportError as error:
        raise ConfigError(_why_unreadable(path, error, key)) from error
    return config


def _import_all(node: Any) -> None:
    """What a config in the new style uses is imported where it is first read: here, and not in the
    midst of a run."""
    values = [value for _, value in node.items()] if isinstance(node, dict) else node
    for value in values:
        if isinstance(value, (dict, list, tuple)):
            _import_all(value)


def _why_unreadable(path: str, error: Exception, key: str) -> str:
    cause: BaseException = error
    # MMEngine says only that something failed to import, and prints sys.path.
    while isinstance(error, ImportError) and (cause.__cause__ or cause.__context__):
        cause = cause.__cause__ or cause.__context__ or cause
    line = first_line(cause)
    if isinstance(cause, SyntaxError) and unquotable(os.path.abspath(path)) and _is_pasted(path):
        return (f'{key}: {path}: the name of its folder has a quotation mark or a backslash, which '
                'ends a string of the config ({{ fileDirname }}); give the folder another name')
    if isinstance(error, ImportError) and 'custom modules' in str(error):
        return f'custom_imports: {line} (in {path})'
    name = type(error).__name__
    return f'{key}: {path}: {line if line.startswith(name) else f"{name}: {line}"}'


def _is_pasted(path: str) -> bool:
    with open(path, encoding='utf-8', errors='replace') as file:
        return 'fileDirname' in file.read()


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


def check_file(path: str, key: str, *sources: Optional[str]) -> None:
    """As :func:`check_writable`, for a file that is to be written.

    Args:
        sources: files that it is made of, and which stay.

    Raises:
        ConfigError: it is one of the sources, a folder, or in a folder that cannot be written.
    """
    if os.path.isdir(path):
        raise ConfigError(f'{key}: {path} is a folder; name a file')
    for source in sources:
        if source and os.path.realpath(source) == os.path.realpath(path):
            raise ConfigError(f'{key}: {path} is what it is made of; name another file')
    check_writable(os.path.dirname(os.path.abspath(path)), key)


def _path(value: Any) -> Any:
    """A path from the command line; several teachers have a list of them."""
    if isinstance(value, (list, tuple)):
        return [_path(item) for item in value]
    return None if value in (None, 'None', 'none', '') else str(value)


def _said(config: Config, name: str) -> List[Any]:
    """What a config and its bases say of a top-level name. Each file of a chain was evaluated with
    what stands in it or below it; the last value alone is left in the config."""
    found = [config[name]]
    for text in _texts(config.filename, config.text):
        for line in re.findall(rf'^{name} *= *(.+)$', text, re.MULTILINE):
            try:
                value = ast.literal_eval(line.strip())
            except (ValueError, SyntaxError):  # made from other names: the text has no result
                continue
            if value not in found:
                found.append(value)
    return found


def _texts(path: str, text: str) -> Iterator[str]:
    """The text of a config and of what it inherits: ``_base_`` is part of it already, a new-style
    config names its bases in ``with read_base():``."""
    yield text
    try:
        tree = ast.parse(text)
    except SyntaxError:  # several files, with their names between them
        return
    for block in _blocks_of_bases(tree):
        for line in ast.walk(block):
            base = _file_of(path, line) if isinstance(line, ast.ImportFrom) else None
            if base and os.path.isfile(base):
                with open(base, encoding='utf-8') as file:
                    yield from _texts(base, file.read())


def _file_of(path: str, line: ast.ImportFrom) -> Optional[str]:
    """The file that ``from ... import *`` of the config at ``path`` reads."""
    if not line.level:
        spec = importlib.util.find_spec(line.module or '')
        return spec.origin if spec else None
    folder = os.path.join(os.path.dirname(os.path.abspath(path)), *['..'] * (line.level - 1))
    return os.path.join(folder, *(line.module or '').split('.')) + '.py'


def _replaced(key: Any, value: Any, name: str, old: Sequence[Any], new: Any) -> Any:
    """``value`` with each of the paths ``old`` replaced by ``new`` in it and below it."""
    if key == name and isinstance(value, list) and value in old:
        return new
    if isinstance(value, dict):
        return type(value)({inner: _replaced(inner, item, name, old, new)
                            for inner, item in value.items()})
    if isinstance(value, (list, tuple)):
        return type(value)(_replaced(None, item, name, old, new) for item in value)
    if value in old and (key == name or (isinstance(value, str) and len(value) > 1)):
        return new
    if isinstance(value, str) and isinstance(new, str) and new:
        stems = [one.rstrip('/') for one in old if isinstance(one, str) and len(one) > 1]
        # The longest: one base's folder may lie in another's.
        stem = max((one for one in stems if value.startswith(one + '/')), key=len, default='')
        if stem:
            return new.rstrip('/') + value[len(stem):]
    return value
