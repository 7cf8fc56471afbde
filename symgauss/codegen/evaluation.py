"""Which evaluation an activation gets: a closed form, fixed-cost quadrature, or adaptive integration."""

from dataclasses import dataclass, replace

from symgauss.codegen.plan import NoKernel, Plan, make_plan
from symgauss.codegen.pointwise import Pointwise
from symgauss.codegen.quadrature import Rule, make_rule
from symgauss.codegen.verification import RuleTooCoarse, check
from symgauss.growth import check_growth
from symgauss.pieces import NoClosedForm
from symgauss.record import Activation


@dataclass(frozen=True)
class Integrated:
    """Adaptive integration, with an estimate of its error, of what has neither a closed form nor a rule."""

    pointwise: Pointwise
    reason: str

    @property
    def activation(self) -> Activation:
        return self.pointwise.activation


# Rules are made with so many times the usual nodes until one passes its check.
FINENESS = (1.0, 1.5)
Evaluation = Plan | Rule | Integrated


def evaluation(act: Activation) -> Evaluation:
    """The best evaluation that is known to be accurate, parameters kept symbolic where it is a closed form.

    Raises `GrowsTooFast` when there is no Gaussian mean, ValueError where σ is not a finite real number.
    """
    try:
        return make_plan(act)
    except (NoClosedForm, NoKernel) as stands_in_the_way:
        reason = _reason(act, stands_in_the_way)
        missed: Exception = stands_in_the_way
    # with the parameters' values in: without them, growth is not known
    check_growth(_without_parameters(act))
    for fineness in FINENESS:
        try:
            rule = make_rule(_without_parameters(act), reason, fineness)
            return replace(rule, left_out=check(rule))
        except RuleTooCoarse as too_coarse:
            missed = too_coarse
        except NoKernel as stands_in_the_way:
            missed = stands_in_the_way
            break
    return Integrated(Pointwise(act.symbolic), f"{reason}; {_reason(act, missed)}")


def _without_parameters(act: Activation) -> Activation:
    """The activation with its values put in: the constants of a rule hold for one function."""
    return Activation(act.name, act.formula) if act.parameters else act


def _reason(act: Activation, error: Exception) -> str:
    return (
        str(error)
        .removeprefix(f"{act.symbolic.label}: ")
        .removeprefix(f"{act.label}: ")
        .removeprefix(f"{act.name}: ")
        .rstrip(".")
    )
