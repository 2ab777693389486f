"""Boolean expressions of a Liberty library: `function`, `when`, `next_state`, `clear`.

The syntax is Liberty's: `!A` and `A'` negate; `*`, `&` and a blank between operands are AND; `^` is
XOR; `+` and `|` are OR; 0 and 1 are constants. XOR binds tighter than AND, AND tighter than OR.
"""

import re
from dataclasses import dataclass

__all__ = ["Expr", "parse"]

_TOKEN = re.compile(r"\s*(?:([A-Za-z_][\w.]*(?:\[\d+\])?)|([01])(?!\w)|(.))")


@dataclass(frozen=True, slots=True)
class Expr:
    """A node: `op` is "var" (then `name`), "const" (then `value`), "not", "and", "or" or "xor"."""

    op: str
    args: tuple["Expr", ...] = ()
    name: str = ""
    value: bool = False

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
    """Parse `text`; ValueError with the text and the place where it stops making sense."""
    tokens = [m.group(1) or m.group(2) or m.group(3) for m in _TOKEN.finditer(text.rstrip())]
    parser = _Parser(tokens, text)
    expr = parser.disjunction()
    if parser.peek():
        raise parser.error("the end")
    return expr


class _Parser:
    def __init__(self, tokens: list[str], text: str) -> None:
        self.tokens, self.text, self.at = tokens, text, 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, *wanted: str) -> bool:
        if self.peek() not in wanted or not self.peek():
            return False
        self.at += 1
        return True

    def error(self, wanted: str) -> ValueError:
        got = repr(self.peek()) if self.peek() else "the end"
        return ValueError(f"Boolean expression {self.text!r}: wanted {wanted}, got {got}")

    def disjunction(self) -> Expr:
        expr = self.conjunction()
        while self.take("+", "|"):
            expr = Expr("or", (expr, self.conjunction()))
        return expr

    def conjunction(self) -> Expr:
        expr = self.parity()
        while self.peek() and self.peek() not in ("+", "|", ")", "'"):
            self.take("*", "&")
            expr = Expr("and", (expr, self.parity()))
        return expr

    def parity(self) -> Expr:
        expr = self.negation()
        while self.take("^"):
            expr = Expr("xor", (expr, self.negation()))
        return expr

    def negation(self) -> Expr:
        if self.take("!", "~"):
            return Expr("not", (self.negation(),))
        expr = self.atom()
        while self.take("'"):
            expr = Expr("not", (expr,))
        return expr

    def atom(self) -> Expr:
        if self.take("("):
            expr = self.disjunction()
            if not self.take(")"):
                raise self.error("')'")
            return expr
        token = self.peek()
        if token in ("0", "1"):
            self.at += 1
            return Expr("const", value=token == "1")
        if token and (token[0].isalpha() or token[0] == "_"):
            self.at += 1
            return Expr("var", name=token)
        raise self.error("a name, a constant or '('")
