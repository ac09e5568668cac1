"""The text of a config for a pair."""
from __future__ import annotations

import textwrap
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from autokd_mm.zoo.choosing import Choice
from autokd_mm.zoo.looking import Looked
from autokd_mm.zoo.names import Source

TRIALS = 60
_WIDTH = 100


class Raw(str):
    """Python that stands in a config as it is."""


def header(title: str, choice_lines: List[str], runners_up: List[str]) -> str:
    """The comment on top."""
    lines = [*_comment(title), '#', *_comment('What was chosen, and why:'),
             *(part for line in choice_lines for part in _comment(line, '  '))]
    if runners_up:
        lines += [*_comment('Could be compared as well (layers of train_cfg):'),
                  *(part for line in runners_up for part in _comment(line, '  '))]
    return '\n'.join(lines)


def _comment(line: str, indent: str = '') -> List[str]:
    return textwrap.wrap(line, _WIDTH, initial_indent=f'# {indent}',
                         subsequent_indent=f'# {indent}    '.replace('    ', '  ', 1),
                         break_long_words=False, break_on_hyphens=False)


def imports(looked: Looked) -> str:
    """``custom_imports`` of both configs and our own."""
    names: List[str] = []
    for base in looked.bases:
        found = (base.get('custom_imports') or {}).get('imports') or []
        names += [found] if isinstance(found, str) else list(found)
    return assigned('custom_imports', dict(
        imports=list(dict.fromkeys([*names, 'autokd_mm'])), allow_failed_imports=False))


def model(teacher: Source, folder: str, looked: Looked, shared_boxes: Optional[int],
          distiller: Mapping[str, Any], start: Optional[Mapping[str, Any]] = None) -> str:
    """The networks, and the part of the teacher that the student begins with."""
    found: Dict[str, Any] = dict(
        _delete_=True, type='mmrazor.FrozenTeacherDistill',
        architecture=Raw('{{_base_.model}}'),
        teacher=dict(cfg_path=teacher.as_cfg_path(folder), pretrained=False),
        teacher_ckpt=Raw('teacher_ckpt'))
    if looked.teacher_side is not None:
        found['teacher_input'] = dict(size=looked.teacher_side)
    if shared_boxes is not None:
        found['shared_boxes'] = shared_boxes
    if start is not None:
        found['start'] = dict(start)
    return assigned('model', dict(found, distiller=dict(distiller)))


def search(choice: Choice, proxy: Mapping[str, Any]) -> str:
    """The train loop of a search; in its final round every hand-crafted method has its chance."""
    final = dict(final_round=dict(best=3, budget=48)) if choice.methods else {}
    return assigned('train_cfg', dict(
        _delete_=True, type='mmrazor.SearchLoop', trials=TRIALS,
        sampler=dict(type='MCTSSampler'), warm_start=choice.methods, layers=choice.names,
        proxy=dict(proxy), **final, full_training=Raw('{{_base_.train_cfg}}')))


def data(config: Any, data_root: Optional[str]) -> Tuple[str, List[str]]:
    """The data's folder, so that ``data_root`` at the top reaches every place.

    Returns:
        The text, '' where the base does it all; remarks.
    """
    if 'data_root' in config:
        return (assigned('data_root', data_root) if data_root else ''), []
    roots = {value for _, value in _roots(config)}
    if not data_root:
        # Named here, it can be replaced from the command line wherever it stands.
        return (assigned('data_root', roots.pop()) if len(roots) == 1 else ''), []
    lines, remarks = [assigned('data_root', data_root)], []
    for name, node in _parts(config):
        found = _rooted(node, roots)
        if found == {}:
            continue
        if found is None:
            remarks.append(f'{name}: its data_root could not be set (it lies in a list)')
        else:
            lines.append(assigned(name, found))
    return '\n'.join(lines), remarks


def _parts(config: Any) -> Iterator[Tuple[str, Any]]:
    for part in ('train', 'val', 'test'):
        for name in (f'{part}_dataloader', f'{part}_evaluator'):
            if config.get(name):
                yield name, config[name]


def _roots(config: Any) -> Iterator[Tuple[str, str]]:
    for name, node in _parts(config):
        while isinstance(node, Mapping) and node.get('dataset'):
            node = node['dataset']
        if isinstance(node, Mapping) and isinstance(node.get('data_root'), str):
            yield name, node['data_root']


def _rooted(node: Any, roots: Any) -> Optional[Dict[str, Any]]:
    """What must be merged into ``node``: ``{}`` nothing, ``None`` where it cannot be said."""
    if isinstance(node, (list, tuple)):
        return None if any(_rooted(item, roots) != {} for item in node) else {}
    found: Dict[str, Any] = {}
    for key, value in node.items() if isinstance(node, Mapping) else ():
        if key == 'data_root':
            found[key] = Raw('data_root')
        elif isinstance(value, str):
            stem = next((root for root in roots if root and value.startswith(
                root.rstrip('/') + '/')), None)
            if stem:
                found[key] = Raw(f"data_root.rstrip('/') + {value[len(stem.rstrip('/')):]!r}")
        elif isinstance(value, (Mapping, list, tuple)) and key != 'pipeline':
            below = _rooted(value, roots)
            if below is None:
                return None
            if below:
                found[key] = below
    return found


def assigned(name: str, value: Any) -> str:
    """``name = value`` in lines of a config's width."""
    text = _code(value)
    if len(name) + 3 + len(text) <= _WIDTH:
        return f'{name} = {text}'
    if isinstance(value, str) and not isinstance(value, Raw):
        cut = value.rindex('/') + 1 if '/' in value else len(value) // 2
        return f'{name} = (\n    {value[:cut]!r}\n    {value[cut:]!r})'
    return f'{name} = {_code(value, 0, False)}'


def _code(value: Any, indent: int = 0, flat: bool = True) -> str:
    """Python for plain data; not flat: one item in a line where they do not fit into one."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Mapping):
        named = all(isinstance(key, str) and key.isidentifier() for key in value)
        items = [(f'{key}=' if named else f'{key!r}: ', item) for key, item in value.items()]
        left, right = ('dict(', ')') if named else ('{', '}')
    elif isinstance(value, (list, tuple)):
        items, (left, right) = [('', item) for item in value], '[]' if isinstance(
            value, list) else '()'
        if isinstance(value, tuple) and len(value) == 1:
            right = ',)'
    else:
        return repr(value)
    if flat:
        return left + ', '.join(key + _code(item) for key, item in items) + right
    inner, lines = indent + 4, []
    for key, item in items:
        text = key + _code(item)
        if inner + len(text) + 2 > _WIDTH:
            text = key + _code(item, inner, False)
        lines.append(' ' * inner + text)
    return f'{left}\n' + ',\n'.join(lines) + right
