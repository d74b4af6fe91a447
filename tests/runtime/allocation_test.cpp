// "Nothing is allocated per token": counts what comes out of operator new while a session goes on. Replaces it for the whole
// test program; AlignedBuffer is seen by what owns its memory.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <new>
#include <string>

#include "ops/rounding.hpp"
#include "runtime/session.hpp"

namespace {
std::atomic<std::size_t> n_allocations = 0;
}  // namespace

// All forms that this program comes to: a sanitizer has its own of each that is not replaced.
void* operator new(std::size_t n_bytes, const std::nothrow_t&) noexcept {
  ++n_allocations;
  return std::malloc(n_bytes == 0 ? 1 : n_bytes);
}
void* operator new(std::size_t n_bytes) {
  if (void* block = operator new(n_bytes, std::nothrow)) return block;
  throw std::bad_alloc();
}
void* operator new[](std::size_t n_bytes) { return operator new(n_bytes); }
void* operator new[](std::size_t n_bytes, const std::nothrow_t&) noexcept { return operator new(n_bytes, std::nothrow); }
void* operator new(std::size_t n_bytes, std::align_val_t alignment) {
  ++n_allocations;
  const auto unit = static_cast<std::size_t>(alignment);
  if (void* block = std::aligned_alloc(unit, ffmem::round_up(n_bytes, unit))) return block;
  throw std::bad_alloc();
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
void operator delete[](void* block) noexcept { std::free(block); }
void operator delete[](void* block, std::size_t) noexcept { std::free(block); }
void operator delete(void* block, std::align_val_t) noexcept { std::free(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { std::free(block); }

namespace ffmem {
namespace {

/// Reads one point of each layer, and the logits.
class Reader : public Hook {
 public:
  Access access(Point point, std::size_t) const override {
    return point == Point::coefficients || point == Point::logits ? Access::read : Access::none;
  }
  void read(const PointView& view) override { sum += view.values.row(0)[0]; }
  float sum = 0;
};

constexpr std::size_t kSequences = 2;

/// Allocations of two more tokens of each sequence, behind a prompt and a first one that fill what a session keeps.
std::size_t allocations_of_two_tokens(const std::shared_ptr<const Model>& model, std::span<Hook* const> hooks) {
  Session session(model, {.max_sequences = kSequences, .context = 16, .max_batch_tokens = 8, .n_threads = 2});
  const std::array<TokenId, 5> prompts{1, 2, 3, 1, 2};
  const std::array<std::size_t, kSequences + 1> prompt_offsets{0, 3, 5};
  session.run({.tokens = prompts, .offsets = prompt_offsets}, LogitsRows::last, hooks);
  const std::array<TokenId, kSequences> tokens{4, 5};
  const std::array<std::size_t, kSequences + 1> offsets{0, 1, 2};
  const auto step = [&] { session.run({.tokens = tokens, .offsets = offsets}, LogitsRows::last, hooks); };
  step();
  const std::size_t before = n_allocations;
  step();
  step();
  return n_allocations - before;
}

TEST_CASE("allocation: a new token allocates nothing, with hooks or without, in every weight mode and kind of output layer") {
  for (const std::string& folder : std::initializer_list<std::string>{
           FFMEM_DEMO_MODEL, FFMEM_TEST_DATA "/hf/gemma2", FFMEM_TEST_DATA "/hf/llama-tied", FFMEM_TEST_DATA "/hf/opt-postln",
           FFMEM_TEST_DATA "/fairseq/adaptive-untied-projections"}) {
    for (const WeightMode mode : {WeightMode::f32, WeightMode::bf16, WeightMode::int8, WeightMode::int4}) {
      CAPTURE(folder);
      CAPTURE(name(mode));
      const auto model = Model::load(folder, {.weights = mode});
      CHECK(allocations_of_two_tokens(model, {}) == 0);
      Reader reader;
      Hook* const hooks[] = {&reader};
      CHECK(allocations_of_two_tokens(model, hooks) == 0);
    }
  }
}

}  // namespace
}  // namespace ffmem
