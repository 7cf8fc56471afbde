"""How the covariance of two factors is written in `mu_1`, `sigma_1`, `mu_2`, `sigma_2` and `rho`.

`Tilt` is what exponential factors do to the Gaussian pair, `Law` puts the coefficients that the gates leave next to
Φ₂ and the densities.
"""

import sympy
from sympy import Add, Expr, Matrix, Mul, S, exp, sqrt

from symgauss.gates import Coefficients, Factor, Pair, c, m1, m2, v1, v2, w1, w2, w12
from symgauss.symbols import Phi, Phi2, mu_1, mu_2, phi, rho, sigma_1, sigma_2


class Tilt:
    """What e^{a·y − yᵀQy/2} makes of N(mu, Σ): the Gaussian N(G(mu + Σa), GΣ), G = (1 + ΣQ)⁻¹, times

    √det G · exp(a·G mu + a·GΣa/2 − mu·QG mu/2).
    """

    def __init__(self, first: Factor, second: Factor) -> None:
        p, q = first.quadratic, second.quadratic
        mean, push, curve = Matrix([mu_1, mu_2]), Matrix([first.linear, second.linear]), sympy.diag(p, q)
        both = rho * sigma_1 * sigma_2
        covariance = Matrix([[sigma_1**2, both], [both, sigma_2**2]])
        area = sigma_1**2 * sigma_2**2 * (1 - rho**2)
        self.straight = p == 0 and q == 0
        # D = det(1 + ΣQ); everything else is over D.
        self.determinant = 1 + p * sigma_1**2 + q * sigma_2**2 + p * q * area
        shrink = (sympy.eye(2) + covariance * curve).adjugate()
        means = shrink * (mean + covariance * push)
        twice = 2 * push.T * shrink * mean + push.T * shrink * covariance * push - mean.T * curve * shrink * mean
        self.exponent = sympy.expand(sympy.expand(twice[0]) / 2)
        if not self.straight:
            self.exponent = sympy.expand(twice[0]) / (2 * self.determinant)
        self.sizes, self.area = (sigma_1**2 + q * area, sigma_2**2 + p * area), area
        over = 1 / self.determinant
        self.put_in = dict(zip((m1, m2, v1, v2, c), (over * e for e in (*means, *self.sizes, both))))

    @property
    def weight(self) -> Expr:
        """The factor that is left."""
        return exp(self.exponent) / sqrt(self.determinant)

    def value(self, coefficient: Expr) -> Expr:
        """A rational function of means, variances and covariance of the tilted Gaussian, factored."""
        return sympy.factor(coefficient.xreplace(self.put_in))


class Law:
    """Φ₂ and the densities of a pair of gates in `mu_1`, …, `rho`, written so that (mu_1 − c)/sigma_1 stays in view."""

    def __init__(self, pair: Pair) -> None:
        self.pair, self.factors = pair, pair.factors
        f, g = pair.factors
        self.tilt = tilt = Tilt(f, g)
        root = sqrt(tilt.determinant)
        self.norms = tuple(
            _root(k.slope**2 * v + k.noise * tilt.determinant) / root for k, v in zip(self.factors, tilt.sizes)
        )
        mixed = f.noise * g.slope**2 * tilt.sizes[1] + g.noise * f.slope**2 * tilt.sizes[0]
        noise = f.noise * g.noise * tilt.determinant
        # √(V₁V₂ − (α₁α₂c)²), with 1 − rho² in one piece
        self.area = _root(noise + mixed + f.slope**2 * g.slope**2 * tilt.area) / root
        self.inverses = {w1: self.norms[0] ** -2, w2: self.norms[1] ** -2, w12: self.area**-2}
        self.correlation = tilt.put_in[c] * f.slope * g.slope / self.norms[0] / self.norms[1]

    def written(self, found: Coefficients) -> Expr:
        """P F + P₁ F₁ + P₂ F₂ + P₁₂ F₁₂."""
        gated = [i for i, factor in enumerate(self.factors) if factor.gated]
        value, weight = self.value, self.tilt.weight
        if not gated:
            return _product(value(found.total), weight)
        if len(gated) == 1:
            (i,) = gated
            density = _product(value(found[1 + i]) / self.norms[i], self.at_edge(i))
            return _product(value(found.total), weight, Phi(self.argument(i))) + density
        return (
            _product(value(found.total), weight, Phi2(self.argument(0), self.argument(1), self.correlation))
            + _product(value(found.at_1) / self.norms[0], self.at_edge(0), Phi(self.conditional(0)))
            + _product(value(found.at_2) / self.norms[1], self.at_edge(1), Phi(self.conditional(1)))
            + _product(self.corner_coefficient(found.at_both), self.at_corner())
        )

    def value(self, coefficient: Expr) -> Expr:
        """A coefficient in `mu_1`, …, `rho`."""
        return self.tilt.value(coefficient).xreplace(self.inverses)

    def argument(self, i: int) -> Expr:
        """hᵢ = E Tᵢ/√Vᵢ."""
        return self._affine(self.pair.means[i], self.norms[i])

    def conditional(self, i: int) -> Expr:
        """E/√Var of the other T given Tᵢ = 0; (k − rh)/√(1 − r²) for two steps."""
        pair = self.pair
        mean = pair.means[1 - i] - pair.covariance / pair.variances[i] * pair.means[i]
        if not (self.tilt.straight and self._is_step(0) and self._is_step(1)):
            return self._affine(mean, self.area / self.norms[i])
        other, root = self.factors[1 - i], sqrt(1 - rho**2)
        h, k = (self.factors[j].slope * self._distance(j) for j in (i, 1 - i))
        return (k - self.correlation * h) / root + other.slope * other.linear * self._sigma(1 - i) * root

    def at_edge(self, i: int) -> Expr:
        """weight · φ(hᵢ); for a step at c, what the tilt does next to the density of y at c, times that density."""
        if not (self.tilt.straight and self._is_step(i)):
            return self.tilt.weight * phi(self.argument(i))
        own, a = self.factors[i], self.factors[1 - i].linear
        mean, sigma = ((mu_2, sigma_2), (mu_1, sigma_1))[i]
        exponent = a * (mean - rho * sigma * self._distance(i)) + a**2 * sigma**2 * (1 - rho**2) / 2
        return exp(own.linear * own.point + sympy.expand(exponent)) * phi(self._distance(i))

    def at_corner(self) -> Expr:
        """weight · φ(h) φ((k − rh)/√(1 − r²))."""
        if self.tilt.straight and self._is_step(0) and self._is_step(1):
            to = (self._distance(1) - rho * self._distance(0)) / sqrt(1 - rho**2)
            linear = Add(*(factor.linear * factor.point for factor in self.factors))
            return exp(linear) * phi(self._distance(0)) * phi(to)
        i = 1 if self._is_step(1) else 0
        return self.at_edge(i) * phi(self.conditional(i))

    def corner_coefficient(self, at_both: Expr) -> Expr:
        """P₁₂/√(V₁V₂ − (α₁α₂c)²); for two steps, the square of the root divides P₁₂."""
        pair = self.pair
        if not (self._is_step(0) and self._is_step(1)):
            return self.value(at_both) / self.area
        quotient = sympy.cancel(at_both / (pair.variances[0] * pair.variances[1] - pair.covariance**2))
        return self.value(quotient) * self.area

    def _affine(self, mean: Expr, norm: Expr) -> Expr:
        """mean/norm, with what the tilt adds to the mean written apart."""
        if not self.tilt.straight:
            return self.tilt.value(mean) / norm
        still = {**self.tilt.put_in, m1: mu_1, m2: mu_2}
        shift = Add(*(mean.diff(m) * (self.tilt.put_in[m] - still[m]) for m in (m1, m2)))
        return mean.xreplace(still) / norm + sympy.factor(shift.xreplace(still)) / norm

    def _is_step(self, i: int) -> bool:
        return self.factors[i].noise == 0

    def _sigma(self, i: int) -> Expr:
        return (sigma_1, sigma_2)[i]

    def _distance(self, i: int) -> Expr:
        """(mu − c)/sigma for a step at c."""
        return ((mu_1, mu_2)[i] - self.factors[i].point) / self._sigma(i)


def _root(value: Expr) -> Expr:
    return sqrt(sympy.factor_terms(value))


def _product(coefficient: Expr, *others: Expr) -> Expr:
    """The product with its sign in front: SymPy writes −(a + b) as −a − b unless a third factor stands by."""
    if coefficient == 0:
        return S.Zero
    factors = list(Mul.make_args(coefficient))
    sign = S.One
    for i, factor in enumerate(factors):
        if factor.is_Add and 2 * sum(a.could_extract_minus_sign() for a in factor.args) > len(factor.args):
            sign, factors[i] = -sign, -factor
    return Mul(sign, *factors, *others)
