// exp and the normal distribution function on vectors. Relative errors where results are normal numbers: exp 1.1e-7, the other
// 5e-7, without fused multiply-add up to 4e-6 far below 0. xsimd's own exp and erfc are right too, but take twice as long:
// version 8 does not fuse on AVX-512, and erfc computes two branches.
//
// Coefficients by fit_functions.py.
#pragma once

#include <limits>

#include "ops/cpu/kernels/simd.hpp"

namespace ffmem::kernels {

/// c0 + c1 x + c2 x² + ...
template <class Arch>
Vec<Arch> polynomial(const Vec<Arch>& /*x*/, float c0) noexcept {
  return Vec<Arch>(c0);
}
template <class Arch, class... Floats>
Vec<Arch> polynomial(const Vec<Arch>& x, float c0, Floats... higher) noexcept {
  return fma<Arch>(polynomial<Arch>(x, higher...), x, Vec<Arch>(c0));
}

/// eˣ; 0 where that is below 2^-126, infinity where it is above 2^127.5. NaN stays NaN.
template <class Arch>
Vec<Arch> exp(const Vec<Arch>& x) noexcept {
  using V = Vec<Arch>;
  // x = n ln 2 + r, |r| <= ln 2 / 2, with ln 2 in two parts, of which n times the first is exact.
  const V n = xsimd::nearbyint(x * V(1.44269504F));
  const V r = fma<Arch>(n, V(2.12194440e-4F), fma<Arch>(n, V(-0.693359375F), x));
  const V power = polynomial<Arch>(r, 1.0F, 1.0F, 0.49999991059303284F, 0.16666419804096222F, 0.04166822507977486F,
                                   0.008374824188649654F, 0.0013836835278198123F);
  const V result = xsimd::select(x < V(-87.3365F), V(0.0F), xsimd::ldexp(power, xsimd::to_int(n)));
  return xsimd::select(x > V(88.376F), V(std::numeric_limits<float>::infinity()), result);
}

/// sum + eˣ for x <= 0 or NaN, in fewer steps than exp, for many. eˣ is right to 2e-7 + 2e-8 |x| relative (1e-7 |x|
/// without fused multiply-add), exact at 0, and from -84 down e^-84.
template <class Arch>
Vec<Arch> add_exp(const Vec<Arch>& sum, const Vec<Arch>& x) noexcept {
  using V = Vec<Arch>;
  using I = xsimd::batch<std::int32_t, Arch>;
  // x log2(e) = n + r, |r| <= 1/2. Added to `round`, a number is rounded to an integer that stands in the sum's last bits; with
  // 127 more these are the exponent of 2^n.
  const V round(0x1.8p23F + 127.0F);
  const V bounded = xsimd::max(V(-84.0F), x);  // of NaN and a number x86's max takes the second
  const V shifted = fma<Arch>(bounded, V(1.44269504F), round);
  const V r = fma<Arch>(bounded, V(1.44269504F), round - shifted);
  const V power = polynomial<Arch>(r, 1.0F, 0.6931471228599548F, 0.24022351205348969F, 0.05550500378012657F,
                                   0.00966624729335308F, 0.0013333538081496954F);
  const I exponent = I(__builtin_bit_cast(typename I::register_type, shifted.data)) << 23;
  return fma<Arch>(power, V(__builtin_bit_cast(typename V::register_type, exponent.data)), sum);
}

/// Φ(u), the probability of a standard normal value below u, without cancellation for negative u.
template <class Arch>
Vec<Arch> normal_cdf(const Vec<Arch>& u) noexcept {
  using V = Vec<Arch>;
  // 1 - Φ(a) = t R(t) exp(-a²/2), t = 1 / (1 + a/4), a = |u|; from 14 on it is 0 in float32.
  const V magnitude = xsimd::abs(u);
  const V a = xsimd::select(magnitude > V(14.0F), V(14.0F), magnitude);
  const V t = divide<Arch>(V(1.0F), fma<Arch>(a, V(0.25F), V(1.0F)));
  const V r = polynomial<Arch>(t, 0.09975060075521469F, 0.09944377094507217F, 0.09589526802301407F, 0.07033109664916992F,
                               0.09122809022665024F, 0.004602947738021612F, 0.03776364028453827F, 0.0449315570294857F,
                               -0.06003528833389282F, 0.016088316217064857F);
  const V square = a * a;
  const V rounding = fma<Arch>(a, a, -square);  // exp(-(square + rounding)/2) = e (1 - rounding/2)
  const V e = exp<Arch>(V(-0.5F) * square);
  const V tail = t * r * fma<Arch>(e, V(-0.5F) * rounding, e);
  return xsimd::select(u < V(0.0F), tail, V(1.0F) - tail);
}

}  // namespace ffmem::kernels
