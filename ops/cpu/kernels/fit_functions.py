"""Prints the coefficients in functions.hpp: polynomials of least relative error, by Lawson's reweighted least squares."""
import math

import numpy as np


def fit(f, low, high, degree):
    x = np.cos(np.pi * (np.arange(4000) + 0.5) / 4000) * (high - low) / 2 + (low + high) / 2
    y = np.array([f(v) for v in x])
    relative = np.polynomial.chebyshev.chebvander((2 * x - low - high) / (high - low), degree) / y[:, None]
    weights = np.ones(len(x)) / len(x)
    for _ in range(200):
        root = np.sqrt(weights)
        c = np.linalg.lstsq(relative * root[:, None], root, rcond=None)[0]
        error = abs(relative @ c - 1)
        weights *= error + 1e-300
        weights /= weights.sum()
    inner = np.polynomial.Polynomial([-(low + high) / (high - low), 2 / (high - low)])
    powers = np.polynomial.Polynomial(np.polynomial.chebyshev.cheb2poly(c))(inner)
    return powers.coef, error.max()


def scaled_tail(t):
    """(1 - Phi(u)) exp(u^2 / 2) / t for t = 1 / (1 + u / 4)."""
    u = 4 * (1 / t - 1)
    return math.erfc(u / math.sqrt(2)) / 2 * math.exp(u * u / 2) / t


for name, (coefficients, error) in {
    "exp, |r| <= ln 2 / 2": fit(math.exp, -0.34661, 0.34661, 6),
    "(2^r - 1) / r, |r| <= 1/2": fit(lambda r: math.expm1(r * math.log(2)) / r, -0.50001, 0.50001, 4),
    "scaled tail, 0 <= u <= 13.3": fit(scaled_tail, 1 / (1 + 13.3 / 4), 1.0, 9),
}.items():
    print(f"{name}: relative error {error:.1e}")
    print("  ", ", ".join(repr(float(np.float32(v))) + "F" for v in coefficients))
