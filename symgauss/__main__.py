"""python -m symgauss derive relu: what an activation's Gaussian mean is, and why. The command symgauss runs it.

The activation is a name (relu, leaky_relu negative_slope=0.2) or a formula in x ("x*tanh(x)"). Where the mean
has no closed form, the reason is printed, and how it is integrated.

Exit status: 0 when the question was answered, also by a reason why there is no closed form; 1 for what is no
activation or has no mean; 2 for wrong usage; 70 for an error in symgauss; 130 when interrupted; 141 when nobody reads
on.
"""

import argparse
import json
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from io import TextIOWrapper
from typing import Any, NoReturn

import sympy
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


def facts(act: Activation, order: int = 4) -> dict[str, Any]:
    """What `derive --json` prints; expressions are texts in SymPy's notation, and None stands for what there is not.

    Keys: name, formula, parameters; mean, hermite_coefficients, reason (why these are None), evaluation; proof, with
    status and steps; latex, with formula, mean and hermite_coefficients.
    """
    coefficients, reason, proof = None, None, None
    try:
        coefficients = hermite_coefficients(act, order)
        proof = prove_mean(act)
    except NoClosedForm as error:
        reason = str(error).removeprefix(f"{act.label}: ")
    return {
        "name": act.name,
        "formula": str(act.formula),
        "parameters": {str(symbol): str(value) for symbol, value in sorted(act.parameters.items(), key=str)},
        "mean": coefficients and str(coefficients[0]),
        "hermite_coefficients": coefficients and [str(h) for h in coefficients],
        "reason": reason,
        "evaluation": next(str(value) for name, value in description(act).rows if name == "evaluation"),
        "proof": proof
        and {
            "status": proof.status,
            "steps": [
                {"name": step.name, "claim": step.claim, "reason": step.reason, "status": step.status}
                for step in proof.steps
            ],
        },
        "latex": {
            "formula": sympy.latex(act.formula),
            "mean": coefficients and sympy.latex(coefficients[0]),
            "hermite_coefficients": coefficients and [sympy.latex(h) for h in coefficients],
        },
    }


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


class _Parser(argparse.ArgumentParser):
    """An error of usage takes one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"symgauss: error: {' '.join(message.split())}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m symgauss", description="Gaussian means, derived and proved.")
    commands = parser.add_subparsers(dest="command", required=True)
    derive = commands.add_parser(
        "derive", help="print an activation's mean, Hermite coefficients and proof", description=__doc__
    )
    derive.add_argument(
        "name", help=f"a formula in x, such as 'x*tanh(x)', an alias, or {', '.join(activation_names())}"
    )
    derive.add_argument("setting", nargs="*", type=_setting, help="parameter values, as in negative_slope=0.2")
    derive.add_argument("--order", type=int, default=4, help="the highest Hermite coefficient (default: 4)")
    form = derive.add_mutually_exclusive_group()
    form.add_argument("--latex", action="store_true", help="print LaTeX, as a notebook shows it")
    form.add_argument("--json", action="store_true", help="print one JSON object")
    derive.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _answer(options: Any) -> str:
    act = activation_or_formula(options.name, dict(options.setting))
    if options.json:
        return json.dumps(facts(act, options.order), allow_nan=False)
    return latex(act, options.order) if options.latex else "\n".join(derivation(act, options.order))


def _status(options: Any) -> int:
    try:
        text = _answer(options)
    except (TypeError, ValueError) as error:
        if options.debug:
            traceback.print_exc()
        print(f"symgauss: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
        print("symgauss: this is an error in symgauss itself; please report it with the lines above", file=sys.stderr)
        return 70
    try:
        print(text, flush=True)
    except OSError as error:
        # Python's own attempt to write the rest, when it ends, must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return 141
        print(f"symgauss: error: standard output: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # What the terminal cannot show, ∂ in ASCII, is written as an escape.
            stream.reconfigure(errors="backslashreplace")
    try:
        return _status(_parser().parse_args(arguments))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
