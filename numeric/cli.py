"""The command symgauss: derive, convert, inspect, demo; also python -m numeric.cli.

Nothing that takes time to import is imported before a command has been read: --help and errors of usage come at once.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

from numeric.cli_errors import (
    BUG,
    CLOSED,
    DONE,
    INTERRUPTED,
    MISSING,
    REFUSED,
    STATUSES,
    USAGE,
    Missing,
    Refused,
    check_target,
    one_line,
    refusing,
)

_ARRAYS = ("W_in", "b_in", "W_gate", "b_gate", "W_up", "b_up", "W_out", "b_out")
_DEBUG = "SYMGAUSS_DEBUG"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status, see `symgauss --help`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # What the terminal cannot show, ∂ in ASCII, is written as an escape.
            stream.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            status = _status(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        _discard_output()
        return CLOSED
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED


def _status(arguments: list[str] | None) -> int:
    """Runs the command; errors become a line and a status."""
    debug = bool(os.environ.get(_DEBUG))
    try:
        options = _parser().parse_args(arguments)
        debug = debug or options.debug
        return options.run(options)
    except SystemExit as stop:  # of the parser, which has said everything
        return stop.code if isinstance(stop.code, int) else USAGE
    except (Refused, Missing, MemoryError) as error:
        if debug:
            traceback.print_exc()
        _say(f"error: {one_line(error)}")
        return MISSING if isinstance(error, Missing) else REFUSED
    except BrokenPipeError:
        raise
    except Exception:
        traceback.print_exc()
        _say("this is an error in symgauss itself; please report it with the lines above")
        return BUG


def _say(text: str) -> None:
    print(f"symgauss: {text}", file=sys.stderr)


def _warn(message: Any, *_: Any, **__: Any) -> None:
    _say(f"warning: {' '.join(str(message).split())}")


def _discard_output() -> None:
    """Python's own attempt to write the rest, when it ends, must not fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


# The commands


def _demo(options: Any) -> int:
    check_target(options.picture, force=True)
    from numeric import demo, plots

    with refusing(options.picture):
        plots.picture_format(options.picture)
    try:
        demo.run(Path(options.picture))
    except demo.MissingExtra as error:
        raise Missing(one_line(error)) from error
    return DONE


# The symgauss beside this package, wherever that is: installed, or in a checkout.
_DERIVE = """\
import sys
root = sys.argv.pop(1)
if root not in sys.path:
    sys.path.insert(0, root)
from symgauss.__main__ import main
sys.exit(main())"""


def _derive(options: Any) -> int:
    """In a process of its own: nothing in `numeric` imports sympy."""
    command = [
        sys.executable,
        "-P",  # whatever is in the current folder is not to be imported
        *(["-X", "utf8"] if sys.flags.utf8_mode else []),
        *("-c", _DERIVE, str(Path(__file__).parents[1]), "derive", f"--order={options.order}"),
        *(f"--{flag}" for flag in ("latex", "json", "debug") if getattr(options, flag)),
        *("--", options.name, *options.setting),
    ]
    if sys.stdout is not None:
        sys.stdout.flush()
    done = subprocess.run(command, check=False)
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


def _convert(options: Any) -> int:
    from numeric.cli_convert import run

    return _print(options, *run(options))


def _inspect(options: Any) -> int:
    from numeric.cli_inspect import run

    return _print(options, *run(options))


def _print(options: Any, facts: dict[str, Any], lines: list[str]) -> int:
    """The facts as one line of JSON, or the lines."""
    _write(json.dumps(_plain(facts), allow_nan=False) if options.json else "\n".join(lines))
    return DONE


def _write(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        _discard_output()
        raise Refused(f"standard output: {one_line(error)}") from error


def _plain(value: Any) -> Any:
    """For JSON: arrays as lists, None for what is not finite."""
    if isinstance(value, dict):
        return {str(name): _plain(inside) for name, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inside) for inside in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


# The parser


class _Parser(argparse.ArgumentParser):
    """An error of usage takes one line, and help that cannot be written is an error."""

    def print_help(self, file: Any = None) -> None:  # noqa: ARG002
        _write(self.format_help().rstrip("\n"))

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"symgauss: error: {' '.join(message.split())}; see {self.prog} --help\n")


class _Version(argparse.Action):
    """Looks the version up only when it is asked for, which takes longer than everything else here."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            _write(f"symgauss {version('symgauss')}")
        except PackageNotFoundError:
            _write("symgauss, not installed")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="symgauss",
        description="Layers of neural networks as their best polynomial approximations under Gaussian inputs and\n"
        "mixtures of Gaussians.",
        epilog=f"""\
examples:
  symgauss derive gelu
  symgauss convert layer.npz --inputs samples.npy --activation gelu --out quadratic.safetensors
  symgauss inspect quadratic.safetensors --plot quadratic.png

{STATUSES}

Errors are one line on standard error; --debug, or {_DEBUG}=1, adds the traceback.""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    _add_derive(commands)
    _add_convert(commands)
    _add_inspect(commands)
    _add_demo(commands)
    return parser


def _command(
    commands: Any, name: str, run: Callable[[Any], int], about: str, more: str, examples: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.\n\n{more}",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)
    return parser


def _activations() -> str:
    """The names of the catalogue, with parameters; looked up only here, because it takes no Numba."""
    from textwrap import fill

    from numeric.generated import PARAMETERS

    names = (f"{name} ({', '.join(inside)})" if inside else name for name, inside in PARAMETERS.items())
    return "activations, with parameters:\n" + fill(
        ", ".join(names), 98, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )


def _add_demo(commands: Any) -> None:
    parser = _command(
        commands,
        "demo",
        _demo,
        "train a network on digits, convert it, compare and draw",
        'Takes some seconds, and the packages of the extra "demo".',
        "examples:\n  symgauss demo\n  symgauss demo --picture digits.png",
    )
    parser.add_argument(
        "--picture",
        metavar="PATH",
        default="demo.png",
        help="where to draw, replacing what is there, and beside it PATH with _reading in its name (default: demo.png)",
    )


def _add_derive(commands: Any) -> None:
    parser = _command(
        commands,
        "derive",
        _derive,
        "print an activation's Gaussian mean, its Hermite coefficients, and the proof",
        "Where the mean has no closed form, the reason is printed, and how it is computed; that is an\n"
        "answer too, with exit status 0. A function without a mean is refused.",
        f"""\
examples:
  symgauss derive relu
  symgauss derive leaky_relu negative_slope=1/5 --order 2
  symgauss derive "x*tanh(x)"
  symgauss derive "Max(0, x) - a*x" a=1/5 --json
  symgauss derive -- "-x*Phi(x)"          a formula that begins with a minus sign goes behind --

{_activations()}

with --json, one object; formulas are texts in SymPy's notation:
  name, formula, parameters     what the activation is; parameters are exact texts such as "1/5"
  mean, hermite_coefficients    E f(mu + sigma Z), and h_0, h_1, …; null if there is no closed form
  reason                        why there is none, or null
  evaluation                    how numbers are computed
  proof                         null, or status (proved, refuted, unproved), and steps, each with
                                name, claim, reason, status
  latex                         formula, mean and hermite_coefficients in LaTeX""",
    )
    parser.add_argument("name", metavar="NAME|FORMULA", help="an activation, see below, or a formula in x")
    parser.add_argument(
        "setting",
        nargs="*",
        metavar="NAME=NUMBER",
        type=_setting,
        help="values of parameters, as in negative_slope=1/5",
    )
    parser.add_argument(
        "--order", metavar="N", type=_size, default=4, help="the highest Hermite coefficient (default: 4)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--latex", action="store_true", help="print LaTeX, as a notebook shows it")
    form.add_argument("--json", action="store_true", help="print JSON")


def _add_convert(commands: Any) -> None:
    parser = _command(
        commands,
        "convert",
        _convert,
        "turn a layer into its best polynomial under a Gaussian or a mixture",
        """\
FILE holds the layer, with weights as in torch.nn.Linear, (outputs, inputs):
  .npz           arrays W_in, b_in, W_out, b_out (MLP), or W_gate, b_gate, W_up, b_up, W_out, b_out
                 (gated layer); biases may be missing; a text called activation, or --activation
  safetensors    tensors of these names, or of others with --tensor: F64, F32, F16 or BF16;
                 or a layer that was saved

STATS says what the inputs are like:
  .npy           samples (n, d), which may be larger than memory
  .npz           mean with cov, (d, d) or (d,); mean with a factor F of the covariance, (d, r);
                 or samples X (n, d). Of a mixture: X with labels (n,), a Gaussian for each label;
                 or weights (K,), means (K, d) and covs: (K, d, d), (K, d), or, one for all, (d, d)
  safetensors    the same without labels; or a Gaussian or a mixture that was saved

Under a Gaussian the polynomial is a formula. Under a mixture it is solved for: degree 2 of more
than 40 inputs by an iteration, which has options of its own, all else at once.

Files are recognised by what is in them. Nothing is ever unpickled.""",
        f"""\
examples:
  symgauss convert layer.npz --inputs samples.npy --out quadratic.safetensors
  symgauss convert layer.npz --inputs stats.npz --degree 3 \\
      --activation leaky_relu --parameter negative_slope=0.2
  symgauss convert model.safetensors --inputs stats.npz --activation gelu \\
      --tensor W_in=mlp.fc1.weight --tensor b_in=mlp.fc1.bias \\
      --tensor W_out=mlp.fc2.weight --tensor b_out=mlp.fc2.bias
  symgauss convert layer.npz --inputs labelled.npz --noise-floor 1e-3 --checkpoint state

A tensor of a model whose weights are (inputs, outputs) is transposed by .T behind its name, as in
--tensor W_in=h.0.mlp.c_fc.weight.T.

{_activations()}

with --json, one object:
  kind, summary, degree, d_in, n_hidden, d_out, layer, inputs    what was made, of what
  activation, activation_parameters, activation_formula          its name, numbers by name, text
  total_fvu, fvu        fraction of variance unexplained, of all outputs together and of each;
                        null with --no-fvu
  variance_by_degree    the variance that each degree from 1 adds, a list over outputs for each;
                        null with --no-fvu, and under a mixture; there inspect --fvu computes it
  solved                under a mixture: iterations, 0 if it was solved at once; converged;
                        energy_error, for each output what is estimated to be left to gain, as a
                        fraction of its variance; seconds; degenerate, how many directions the
                        inputs do not vary in
  tensors               the names in FILE of the arrays that were used
  out                   where the polynomial was written, or null""",
    )
    parser.add_argument("file", metavar="FILE", help="the layer")
    parser.add_argument(
        "--inputs", metavar="STATS", required=True, help="samples, or means and covariances, of its inputs"
    )
    parser.add_argument("--degree", metavar="N", type=_size, default=2, help="of the polynomial (default: 2)")
    parser.add_argument("--activation", metavar="NAME", help="see below; needed unless FILE says it")
    parser.add_argument(
        "--parameter", metavar="NAME=NUMBER", type=_parameter, action="append", default=[], help="of the activation"
    )
    parser.add_argument(
        "--tensor",
        metavar="NAME=KEY",
        type=_mapping,
        action="append",
        default=[],
        help="what an array is called in FILE",
    )
    _add_mixture_options(parser.add_argument_group("options of mixtures"))
    parser.add_argument("--out", metavar="PATH", help="where to write the polynomial, with its variance; see inspect")
    parser.add_argument("--force", action="store_true", help="replace PATH if it is there")
    parser.add_argument(
        "--no-fvu",
        dest="fvu",
        action="store_false",
        help="do not compute the variance, which may take longer than all the rest",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_mixture_options(group: Any) -> None:
    group.add_argument(
        "--covariance-type",
        metavar="TYPE",
        choices=("full", "diag", "tied"),
        help="full, diag (variances) or tied (one for all components); default: as the shape of covs says, full of "
        "labelled samples",
    )
    group.add_argument(
        "--noise-floor", metavar="C", type=_floor, help="add C to every variance of every component (default: 0)"
    )
    group.add_argument(
        "--tol",
        metavar="T",
        type=_fraction,
        help="stop when an estimated T of the variance of every output is left to gain (default: 1e-8)",
    )
    group.add_argument(
        "--max-iterations", metavar="N", type=_positive, help="stop after N iterations, with a warning (default: 200)"
    )
    group.add_argument(
        "--checkpoint",
        metavar="FOLDER",
        help="keep the state of the iteration there; interrupted, the same command goes on where it was",
    )


def _add_inspect(commands: Any) -> None:
    parser = _command(
        commands,
        "inspect",
        _inspect,
        "show what a file holds, and what the polynomial in it looks for",
        "FILE is what convert wrote, or .save in Python: a polynomial, a layer, a Gaussian, a mixture.",
        """\
examples:
  symgauss inspect quadratic.safetensors
  symgauss inspect quadratic.safetensors --output 3 --count 20 --whitened
  symgauss inspect quadratic.safetensors --plot quadratic.png --shape 28,28
  symgauss inspect quadratic.safetensors --json

with --json, one object:
  file, written_by    the file, and the version of symgauss that wrote it
  kind, summary       what it holds
of a polynomial that convert made, also those of convert from degree to solved, and
  whitened            whether directions are measured in standard deviations of the inputs
  singular_values     of the linear part, or null
  spectra             of each output that was looked at: output; eigenvalues of the part of degree
                      2, by decreasing size; variances of these, null unless whitened; neurons, for
                      each eigenvalue a list of neuron and contribution; both null under a mixture
  plot                where the picture was written, or null
of a layer: d_in, n_hidden, d_out, activation, activation_parameters, activation_formula, arrays
(dtype and shape by name)
of a Gaussian: dim, covariance (identity, diagonal, factor, full), rank_at_most, mean, std
of a mixture: n_components, dim, covariance (full, diag, tied), noise_floor, weights, labels (or
null), rank_at_most, mean, std, variance_within (of all coordinates, in the components)
of a polynomial by its coefficients: degree, d_in, d_out, center, norms (of each order)""",
    )
    parser.add_argument("file", metavar="FILE", help="what convert or .save wrote")
    parser.add_argument(
        "--output", metavar="N", type=_size, help="look at this output, from 0 (default: all of them, up to 10)"
    )
    parser.add_argument("--count", metavar="K", type=_positive, help="how many eigenvalues and singular values")
    parser.add_argument(
        "--whitened", action="store_true", help="measure directions in standard deviations of the inputs"
    )
    parser.add_argument("--fvu", action="store_true", help="compute the variance if it is not in the file")
    parser.add_argument(
        "--plot", metavar="PATH", help="draw the linear part, eigenvectors and variance: .png, .pdf, .svg"
    )
    parser.add_argument("--shape", metavar="H,W", type=_shape, help="of inputs that are images (default: square)")
    parser.add_argument("--force", action="store_true", help="replace PATH if it is there")
    parser.add_argument("--json", action="store_true", help="print JSON")


# Values of options


def _size(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"expected an integer ≥ 0, got {text!r}")
    return int(text)


def _positive(text: str) -> int:
    number = _size(text)
    if number == 0:
        raise argparse.ArgumentTypeError("expected an integer ≥ 1, got '0'")
    return number


def _floor(text: str) -> float:
    number = _number(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number ≥ 0, as in 1e-3, got {text!r}")
    return number


def _fraction(text: str) -> float:
    number = _number(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, as in 1e-8, got {text!r}")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _shape(text: str) -> tuple[int, int]:
    height, comma, width = text.partition(",")
    if not comma:
        raise argparse.ArgumentTypeError(f"expected height,width, as in 28,28, got {text!r}")
    return _positive(height), _positive(width)


def _setting(text: str) -> str:
    """Checked here, so that the error comes at once, and passed on as it is."""
    _parameter(text)
    return text


def _parameter(text: str) -> tuple[str, float]:
    """`negative_slope=0.2` or `negative_slope=1/5`."""
    name, _, value = text.partition("=")
    above, _, below = value.partition("/")
    try:
        number = float(above) / float(below or 1)
    except (ValueError, ArithmeticError):
        number = math.nan
    if math.isfinite(number):
        return name, number
    raise argparse.ArgumentTypeError(f"expected name=number, as in negative_slope=0.2, got {text!r}")


def _mapping(text: str) -> tuple[str, str]:
    name, _, key = text.partition("=")
    if name not in _ARRAYS or not key:
        raise argparse.ArgumentTypeError(
            f"expected one of {', '.join(_ARRAYS)}, = and a name in the file, as in W_in=fc1.weight, got {text!r}"
        )
    return name, key


if __name__ == "__main__":
    sys.exit(main())
