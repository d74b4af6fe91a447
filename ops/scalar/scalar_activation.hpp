// Each activation's formula in double precision: the definition the fast kernels are tested against.
#pragma once

#include "ops/activation.hpp"

namespace ffmem {

/// f(x); NaN stays NaN.
double activation_value(Activation activation, double x) noexcept;

}  // namespace ffmem
