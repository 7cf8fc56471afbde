"""The three conditions that make a formula the Gaussian mean of σ, each checked on the formula itself.

Theorem (our derivation: the heat-equation certificate). Let M be smooth on ℝ × (0, S) with
∂M/∂sigma = sigma ∂²M/∂mu², |M| ≤ A e^{a mu²} uniformly in 0 < sigma ≤ S, and M → σ almost everywhere as
sigma → 0+. Then M(mu, sigma) = E σ(mu + sigma Z). (Tychonoff's uniqueness theorem from sigma = δ on, then
δ → 0; analyticity in sigma does the rest.)

The formula is read in normal form, Σ c e^E Π Φ(u). The whitelist that makes it smooth: c, E and u are built
from polynomials, square roots of 1 + q sigma² and denominators sigma and 1 + q sigma², q > 0. Every check
raises `Outside` with the reason when it cannot be carried through; it never guesses.
"""

from sympy import Add, Expr, Integer, Mul, Poly, S, cancel, exp, oo

from symgauss.normal import Key, Reader, is_zero
from symgauss.pieces import NoClosedForm, Order, pieces
from symgauss.record import Activation
from symgauss.surds import Outside, Surd
from symgauss.symbols import Phi, mu, sigma, x


class MeanForm:
    """A claimed mean in normal form; making one checks that it is on the whitelist."""

    def __init__(self, mean: Expr) -> None:
        self.mean = mean
        self.reader = Reader([mean])
        self.terms = self.reader.form(mean)
        for key, coefficient in self.terms.items():
            for surd in (coefficient, key.exponent, *(self.argument(gate) for gate in key.atoms)):
                for factor in surd.denominators() - {sigma}:
                    _require_one_plus_square(factor, "the denominator")
        for radicand in self.reader.surds.radicands[1:]:
            _require_one_plus_square(radicand.as_expr(), "the root of")

    def argument(self, gate: Expr) -> Surd:
        return self.reader.surd(gate.args[0])

    def check_heat_equation(self) -> None:
        """∂M/∂sigma = sigma ∂²M/∂mu²."""
        if not is_zero(heat_residual(self.mean)):
            raise Outside("a difference remains")

    def check_growth(self) -> None:
        """|M| ≤ A e^{a mu²} uniformly as sigma → 0+.

        A factor exp(−p (mu − c)²/(2 sigma²)) is e^{−pz²/2} in z = (mu − c)/sigma, so powers of z are harmless
        next to it: put mu = c + sigma z into the coefficient and see that no 1/sigma is left. (A dipole
        ∂/∂mu of the heat kernel keeps 1/sigma².) A term without such a factor must have no 1/sigma at all.
        The imaginary part of an exponent has no say here: |e^{iθ}| = 1.
        """
        surds = self.reader.surds
        for key, coefficient in self.terms.items():
            center = self.center(key)
            if center is not None:
                coefficient = coefficient.at_mu(self.reader.surd(center) + surds.sigma * surds.mu)
            if coefficient.pole():
                where = "" if center is None else f" at mu = {center}"
                raise Outside(f"sigma**(-{coefficient.pole()}) remains{where}")

    def center(self, key: Key) -> Expr | None:
        """c, when e^E holds a factor exp(−p (mu − c)²/(2 sigma²)), p > 0; None when E has no pole."""
        real = key.exponent.real()
        coefficients = real.coefficients()
        if len(coefficients) > 3:
            raise Outside(f"exp of degree {len(coefficients) - 1} in mu")
        if not real.pole():
            return None
        if real.pole() > 2:
            raise Outside(f"exp({real.as_expr()}), more singular than a heat kernel")
        square = self.reader.surds.sigma**2
        singular = [(c * square).at_zero_sigma() for c in coefficients]
        principal = sum((self.reader.surd(a * mu**k) for k, a in enumerate(singular)), self.reader.surds.zero)
        if (real - principal / square).pole():
            raise Outside(f"exp({real.as_expr()}), with an odd singularity at sigma = 0")
        a0, a1, a2 = (*singular, S.Zero, S.Zero)[:3]
        if not a2.is_negative or not is_zero(a1**2 - 4 * a0 * a2):
            raise Outside(f"exp({real.as_expr()}) is no heat kernel exp(-p*(mu - c)**2/(2*sigma**2))")
        return -a1 / (2 * a2)

    def check_initial_value(self, act: Activation) -> None:
        """M → σ as sigma → 0+, on every interval between the points where either side changes."""
        order = Order(act.conditions)
        # A term with a heat kernel in it vanishes off one point.
        regular = {key: c for key, c in self.terms.items() if self.center(key) is None}
        if any(c.pole() for c in regular.values()):
            raise Outside("a negative power of sigma has no limit")
        if any(key.exponent.pole() for key in regular):
            raise Outside("an oscillation has no limit as sigma → 0+")
        switches = {gate: self.switch(gate) for key in regular for gate in key.atoms}
        try:
            split = pieces(act.formula, act.conditions)
            points = order.merge(split.breakpoints, order.sort(c for _, c in switches.values() if c is not None))
        except NoClosedForm as reason:
            raise Outside(str(reason)) from None

        def is_left(point: Expr, interval: int) -> bool:
            return any(order.same(point, p) for p in points[:interval])

        for i in range(len(points) + 1):
            gates = {
                gate: height if point is None else Phi(height * (oo if is_left(point, i) else -oo))
                for gate, (height, point) in switches.items()
            }
            limit = Add(*(_limit(key, c, gates) for key, c in regular.items()))
            smooth = split.smooth[sum(is_left(b, i) for b in split.breakpoints)].xreplace({x: mu})
            if not is_zero(limit - smooth):
                lower, upper = (-oo, *points)[i], (*points, oo)[i]
                found, wanted = limit.xreplace({mu: x}), smooth.xreplace({mu: x})
                raise Outside(f"M → {found} for {lower} < x < {upper}, but the activation is {wanted} there")

    def switch(self, gate: Expr) -> tuple[Expr, Expr | None]:
        """How Φ(u) behaves as sigma → 0+: (its limit, None), or (±1, c) for a step up or down at mu = c."""
        argument = self.argument(gate)
        if not argument.pole():
            return Phi(argument.at_zero_sigma()), None
        leading = [(c * self.reader.surds.sigma ** argument.pole()).at_zero_sigma() for c in argument.coefficients()]
        a0, a1, *higher = (*leading, S.Zero)[: max(2, len(leading))]
        if any(higher):
            raise Outside(f"{gate} switches where a polynomial of degree > 1 vanishes")
        slope = _sign(a1)
        if slope == 0:
            if _sign(a0) == 0:
                raise Outside(f"the limit of {gate}")
            return Phi(_sign(a0) * oo), None
        return Integer(slope), cancel(-a0 / a1)


def heat_residual(mean: Expr) -> Expr:
    """∂M/∂sigma − sigma ∂²M/∂mu²."""
    return mean.diff(sigma) - sigma * mean.diff(mu, 2)


def _limit(key: Key, coefficient: Surd, gates: dict[Expr, Expr]) -> Expr:
    """The value of a regular term at sigma = 0, given the limits of its Φs."""
    smooth = coefficient.at_zero_sigma() * exp(key.exponent.at_zero_sigma())
    return Mul(smooth, *(gates[gate] for gate in key.atoms))


def _sign(value: Expr) -> int:
    if value.is_zero:
        return 0
    if value.is_positive or value.is_negative:
        return 1 if value.is_positive else -1
    raise Outside(f"the sign of {value} is not known")


def _require_one_plus_square(factor: Expr, what: str) -> None:
    """Only c₀ + c₂ sigma² with c₀ > 0, c₂ ≥ 0 (or a constant) is smooth, and not zero, for all sigma ≥ 0."""
    if not factor.has(mu, sigma):
        return
    polynomial = Poly(factor, sigma)
    coefficients = {m[0]: c for m, c in polynomial.terms()}
    if (
        factor.has(mu)
        or set(coefficients) != {0, 2}
        or not coefficients[0].is_positive
        or not coefficients[2].is_nonnegative
    ):
        raise Outside(f"{what} {factor}; only sigma and 1 + q*sigma**2 with q > 0 are allowed")
