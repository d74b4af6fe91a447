// Ctrl-C, SIGTERM and a closed terminal as something long work can ask for, so that it stops at a clean place.
#pragma once

namespace ffmem::tools {

/// The exit code of a program that was interrupted, as a shell gives it for SIGINT.
inline constexpr int kInterruptedExit = 130;

/// From now on SIGINT, SIGTERM and SIGHUP, those of them that are not ignored, set a flag; a second Ctrl-C (SIGINT, more than
/// 0.2 s after the first) ends the program at once.
void catch_interrupts();

bool interrupted() noexcept;

/// Throws Error(interrupted) if the flag is set.
void throw_if_interrupted();

}  // namespace ffmem::tools
