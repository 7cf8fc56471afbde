"""The generated folder as a mapping from file name to text."""

from symgauss.codegen.emit import LOOPS_ABOUT, formulas, loops, registry
from symgauss.codegen.plan import make_plan
from symgauss.record import activation, activation_names, aliases


def catalogue() -> dict[str, str]:
    """Two modules per activation of the catalogue, and the registry."""
    plans = [make_plan(activation(name)) for name in activation_names()]
    files = {"__init__.py": registry(plans, aliases()), "loops/__init__.py": LOOPS_ABOUT}
    for plan in plans:
        files[f"{plan.activation.name}.py"] = formulas(plan)
        files[f"loops/{plan.activation.name}.py"] = loops(plan)
    return files
