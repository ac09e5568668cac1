"""In which keys two descriptions differ, in words."""
from __future__ import annotations

import ast
import json
import os
from typing import Any, List, Mapping, Tuple


def differing(found: Mapping[str, Any], expected: Mapping[str, Any], below: str = '') -> List[str]:
    """``key: found there, expected here`` for every key in which two descriptions differ.

    Dicts inside are compared key by key. One written as text, as parts of a config are, is the same
    in any order of its keys: MMEngine sorts them when it writes a config into a work dir.
    """
    lines: List[str] = []
    expected = json.loads(json.dumps(expected))  # tuples are lists on disk
    for key in sorted(set(found) | set(expected)):
        here, wanted = found.get(key), expected.get(key)
        if isinstance(here, dict) and isinstance(wanted, dict):
            lines += differing(here, wanted, f'{below}{key}.')
        elif here != wanted and _unordered(here) != _unordered(wanted):
            there, here = _around_difference(json.dumps(here), json.dumps(wanted))
            lines.append(f'{below}{key}: {there} there, {here} here')
    return lines


def _unordered(value: Any) -> Any:
    """The dict that a text stands for; anything else as it is."""
    if not (isinstance(value, str) and value.startswith('{')):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # a class stands in it
        return value


def _around_difference(one: str, other: str, limit: int = 60) -> Tuple[str, str]:
    """Two texts cut to where they begin to differ."""
    if max(len(one), len(other)) <= limit:
        return one, other
    start = max(0, len(os.path.commonprefix([one, other])) - limit // 3)

    def cut(text: str) -> str:
        return '...' * (start > 0) + text[start:start + limit] + '...' * (len(text) > start + limit)

    return cut(one), cut(other)
