// What a call throws, for tests of error codes and messages.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <utility>

#include "ops/error.hpp"

namespace ffmem {

/// The Error that `call` throws; fails the test if it throws none.
template <class Call>
Error thrown(Call&& call) {
  try {
    std::forward<Call>(call)();
  } catch (const Error& e) {
    return e;
  }
  FAIL("expected an Error, found none");
  return Error(ErrorCode::argument_invalid, "");
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace ffmem
