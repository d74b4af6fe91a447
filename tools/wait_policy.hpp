// How long OpenMP's threads spin when they wait for each other.
#pragma once

namespace ffmem::tools {

/// libgomp lets a waiting thread spin for milliseconds before it sleeps, which is ruinous where other programs want the cores:
/// each barrier then costs a time slice. It reads its environment when it is loaded, so this starts the program again in place
/// with a shorter time, once, and returns where that is done, can't be done, or the user has chosen (OMP_WAIT_POLICY,
/// GOMP_SPINCOUNT).
void limit_spinning(char** argv) noexcept;

}  // namespace ffmem::tools
