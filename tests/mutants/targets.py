"""Which files errors are planted in, and which tests should notice."""

from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("symgauss", "numeric")
# Generated code follows from symgauss/codegen, which is mutated; the demo is there to be looked at.
LEFT_OUT = ("numeric/generated/", "numeric/demo")

# The tests that look most directly at a module come first; all others of its package follow, because a test
# that notices is a test that notices. A module that is not listed begins with the test of its own name.
FIRST = {
    "numeric/activations.py": ("numeric/test_moments.py", "numeric/test_layers.py"),
    "numeric/binormal.py": ("numeric/test_binormal.py", "numeric/test_bivariate.py"),
    "numeric/bivariate_quadrature.py": ("numeric/test_bivariate.py",),
    "numeric/blocks.py": ("numeric/test_blocks.py", "numeric/test_layers.py", "numeric/test_inputs.py"),
    "numeric/checks.py": ("numeric/test_bad_input.py", "numeric/test_moments.py"),
    "numeric/cli_errors.py": ("numeric/test_cli.py",),
    "numeric/cli_inputs.py": ("numeric/test_cli_mixture.py", "numeric/test_cli_files.py"),
    "numeric/conditional.py": ("numeric/test_fvu.py", "numeric/test_variance.py"),
    "numeric/covariance.py": ("numeric/test_inputs.py",),
    "numeric/covariance_kernels.py": ("numeric/test_bivariate.py",),
    "numeric/dense.py": ("numeric/test_polynomial.py", "numeric/test_device.py", "numeric/test_bad_input.py"),
    "numeric/device/": ("numeric/test_device.py", "numeric/test_solver_device.py"),
    "numeric/factored.py": ("numeric/test_polynomial.py", "numeric/test_gated.py", "numeric/test_device.py"),
    "numeric/jit.py": ("numeric/test_special.py", "numeric/test_moments.py"),
    "numeric/mixture/batches.py": ("numeric/test_solver_device.py",),
    "numeric/mixture/inputs.py": ("numeric/test_mixture_inputs.py",),
    "numeric/mixture/iteration.py": ("numeric/test_solver_device.py", "numeric/test_mixture.py"),
    "numeric/mixture/resume.py": ("numeric/test_resume.py", "numeric/test_solver_device.py"),
    "numeric/mixture/": ("numeric/test_mixture_parts.py", "numeric/test_mixture.py", "numeric/test_samples.py"),
    "numeric/pairs.py": ("numeric/test_fvu.py", "numeric/test_variance.py"),
    "numeric/panels.py": ("numeric/test_residuals.py",),
    "numeric/progress.py": ("numeric/test_fvu.py",),
    "numeric/reduced.py": ("numeric/test_residuals.py",),
    "numeric/ridge.py": ("numeric/test_layers.py", "numeric/test_polynomial.py"),
    "numeric/series.py": ("numeric/test_polynomial.py",),
    "numeric/solver.py": ("numeric/test_mixture.py", "numeric/test_solver_device.py", "numeric/test_resume.py"),
    "symgauss/__main__.py": ("symgauss/test_command.py",),
    "symgauss/bivariate.py": ("symgauss/test_price.py", "symgauss/test_covariance.py"),
    "symgauss/catalogue/": ("symgauss/test_mean.py",),
    "symgauss/codegen/": ("symgauss/test_codegen.py",),
    "symgauss/covariance_": ("symgauss/test_covariance.py", "symgauss/test_price.py"),
    "symgauss/families.py": ("symgauss/test_isserlis.py", "symgauss/test_master.py"),
    "symgauss/generating.py": ("symgauss/test_isserlis.py", "symgauss/test_master.py"),
    "symgauss/heat.py": ("symgauss/test_proof.py",),
    "symgauss/hermite.py": ("symgauss/test_mean.py",),
    "symgauss/identity.py": ("symgauss/test_isserlis.py", "symgauss/test_master.py"),
    "symgauss/pieces.py": ("symgauss/test_pieces_and_terms.py", "symgauss/test_mean.py"),
    "symgauss/surds.py": ("symgauss/test_normal.py", "symgauss/test_proof.py"),
    "symgauss/terms.py": ("symgauss/test_pieces_and_terms.py", "symgauss/test_mean.py"),
    "symgauss/verdict.py": ("symgauss/test_proof.py", "symgauss/test_isserlis.py"),
    "symgauss/witness.py": ("symgauss/test_proof.py",),
}
# Kernels of a GPU run in a simulator, in a process of its own.
SIMULATED, SIMULATOR = "numeric/cuda/", "tests/simulator/test_kernels.py"
# Slow, and about what few modules take part in.
LAST = (
    "numeric/test_normal_equations.py",
    "numeric/test_isserlis.py",
    "symgauss/test_isserlis.py",
    "symgauss/test_master.py",
    "symgauss/test_random_activations.py",
)


def modules(root: Path = ROOT, only: Sequence[str] = ()) -> list[str]:
    """The files that are mutated, relative to the root: all, or those at or below the paths `only`."""
    found = (path.relative_to(root).as_posix() for package in PACKAGES for path in (root / package).rglob("*.py"))
    chosen = [path.rstrip("/") for path in only]
    return sorted(
        path
        for path in found
        if not path.startswith(LEFT_OUT)
        and Path(path).name != "__init__.py"
        and (not chosen or any(path == c or path.startswith(f"{c}/") for c in chosen))
    )


def suite(module: str, root: Path = ROOT) -> list[str]:
    """The test files for a module, in the order in which they are run."""
    if module.startswith(SIMULATED):
        return [SIMULATOR]
    folder = root / "tests" / Path(module).parts[0]
    every = sorted(f"{folder.name}/{path.name}" for path in folder.glob("test_*.py"))
    mirrored = f"{folder.name}/test_{Path(module).stem}.py"
    first = next((files for start, files in FIRST.items() if module.startswith(start)), (mirrored,))
    order = [*(t for t in first if t in every), *(t for t in every if t not in LAST), *(t for t in LAST if t in every)]
    return [f"tests/{test}" for test in dict.fromkeys(order)]
