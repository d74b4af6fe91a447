#include "tools/speed/machine_rates.hpp"

#include <numeric>

#include "ops/cpu/dispatch.hpp"

namespace ffmem::tools {

MachineRates mean(const MachineRates& a, const MachineRates& b) noexcept {
  return {.f32_flops = std::midpoint(a.f32_flops, b.f32_flops),
          .layer_flops = std::midpoint(a.layer_flops, b.layer_flops),
          .head_flops = std::midpoint(a.head_flops, b.head_flops),
          .read_bytes = std::midpoint(a.read_bytes, b.read_bytes)};
}

RateProbe::RateProbe(WeightMode mode, int n_threads)
    : mode_(mode), n_threads_(n_threads), isa_(choose_kernels({}).isa), reads_(n_threads) {}

MachineRates RateProbe::measure() const {
  MachineRates rates;
  rates.read_bytes = reads_.bytes_per_second();
  rates.f32_flops = flops_per_second(isa_, WeightFormat::f32, n_threads_);
  const auto flops = [&](WeightFormat format) {
    return multiplies_as_f32(isa_, format) ? rates.f32_flops : flops_per_second(isa_, format, n_threads_);
  };
  rates.layer_flops = flops(layer_format(mode_));
  rates.head_flops = head_format(mode_) == layer_format(mode_) ? rates.layer_flops : flops(head_format(mode_));
  return rates;
}

}  // namespace ffmem::tools
