"""Where an error can be planted in a source text, and the text with the error in it.

A mutation replaces one stretch of a file: an operator, a constant, a term. What cannot change a result is
no site: docstrings, annotations, decorators, imports, and what a `raise` or an f-string says.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

KINDS = ("sign", "constant", "index", "operator", "term", "condition")

Span = tuple[int, int]

_BINARY: dict[type[ast.operator], tuple[str, str, str]] = {
    ast.Add: ("sign", "+", "-"),
    ast.Sub: ("sign", "-", "+"),
    ast.Mult: ("operator", "*", "/"),
    ast.Div: ("operator", "/", "*"),
    ast.BitAnd: ("operator", "&", "|"),
    ast.BitOr: ("operator", "|", "&"),
}
_COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
}
_EXTREMES = {"max": "min", "maximum": "minimum", "Max": "Min", "argmax": "argmin"}
_EXTREMES |= {after: before for before, after in _EXTREMES.items()}
_TEXT_OR_LIST = (ast.JoinedStr, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.ListComp)


@dataclass(frozen=True)
class Site:
    """One place, and the texts that may replace `source[start:end]` (in bytes of UTF-8)."""

    kind: str
    start: int
    end: int
    replacements: tuple[str, ...]


@dataclass(frozen=True)
class Mutation:
    """One error: a site of the file `path` and the text that is put there."""

    path: str
    kind: str
    start: int
    end: int
    text: str

    def apply(self, source: str) -> str:
        data = source.encode()
        return (data[: self.start] + self.text.encode() + data[self.end :]).decode()

    def describe(self, source: str) -> str:
        """`path:line  before → after`, whole lines without their indentation."""
        data = source.encode()
        line = data.count(b"\n", 0, self.start) + 1
        begin = data.rfind(b"\n", 0, self.start) + 1
        stop = data.find(b"\n", self.end)
        stop = len(data) if stop < 0 else stop
        before = data[begin:stop].decode()
        after = (data[begin : self.start] + self.text.encode() + data[self.end : stop]).decode()
        return f"{self.path}:{line}  {' '.join(before.split())}  →  {' '.join(after.split())}"


def sites(source: str) -> list[Site]:
    """Every site of a module, in the order of the text.

    >>> [(site.kind, site.replacements) for site in sites("x = -2.0")]
    [('sign', ('+',)), ('constant', ('2.002',))]
    """
    found = _Finder(source).in_nodes(ast.parse(source).body)
    return sorted(set(found), key=lambda site: (site.start, site.end, site.kind, site.replacements))


class _Finder:
    def __init__(self, source: str) -> None:
        self.data = source.encode()
        self.lines = [0]
        for line in self.data.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))

    def in_nodes(self, nodes: list[ast.stmt] | list[ast.expr]) -> Iterator[Site]:
        for node in nodes:
            yield from self.visit(node)

    def visit(self, node: ast.AST, constant: str = "constant") -> Iterator[Site]:
        """The sites in a node; integers in it are of the kind `constant`."""
        if _says_or_declares(node):
            return
        match node:
            case ast.FunctionDef():
                yield from self.in_nodes([d for d in (*node.args.defaults, *node.args.kw_defaults) if d])
                yield from self.in_nodes(node.body)
                return
            case ast.ClassDef():
                yield from self.in_nodes(node.body)
                return
            case ast.AnnAssign():
                yield from self.in_nodes([node.value] if node.value else [])
                return
            case ast.Call(func=ast.Name(id="isinstance")):
                return
            case ast.Subscript():
                yield from self.visit(node.value, constant)
                yield from self.index(node.slice)
                return
            case ast.Constant():
                yield from self.number(node, constant)
            case ast.UnaryOp(op=ast.USub()):
                start, _ = self.span(node)
                yield Site("sign", start, start + 1, ("+",))
            case ast.BinOp():
                yield from self.binary(node)
            case ast.AugAssign():
                if type(node.op) in _BINARY and not _is_text_or_list(node.value):
                    kind, before, after = _BINARY[type(node.op)]
                    yield from self.token(kind, node.target, node.value, before, after)
            case ast.Compare():
                for left, op, right in zip([node.left, *node.comparators], node.ops, node.comparators):
                    if type(op) in _COMPARISONS:
                        yield from self.token("operator", left, right, *_COMPARISONS[type(op)])
            case ast.BoolOp():
                words = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
                for left, right in zip(node.values, node.values[1:]):
                    yield from self.token("operator", left, right, *words)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in _EXTREMES:
                _, end = self.span(node.func)
                yield Site("operator", end - len(name), end, (_EXTREMES[name],))
            case ast.If() | ast.While() | ast.IfExp():
                yield self.negated(node.test)
            case ast.comprehension():
                for test in node.ifs:
                    yield self.negated(test)
        for child in ast.iter_child_nodes(node):
            yield from self.visit(child, constant)

    def number(self, node: ast.Constant, kind: str) -> Iterator[Site]:
        value = node.value
        if type(value) is int:
            yield Site(kind, *self.span(node), (str(value + 1), str(value - 1)))
        elif type(value) is float:
            yield Site("constant", *self.span(node), (repr(value * 1.001 if value else 0.001),))

    def index(self, node: ast.expr) -> Iterator[Site]:
        """Integers in a subscript, and names of one or two letters that are one or bound a slice."""
        match node:
            case ast.Tuple():
                for element in node.elts:
                    yield from self.index(element)
            case ast.Slice():
                for bound in (node.lower, node.upper, node.step):
                    if bound is not None:
                        yield from self.index(bound)
            case ast.Name(id=name) if len(name) <= 2:
                yield Site("index", *self.span(node), (f"{name} + 1", f"{name} - 1"))
            case _:
                yield from self.visit(node, "index")

    def binary(self, node: ast.BinOp) -> Iterator[Site]:
        if type(node.op) not in _BINARY or _is_text_or_list(node):
            return
        kind, before, after = _BINARY[type(node.op)]
        yield from self.token(kind, node.left, node.right, before, after)
        if isinstance(node.op, ast.BitAnd | ast.BitOr):
            return
        gap = self.find(node.left, node.right, before)
        if gap is None:
            return
        start, end = self.span(node)
        left = self.data[start : gap[0]].decode().rstrip()
        right = self.data[gap[1] : end].decode().lstrip()
        dropped = {ast.Add: (left, right), ast.Sub: (left, f"-{right}"), ast.Mult: (left, right), ast.Div: (left,)}
        yield Site("term", start, end, dropped[type(node.op)])

    def negated(self, test: ast.expr) -> Site:
        start, end = self.span(test)
        return Site("condition", start, end, (f"not ({self.data[start:end].decode()})",))

    def token(self, kind: str, left: ast.expr, right: ast.expr, before: str, after: str) -> Iterator[Site]:
        found = self.find(left, right, before)
        if found is not None:
            yield Site(kind, *found, (after,))

    def find(self, left: ast.expr, right: ast.expr, operator: str) -> Span | None:
        """Where the operator between two operands stands; None if a comment is between them."""
        gap_start, gap_end = self.span(left)[1], self.span(right)[0]
        gap = self.data[gap_start:gap_end]
        if b"#" in gap:
            return None
        start = gap_start + gap.index(operator.encode())
        return start, start + len(operator)

    def span(self, node: ast.expr) -> Span:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.lines[node.lineno - 1] + node.col_offset, self.lines[node.end_lineno - 1] + node.end_col_offset


def _says_or_declares(node: ast.AST) -> bool:
    """Messages, declarations and patterns, and the guard of a command."""
    if isinstance(node, ast.If):
        names = {inner.id for inner in ast.walk(node.test) if isinstance(inner, ast.Name)}
        return bool(names & {"TYPE_CHECKING", "__name__"})
    return isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.pattern)


def _is_text_or_list(node: ast.expr) -> bool:
    """Whether a sum or product is one of strings or lists as far as one can see: an error there is a crash."""
    if isinstance(node, ast.BinOp):
        return _is_text_or_list(node.left) or _is_text_or_list(node.right)
    return isinstance(node, _TEXT_OR_LIST) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
