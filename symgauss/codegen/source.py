"""The generated folder as a mapping from file name to text."""

from symgauss.codegen.emit import LOOPS_ABOUT, formulas, loops, registry
from symgauss.codegen.isserlis import HIGHEST, MOMENTS_ABOUT, master_module, moments_module
from symgauss.codegen.plan import make_plan
from symgauss.record import activation, activation_names, aliases


def catalogue() -> dict[str, str]:
    """Two modules per activation of the catalogue, the registry, and the Gaussian moments."""
    plans = [make_plan(activation(name)) for name in activation_names()]
    files = {"__init__.py": registry(plans, aliases()), "loops/__init__.py": LOOPS_ABOUT}
    for plan in plans:
        files[f"{plan.activation.name}.py"] = formulas(plan)
        files[f"loops/{plan.activation.name}.py"] = loops(plan)
    files["moments/__init__.py"] = MOMENTS_ABOUT
    files["moments/master.py"] = master_module()
    for order in range(1, HIGHEST + 1):
        files[f"moments/order_{order}.py"] = moments_module(order)
    return files
