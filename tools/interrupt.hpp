// Ctrl-C and SIGTERM as something long work can ask for, so that it stops at a clean place.
#pragma once

namespace ffmem::tools {

/// From now on SIGINT and SIGTERM set a flag; a second one ends the program at once.
void catch_interrupts();

bool interrupted() noexcept;

/// Throws Error(interrupted) if the flag is set.
void throw_if_interrupted();

}  // namespace ffmem::tools
