"""Small changes to Python source, each of them what a mistake of a person could look like.

A change replaces one piece of the text: the syntax tree says where, and the rest of the file stays
as it is written. Left alone are annotations, decorators, docstrings and other texts, and what
stands in a ``raise`` (the error itself is taken out, its words are not changed).
"""
import ast
import re
from dataclasses import dataclass
from typing import Optional

_COMPARISONS = {ast.Lt: ('<', '<='), ast.LtE: ('<=', '<'), ast.Gt: ('>', '>='),
                ast.GtE: ('>=', '>'), ast.Eq: ('==', '!='), ast.NotEq: ('!=', '=='),
                ast.Is: ('is', 'is not'), ast.IsNot: ('is not', 'is'),
                ast.In: ('in', 'not in'), ast.NotIn: ('not in', 'in')}
_ARITHMETIC = {ast.Add: ('+', '-'), ast.Sub: ('-', '+'), ast.Mult: ('*', '/'),
               ast.Div: ('/', '*'), ast.FloorDiv: ('//', '/'), ast.Mod: ('%', '*'),
               ast.Pow: ('**', '*'), ast.BitAnd: ('&', '|'), ast.BitOr: ('|', '&')}
_NAMES = dict(min='max', max='min', any='all', all='any', amin='amax', amax='amin', ceil='floor',
              floor='ceil', zeros='ones', ones='zeros', sum='mean', mean='sum', argmax='argmin',
              argmin='argmax')
# A call of one of these stands for its first argument when it is forgotten.
_MODULES = {'torch', 'F', 'math', 'np'}
_BUILTINS = {'abs', 'float', 'int', 'list', 'reversed', 'round', 'set', 'sorted', 'tuple'}


@dataclass(frozen=True)
class Change:
    """``text[start:end]`` of a file becomes ``new``.

    Attributes:
        line: its number in the file.
        function: first line (decorators included) of the innermost function around it; None
            outside of all functions.
        body_of: the same of the outermost function that holds it in its body; None where the
            change is seen by the import of the file already (constants, defaults).
    """
    start: int
    end: int
    new: str
    line: int
    function: Optional[int]
    body_of: Optional[int]

    def apply(self, text):
        return text[:self.start] + self.new + text[self.end:]

    def lines(self, text):
        """The changed lines of the file before and after, without indentation."""
        first = text.rfind('\n', 0, self.start) + 1
        last = text.find('\n', self.end)
        last = len(text) if last < 0 else last
        after = text[first:self.start] + self.new + text[self.end:last]
        return tuple('\n'.join(line.strip() for line in part.splitlines())
                     for part in (text[first:last], after))


def changes(text):
    """All changes to a file's ``text``, in the order of the text."""
    finder = _Finder(text)
    finder.visit(ast.parse(text))
    return sorted(set(finder.found), key=lambda change: (change.start, change.end, change.new))


# One visitor of one tree: a method for each kind of node, which share where in the text they are.
class _Finder(ast.NodeVisitor):

    def __init__(self, text):
        self.found, self._text, self._functions, self._body_of = [], text, [], None
        self._bytes = [line.encode() for line in text.splitlines(keepends=True)]
        self._starts = [0]
        for line in text.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def _at(self, line, column):
        return self._starts[line - 1] + len(self._bytes[line - 1][:column].decode())

    def _span(self, node):
        return (self._at(node.lineno, node.col_offset),
                self._at(node.end_lineno, node.end_col_offset))

    def _add(self, start, end, new):
        line = self._text.count('\n', 0, start) + 1
        function = self._functions[-1] if self._functions else None
        self.found.append(Change(start, end, new, line, function, self._body_of))

    def _replace(self, node, new):
        self._add(*self._span(node), new)

    def _source(self, node):
        start, end = self._span(node)
        return self._text[start:end]

    def _between(self, left, right, old, new):
        """Replace an operator; between its sides there are also brackets and line ends."""
        start, end = self._span(left)[1], self._span(right)[0]
        pattern = r'\s+'.join(map(re.escape, old.split()))
        if old[0].isalpha():
            pattern = rf'\b{pattern}\b'
        found = re.search(pattern, self._text[start:end])
        if found:
            self._add(start + found.start(), start + found.end(), new)

    def visit_FunctionDef(self, node):
        first = min([node.lineno] + [item.lineno for item in node.decorator_list])
        self._functions.append(first)
        for default in node.args.defaults + node.args.kw_defaults:
            if default is not None:
                self.visit(default)
        outside, self._body_of = self._body_of, self._body_of or first
        for statement in node.body:
            self.visit(statement)
        self._body_of = outside
        self._functions.pop()

    def visit_ClassDef(self, node):
        for statement in node.body:
            self.visit(statement)

    def visit_AnnAssign(self, node):
        if node.value is not None:
            self.visit(node.value)

    def visit_Raise(self, node):
        self._replace(node, 'pass')

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Constant):
            return  # a docstring
        if isinstance(node.value, ast.Call):
            self._replace(node, 'pass')
        self.generic_visit(node)

    def visit_AugAssign(self, node):
        self._replace(node, 'pass')
        kind = _ARITHMETIC.get(type(node.op))
        if kind:
            self._between(node.target, node.value, kind[0] + '=', kind[1] + '=')
        self.visit(node.value)

    def visit_Assign(self, node):
        if isinstance(node.targets[0], ast.Subscript):
            self._replace(node, 'pass')
        self.visit(node.value)

    def visit_Continue(self, node):
        self._replace(node, 'break')

    def visit_Break(self, node):
        self._replace(node, 'continue')

    def visit_If(self, node):
        if self._source(node.test) == 'TYPE_CHECKING':
            return
        self._condition(node)

    def visit_IfExp(self, node):
        self._condition(node)

    def _condition(self, node):
        for value in ('True', 'False'):
            self._replace(node.test, value)
        self.generic_visit(node)

    def visit_comprehension(self, node):
        for test in node.ifs:
            self._replace(test, 'True')
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        for value in node.values:
            self._replace(value, 'True' if isinstance(node.op, ast.And) else 'False')
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        if isinstance(node.op, ast.Not):
            self._replace(node, f'bool({self._source(node.operand)})')
        elif isinstance(node.op, ast.USub):
            self._replace(node, self._source(node.operand))
        self.generic_visit(node)

    def visit_Compare(self, node):
        sides = [node.left] + node.comparators
        for left, right, kind in zip(sides, sides[1:], node.ops):
            self._between(left, right, *_COMPARISONS[type(kind)])
        self.generic_visit(node)

    def visit_BinOp(self, node):
        kind = _ARITHMETIC.get(type(node.op))
        texts = [side.value for side in (node.left, node.right) if isinstance(side, ast.Constant)]
        if kind and not any(isinstance(text, str) for text in texts):
            self._between(node.left, node.right, *kind)
        self.generic_visit(node)

    def visit_Constant(self, node):
        value = node.value
        if isinstance(value, bool):
            self._replace(node, str(not value))
        elif isinstance(value, int):
            self._replace(node, str(value + 1))
        elif isinstance(value, float):
            self._replace(node, repr(value * 2 if value else 1.0))

    def visit_JoinedStr(self, node):
        pass

    def visit_Call(self, node):
        callee, receiver = node.func, None
        if isinstance(callee, ast.Attribute):
            if callee.attr in _NAMES:
                end = self._span(callee)[1]
                self._add(end - len(callee.attr), end, _NAMES[callee.attr])
            root = callee.value
            if isinstance(root, ast.Name) and root.id in _MODULES:
                receiver = self._first(node)
            elif not (isinstance(root, ast.Name) and root.id in ('self', 'cls')
                      or isinstance(root, ast.Call) and self._source(root.func) == 'super'
                      or isinstance(root, (ast.JoinedStr, ast.Constant))):
                receiver = root
        elif isinstance(callee, ast.Name):
            if callee.id in _NAMES:
                self._replace(callee, _NAMES[callee.id] if callee.id != 'sum' else 'max')
            if callee.id in _BUILTINS:
                receiver = self._first(node)
        if receiver is not None:
            self._replace(node, f'({self._source(receiver)})')
        self.generic_visit(node)

    @staticmethod
    def _first(call):
        return call.args[0] if call.args and not isinstance(call.args[0], ast.Starred) else None
