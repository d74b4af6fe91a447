// What the machine gives at one time: other programs, neighbours on a shared host and the clock change it within seconds. Rates
// from directly before and after a run are what the run can be compared with.
#pragma once

#include <string>

#include "runtime/weight_mode.hpp"
#include "tools/speed/machine_peaks.hpp"

namespace ffmem::tools {

/// Multiplications and additions per second, and bytes per second, that threads with nothing else to do reach.
struct MachineRates {
  double f32_flops = 0.0;
  double layer_flops = 0.0;  // of products by weights as the layers hold them
  double head_flops = 0.0;
  double read_bytes = 0.0;
};

/// The mean of each.
MachineRates mean(const MachineRates& a, const MachineRates& b) noexcept;

/// Measures them, with as many threads as a model of that mode runs with. Holds memory to read: 256 MiB, or 64 MiB a thread if
/// that is more. Not for several host threads at once.
class RateProbe {
 public:
  RateProbe(WeightMode mode, int n_threads);

  /// Takes about 20 ms for each kind of multiply-add that the mode needs, and 30 ms for reading.
  MachineRates measure() const;

 private:
  WeightMode mode_;
  int n_threads_;
  std::string isa_;
  ReadProbe reads_;
};

}  // namespace ffmem::tools
