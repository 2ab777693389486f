"""Boolean expressions of a Liberty library: `function`, `when`, `next_state`, `clear`.

The syntax is Liberty's: `!A` and `A'` negate; `*`, `&` and a blank between operands are AND; `^` is
XOR; `+` and `|` are OR; 0 and 1 are constants. XOR binds tighter than AND, AND tighter than OR. A
backslash at the end of a line continues it.
"""

import re
from dataclasses import dataclass

__all__ = ["Expr", "parse"]

_TOKEN = re.compile(r"\s*(?:([A-Za-z_][\w.]*(?:\[\d+\])?)|([01])(?!\w)|(.))")
_CONTINUED = re.compile(r"\\[ \t\r]*\n")
_BINARY = {"^": "xor", "*": "and", "&": "and", "+": "or", "|": "or"}
_BINDING = {"or": 1, "and": 2, "xor": 3, "not": 4}  # the tightest last
_MARKS = {"not": "!", "and": "*", "or": "+", "xor": "^"}
_DEEPEST = 200  # far from what Python's recursion allows, and from what any cell needs


@dataclass(frozen=True, slots=True)
class Expr:
    """A node: `op` is "var" (then `name`), "const" (then `value`), "not", "and", "or" or "xor"."""

    op: str
    args: tuple["Expr", ...] = ()
    name: str = ""
    value: bool = False

    def __str__(self) -> str:
        """Liberty's text of it, which reads the same whatever binds tighter."""
        if self.op == "var":
            return self.name
        if self.op == "const":
            return f"{self.value:d}"
        texts = [f"({arg})" if len(arg.args) > 1 else str(arg) for arg in self.args]
        return f"!{texts[0]}" if self.op == "not" else _MARKS[self.op].join(texts)

    def variables(self) -> tuple[str, ...]:
        """Names that the expression mentions, each once, in the order of first mention."""
        if self.op == "var":
            return (self.name,)
        return tuple(dict.fromkeys(name for arg in self.args for name in arg.variables()))

    def evaluate(self, env):
        """The value under `env` (name -> bool or NumPy bool array), broadcasting as NumPy does."""
        if self.op == "var":
            return env[self.name]
        if self.op == "const":
            return self.value
        first = self.args[0].evaluate(env)
        if self.op == "not":
            return first ^ True
        second = self.args[1].evaluate(env)
        if self.op == "and":
            return first & second
        return first | second if self.op == "or" else first ^ second


def parse(text: str) -> Expr:
    """Parse `text`; ValueError with the text and the place where it stops making sense, or that it
    is nested too deep. Parentheses alone may be as deep as they like."""
    flat = _CONTINUED.sub(" ", text).rstrip()
    parser = _Parser([m.group(1) or m.group(2) or m.group(3) for m in _TOKEN.finditer(flat)], text)
    return parser.expression()


class _Parser:
    """Operators wait on one stack for their operands on the other: no recursion."""

    def __init__(self, tokens: list[str], text: str) -> None:
        self.tokens, self.text = tokens, text
        self.waiting: list[str] = []  # "(", "not", "and", ...
        self.found: list[tuple[Expr, int]] = []  # each with its depth

    def expression(self) -> Expr:
        operand = True  # whether one is wanted
        for at, token in enumerate(self.tokens):
            if not operand and (token in "!~(01" or _is_name(token)):
                self.binary("and")  # a blank between operands
                operand = True
            operand = self.operand(token, at) if operand else self.operator(token, at)
        if operand:
            raise self.error("a name, a constant or '('", len(self.tokens))
        self.reduce(0)
        if self.waiting:
            raise self.error("')'", len(self.tokens))
        return self.found[0][0]

    def operand(self, token: str, at: int) -> bool:
        if token in "!~(":
            self.waiting.append("(" if token == "(" else "not")
            return True
        if token in "01":
            self.found.append((Expr("const", value=token == "1"), 1))
        elif _is_name(token):
            self.found.append((Expr("var", name=token), 1))
        else:
            raise self.error("a name, a constant or '('", at)
        return False

    def operator(self, token: str, at: int) -> bool:
        if token in _BINARY:
            self.binary(_BINARY[token])
            return True
        if token == "'":
            self.apply("not")
        elif token == ")":
            self.reduce(0)
            if not self.waiting:
                raise self.error("the end", at)
            self.waiting.pop()
        else:
            raise self.error("the end", at)
        return False

    def binary(self, op: str) -> None:
        self.reduce(_BINDING[op])
        self.waiting.append(op)

    def reduce(self, binding: int) -> None:
        """Apply what waits since the last parenthesis and binds at least as tightly."""
        while self.waiting and _BINDING.get(self.waiting[-1], -1) >= binding:
            self.apply(self.waiting.pop())

    def apply(self, op: str) -> None:
        count = 1 if op == "not" else 2
        args, depths = zip(*self.found[-count:], strict=True)
        if max(depths) == _DEEPEST:
            raise ValueError(f"Boolean expression {self.text[:40]!r}...: more than {_DEEPEST} deep")
        self.found[-count:] = [(Expr(op, args), max(depths) + 1)]

    def error(self, wanted: str, at: int) -> ValueError:
        got = repr(self.tokens[at]) if at < len(self.tokens) else "the end"
        return ValueError(f"Boolean expression {self.text!r}: wanted {wanted}, got {got}")


def _is_name(token: str) -> bool:
    return token[0].isalpha() or token[0] == "_"
