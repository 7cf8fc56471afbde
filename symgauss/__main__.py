"""python -m symgauss derive relu: what an activation's Gaussian mean is, and why."""

import argparse
import sys
from collections.abc import Iterator
from fractions import Fraction
from io import TextIOWrapper

from sympy import Expr, Rational

from symgauss import NoClosedForm
from symgauss.hermite import hermite_coefficients
from symgauss.mean import gaussian_mean
from symgauss.proof import prove_mean
from symgauss.record import Activation, activation, activation_names


def derivation(act: Activation, order: int = 4) -> Iterator[str]:
    """The lines that `derive` prints: formula, mean, Hermite coefficients, proof."""
    rows = [(f"{act}(x)", act.formula), (f"E {act.name}(mu + sigma Z)", gaussian_mean(act))]
    rows += [(f"h_{k}", h) for k, h in enumerate(hermite_coefficients(act, order)) if k]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        yield f"{name:<{width}} = {value}"
    yield str(prove_mean(act))


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
    derive.add_argument("name", help=f"one of {', '.join(activation_names())}, or an alias")
    derive.add_argument("setting", nargs="*", type=_setting, help="parameter values, as in negative_slope=0.2")
    derive.add_argument("--order", type=int, default=4, help="the highest Hermite coefficient (default: 4)")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        lines = list(derivation(activation(options.name, **dict(options.setting)), options.order))
    except (NoClosedForm, TypeError, ValueError) as error:
        parser.exit(1, f"{error}\n")
    if isinstance(sys.stdout, TextIOWrapper):
        # What the terminal cannot show, ∂ in ASCII, is written as an escape.
        sys.stdout.reconfigure(errors="backslashreplace")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
