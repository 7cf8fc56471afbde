"""Moments of a decaying exponential on a half-line, by which ELU's relatives and tails are evaluated.

For y = μ + sZ, t = y − c, u = (μ − c)/s and a = λs > 0,

    P_k = E[e^{λt} 1{t < 0} He_k(Z)]    and    R_k = E[(t/s) e^{λt} 1{t < 0} He_k(Z)],    v = u + a.

Two forms, each used where its terms do not cancel (our derivation; Stein's identity and T_k of `special`):

    by a    P_0 = e^{λ(μ−c) + a²/2} Φ(−v),  P_k = a P_{k−1} − Φ^(k)(u)
            R_0 = v P_0 − φ(u),             R_k = a R_{k−1} + P_{k−1}
    by τ    t = −sτ: P_k = (−1)^k φ(u) ∫ He_k(u + τ) e^{−vτ − τ²/2} dτ, with He_k(u + τ) expanded in powers of τ

Where a and −u are large and near each other, the terms of either form nearly cancel, and what rounding did to
u, a and λ(μ−c) shows, magnified by u² or a². So `slip` and `tilt_rest`, the exact remainders of these quotients
and products, correct Φ, φ and P_0.

The second is for v > 0, where the breakpoint cuts off the middle of the tilted Gaussian; φ(u) is its largest
factor, and the integrals of τ^i/i! are the T_i(v) of `scaled_ladder`.
"""

from typing import Any

from numeric.jit import device
from numeric.special import INV_SQRT_2PI, Phi_phi, exp_tilted, expm1, gauss, product_rest, scaled_ladder

ORDER = 8
# Gauss-Legendre on [0, 1]: an interval of at most one standard deviation needs no more
NODES = (0.019855071751231884, 0.10166676129318664, 0.2372337950418355, 0.4082826787521751)
WEIGHTS = (0.05061426814518813, 0.11119051722668724, 0.15685332293894363, 0.18134189168918100)


@device
def Phi_between(u, a):
    """Φ(u + a) − Φ(u) for 0 ≤ a ≤ 1, without cancellation around u = 0; 2 ε of itself for |u| ≤ 2, of 1 beyond."""
    total = 0.0
    total += WEIGHTS[0] * (gauss(u + a * NODES[0]) + gauss(u + a * (1.0 - NODES[0])))
    total += WEIGHTS[1] * (gauss(u + a * NODES[1]) + gauss(u + a * (1.0 - NODES[1])))
    total += WEIGHTS[2] * (gauss(u + a * NODES[2]) + gauss(u + a * (1.0 - NODES[2])))
    total += WEIGHTS[3] * (gauss(u + a * NODES[3]) + gauss(u + a * (1.0 - NODES[3])))
    return INV_SQRT_2PI * a * total


@device
def tilt_rest(rate, rate_low, shifted, sigma):
    """The relative error of e^{λx + λ²σ²/2} from rounding λ = rate + rate_low, λx and λσ."""
    a = rate * sigma
    return product_rest(rate, shifted) + a * product_rest(rate, sigma) + rate_low * (shifted + a * sigma)


@device
def half_line_less_one(u, shift, a):
    """E[(e^{λt} − 1) 1{t < 0}] for a ≤ 1, with shift = λ(μ − c); 3 ε of E|λt|, and of itself for u ≤ 0."""
    # where the exponential overflows, the probability is 0
    return expm1(min(shift + 0.5 * a * a, 700.0)) * Phi_phi(-(u + a))[0] - Phi_between(u, a)


def _written_out(name: str, shift: int, order: int) -> str:
    """P_0 … P_order (shift 0) or R_0 … R_order (shift 1) as straight-line code."""
    lines = [
        f"def {name}(u, density, free_u, shift, a, rest):",
        "    v = free_u + a",
        "    p0 = exp_tilted(shift, a)*Phi_phi(-v)[0]*(1.0 + rest)",
        "    d1 = density",
        "    d2 = -u*d1",
        *(f"    d{m + 1} = -u*d{m} - {m - 1}*d{m - 1}" for m in range(2, order)),
        *(f"    p{k} = a*p{k - 1} - d{k}" for k in range(1, order + 1)),
        "    r0 = v*p0 - density",
        *(f"    r{k} = a*r{k - 1} + p{k - 1}" for k in range(1, order + 1)),
        f"    {', '.join(f't{i}' for i in range(order + 2))} = scaled_ladder(max(v, 0.0))[:{order + 2}]",
        # w_{k}_{i} = φ(u) ∫ τ^i He_k(u + τ) e^{−vτ − τ²/2} dτ, by He_{k+1}(x) = x He_k(x) − k He_{k−1}(x)
        *(f"    w0_{i} = {_factorial(i)}.0*density*t{i}" for i in range(order + 2)),
    ]
    for k in range(order):
        for i in range(order + 1 - k):
            last = f" - {k}*w{k - 1}_{i}" if k else ""
            lines.append(f"    w{k + 1}_{i} = w{k}_{i + 1} + u*w{k}_{i}{last}")
    lines.append("    by_tau = v > 0.0")
    letter, sign = ("r", -1) if shift else ("p", 1)
    values = []
    for k in range(order + 1):
        minus = "-" if sign * (-1) ** k < 0 else ""
        values.append(f"{minus}w{k}_{shift} if by_tau else {letter}{k}")
    lines.append(f"    return {', '.join(values)}")
    return "\n".join(lines)


def _factorial(i: int) -> int:
    return 1 if i < 2 else i * _factorial(i - 1)


def _compile(name: str, shift: int, order: int, about: str) -> Any:
    scope = {"Phi_phi": Phi_phi, "exp_tilted": exp_tilted, "scaled_ladder": scaled_ladder}
    exec(_written_out(name, shift, order), scope)
    function = scope[name]
    function.__doc__ = about
    return device(function)


_ABOUT = "{0}_0, …, {0}_{1}; u within ±40, density φ(u), `free_u` u itself, shift λ(μ−c), and `rest` from `tilt_rest`."
half_line = _compile("half_line", 0, ORDER, _ABOUT.format("P", ORDER))
half_line_times_t = _compile("half_line_times_t", 1, ORDER, _ABOUT.format("R", ORDER))
# Short versions for the orders that layers need, because inlining the long ones is what takes the compiler's time
half_line_2 = _compile("half_line_2", 0, 2, _ABOUT.format("P", 2))
half_line_times_t_2 = _compile("half_line_times_t_2", 1, 2, _ABOUT.format("R", 2))
