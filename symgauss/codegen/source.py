"""The generated folder as a mapping from file name to text."""

from symgauss.codegen import covariance
from symgauss.codegen.emit import formulas, registry
from symgauss.codegen.evaluation import evaluation
from symgauss.codegen.isserlis import HIGHEST, MOMENTS_ABOUT, master_module, moments_module
from symgauss.codegen.loops import LOOPS_ABOUT, loops
from symgauss.record import activation, aliases, registered_names


def catalogue() -> dict[str, str]:
    """Two modules per activation of the catalogue, one for its covariance, the registry, and the Gaussian moments."""
    every = [evaluation(activation(name)) for name in registered_names()]
    files = {"__init__.py": registry(every, aliases()), "loops/__init__.py": LOOPS_ABOUT}
    for how in every:
        name = how.activation.name
        files[f"{name}.py"] = formulas(how)
        files[f"loops/{name}.py"] = loops(how, f"numeric.generated.{name}")
    files["moments/__init__.py"] = MOMENTS_ABOUT
    files["moments/master.py"] = master_module()
    for order in range(1, HIGHEST + 1):
        files[f"moments/order_{order}.py"] = moments_module(order)
    return files | covariance.catalogue()
