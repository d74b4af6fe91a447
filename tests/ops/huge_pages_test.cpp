// Memory for weights: zeros, aligned, a buffer's own.
#include "ops/huge_pages.hpp"

#include <algorithm>
#include <cstdint>
#include <latch>
#include <limits>
#include <new>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "support.hpp"

namespace ffmem {
namespace {

std::span<float> all(const AlignedBuffer& buffer) { return {buffer.data(), buffer.size()}; }

bool holds_only(const AlignedBuffer& buffer, float value) {
  return std::ranges::all_of(all(buffer), [value](float x) { return x == value; });
}

// Floats of a quarter, just over a half and more than all of what is reserved at a time.
constexpr std::size_t kSizes[] = {1, 17, std::size_t{4} << 20, (std::size_t{8} << 20) + 1, std::size_t{20} << 20, 0, 5};

TEST_CASE("buffers in huge pages begin at a cache line and hold zeros") {
  std::vector<AlignedBuffer> buffers;
  for (const std::size_t n : kSizes) {
    buffers.push_back(in_huge_pages(n));
    CHECK(buffers.back().size() == n);
    CHECK(reinterpret_cast<std::uintptr_t>(buffers.back().data()) % 64 == 0);
    CHECK(holds_only(buffers.back(), 0.0F));
    std::ranges::fill(all(buffers.back()), 1.0F);
  }
}

TEST_CASE("buffers in huge pages: what no memory could hold is bad_alloc, not a number that wrapped around") {
  const std::size_t most = std::numeric_limits<std::size_t>::max();
  for (const std::size_t n : {most, most / 4, most / 4 + 1, std::size_t{1} << 62}) {
    CHECK_THROWS_AS(in_huge_pages(n), std::bad_alloc);
  }
}

TEST_CASE("a buffer in huge pages keeps its numbers when its neighbours are written and go") {
  std::vector<std::optional<AlignedBuffer>> buffers;
  for (const std::size_t n : kSizes) {
    buffers.emplace_back(in_huge_pages(n));
    std::ranges::fill(all(*buffers.back()), static_cast<float>(buffers.size()));
  }
  for (std::size_t i = 0; i < buffers.size(); i += 2) buffers[i].reset();
  for (std::size_t i = 1; i < buffers.size(); i += 2) CHECK(holds_only(*buffers[i], static_cast<float>(i + 1)));
  const AlignedBuffer after = in_huge_pages(1000);
  CHECK(holds_only(after, 0.0F));
}

// How many of the buffers that threads take at once begin before the end of another.
std::size_t n_overlaps_of_threads() {
  constexpr std::size_t kThreads = 4;
  constexpr std::size_t kBuffers = 30'000;
  std::vector<std::vector<AlignedBuffer>> buffers(kThreads);
  {
    std::latch all_there(kThreads);
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        buffers[i].reserve(kBuffers);
        all_there.arrive_and_wait();
        for (std::size_t n = 0; n < kBuffers; ++n) buffers[i].push_back(in_huge_pages(16));
      });
    }
  }
  std::vector<std::uintptr_t> begins;
  for (const auto& of_thread : buffers) {
    for (const AlignedBuffer& buffer : of_thread) begins.push_back(reinterpret_cast<std::uintptr_t>(buffer.data()));
  }
  std::ranges::sort(begins);
  std::size_t n = 0;
  for (std::size_t i = 1; i < begins.size(); ++i) n += begins[i] - begins[i - 1] < 16 * sizeof(float) ? 1 : 0;
  return n;
}

TEST_CASE("buffers in huge pages that several threads take at once do not overlap") {
  // Many rounds: on a busy machine the threads of one may well run one after the other.
  for (int round = 0; round < 20; ++round) REQUIRE(n_overlaps_of_threads() == 0);
}

}  // namespace
}  // namespace ffmem
