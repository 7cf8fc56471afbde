"""python -m symgauss derive relu: what an activation's Gaussian mean is, and why.

The activation is a name (relu, leaky_relu negative_slope=0.2) or a formula in x ("x*tanh(x)"). Where the mean
has no closed form, the reason is printed, and how it is integrated.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from io import TextIOWrapper

from sympy import Expr, Rational, Symbol

from symgauss import NoClosedForm
from symgauss.describe import description
from symgauss.hermite import hermite_coefficients
from symgauss.mean import gaussian_mean
from symgauss.parse import expression
from symgauss.proof import prove_mean
from symgauss.record import Activation, activation, activation_names


def derivation(act: Activation, order: int = 4) -> Iterator[str]:
    """The lines that `derive` prints: formula, mean, Hermite coefficients, proof; or why there is no closed form."""
    try:
        mean = gaussian_mean(act)
    except NoClosedForm:
        yield str(description(act))
        return
    rows = [(f"{act.label}(x)", act.formula), (f"E {act.name}(mu + sigma Z)", mean)]
    rows += [(f"h_{k}", h) for k, h in enumerate(hermite_coefficients(act, order)) if k]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        yield f"{name:<{width}} = {value}"
    yield str(prove_mean(act))


def latex(act: Activation, order: int = 4) -> str:
    """What a notebook shows of the activation, with Hermite coefficients up to `order`."""
    with suppress(NoClosedForm):
        hermite_coefficients(act, order)  # what has no mean at all is an error here, and so is a negative order
    return description(act, order).latex()


def activation_or_formula(text: str, settings: Mapping[str, Expr]) -> Activation:
    """The activation of this name, or what the text says as a formula in x, with its parameters' values."""
    if text.isidentifier() and text != "x":
        return activation(text, **settings)
    symbols = {name: Symbol(name, real=True) for name in settings}
    expr = expression(text, symbols)
    return Activation("expression", expr, {symbols[name]: value for name, value in settings.items()})


def _setting(text: str) -> tuple[str, Expr]:
    """`negative_slope=0.2` or `negative_slope=1/5` as a name and an exact number."""
    name, _, value = text.partition("=")
    try:
        return name, Rational(Fraction(value))
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"expected name=number, as in negative_slope=0.2, got {text!r}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m symgauss", description="Gaussian means, derived and proved.")
    commands = parser.add_subparsers(dest="command", required=True)
    derive = commands.add_parser(
        "derive", help="print an activation's mean, Hermite coefficients and proof", description=__doc__
    )
    derive.add_argument(
        "name", help=f"a formula in x, such as 'x*tanh(x)', an alias, or {', '.join(activation_names())}"
    )
    derive.add_argument("setting", nargs="*", type=_setting, help="parameter values, as in negative_slope=0.2")
    derive.add_argument("--order", type=int, default=4, help="the highest Hermite coefficient (default: 4)")
    derive.add_argument("--latex", action="store_true", help="print LaTeX, as a notebook shows it")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        act = activation_or_formula(options.name, dict(options.setting))
        lines = [latex(act, options.order)] if options.latex else list(derivation(act, options.order))
    except (TypeError, ValueError) as error:
        parser.exit(1, f"{error}\n")
    if isinstance(sys.stdout, TextIOWrapper):
        # What the terminal cannot show, ∂ in ASCII, is written as an escape.
        sys.stdout.reconfigure(errors="backslashreplace")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
