// The plain, single-threaded version of every operator: the definition that the fast backends are tested against.
#pragma once

#include <memory>

#include "ops/backend.hpp"

namespace ffmem {

std::shared_ptr<const Backend> make_scalar_backend();

}  // namespace ffmem
