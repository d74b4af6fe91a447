#include "ops/cpu/onednn_matmul.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <shared_mutex>
#include <span>
#include <unordered_map>
#include <utility>

#include "ops/aligned_buffer.hpp"
#include "ops/error.hpp"
#include "ops/rounding.hpp"
#include "ops/threads.hpp"

namespace ffmem {
namespace {

using dnnl::memory;
using Dim = memory::dim;

/// Every number of rows has its own primitive, of some kilobytes. Beyond this many, all are dropped and made anew as needed.
constexpr std::size_t kMaxPrimitives = 4096;

struct Key {
  Dim n_rows, n_in, n_out;
  Dim x_stride, w_in_stride, w_out_stride, y_stride;
  bool has_bias;
  int n_threads;
  auto operator<=>(const Key&) const = default;
};

memory::desc describe(Dim rows, Dim cols, Dim row_stride, Dim col_stride) {
  return {{rows, cols}, memory::data_type::f32, memory::dims{row_stride, col_stride}};
}

struct Primitive {
  dnnl::matmul product;
  memory::desc scratchpad;
};

Primitive make_primitive(const dnnl::engine& engine, const Key& key) {
  const memory::desc x = describe(key.n_rows, key.n_in, key.x_stride, 1);
  const memory::desc w = describe(key.n_in, key.n_out, key.w_in_stride, key.w_out_stride);
  const memory::desc bias = key.has_bias ? describe(1, key.n_out, key.n_out, 1) : memory::desc();
  const memory::desc y = describe(key.n_rows, key.n_out, key.y_stride, 1);
  // A primitive with a scratchpad of its own must not run in two threads at once.
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::matmul::primitive_desc desc(engine, x, w, bias, y, attributes);
#else
  const dnnl::matmul::primitive_desc desc(dnnl::matmul::desc(x, w, bias, y), attributes, engine);
#endif
  return {dnnl::matmul(desc), desc.scratchpad_desc()};
}

/// At least n_bytes that belong to the calling thread until its next call.
void* scratchpad(std::size_t n_bytes) {
  thread_local AlignedBuffer buffer;
  if (buffer.bytes() < n_bytes) buffer = AlignedBuffer(ceil_div(n_bytes, sizeof(float)));
  return buffer.data();
}

/// A shape as far as the choice of code path goes.
using Shape = std::array<std::size_t, 4>;

Shape shape_of(const F32Matrix& w) { return {w.rows(), w.cols(), w.row_stride(), w.col_stride()}; }

/// Numbers without a pattern, the same ones every time.
void fill(MatrixView x) {
  std::uint32_t state = 1;
  for (std::size_t t = 0; t < x.rows; ++t) {
    for (float& value : x.row(t)) {
      state = state * 1664525U + 1013904223U;
      value = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-31F;
    }
  }
}

/// Whether the first outputs of one row are about what they should be.
bool is_product(std::span<const float> x, const F32Matrix& w, std::span<const float> y) {
  for (std::size_t o = 0; o < std::min<std::size_t>(w.rows(), 64); ++o) {
    double sum = 0;
    double magnitude = 0;
    for (std::size_t i = 0; i < w.cols(); ++i) {
      const double term = static_cast<double>(x[i]) * w.data()[o * w.row_stride() + i * w.col_stride()];
      sum += term;
      magnitude += std::fabs(term);
    }
    if (!(std::fabs(y[o] - sum) <= 1e-4 * magnitude)) return false;
  }
  return true;
}

}  // namespace

struct OneDnnMatmul::State {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  std::shared_mutex mutex;
  std::map<Key, Primitive> primitives;
  std::map<Shape, bool> invariant;

  Primitive primitive(const Key& key) {
    {
      const std::shared_lock lock(mutex);
      if (const auto found = primitives.find(key); found != primitives.end()) return found->second;
    }
    Primitive made = make_primitive(engine, key);
    const std::unique_lock lock(mutex);
    if (primitives.size() >= kMaxPrimitives) primitives.clear();
    return primitives.emplace(key, std::move(made)).first->second;
  }

  void execute(const Key& key, const float* x, const float* w, const float* bias, float* y) {
    // oneDNN takes its inputs by pointers that could write; it does not.
    const auto at = [&](const memory::desc& desc, const float* data) {
      return memory(desc, engine, const_cast<float*>(data));  // NOLINT(cppcoreguidelines-pro-type-const-cast)
    };
    std::unordered_map<int, memory> arguments{
        {DNNL_ARG_SRC, at(describe(key.n_rows, key.n_in, key.x_stride, 1), x)},
        {DNNL_ARG_WEIGHTS, at(describe(key.n_in, key.n_out, key.w_in_stride, key.w_out_stride), w)},
        {DNNL_ARG_DST, at(describe(key.n_rows, key.n_out, key.y_stride, 1), y)}};
    if (key.has_bias) arguments.emplace(DNNL_ARG_BIAS, at(describe(1, key.n_out, key.n_out, 1), bias));
    dnnl::stream stream(engine);
    const Primitive made = primitive(key);
    arguments.emplace(DNNL_ARG_SCRATCHPAD, memory(made.scratchpad, engine, scratchpad(made.scratchpad.get_size())));
    made.product.execute(stream, arguments);
    stream.wait();
  }
};

OneDnnMatmul::OneDnnMatmul() try : state_(std::make_unique<State>()) {
} catch (const dnnl::error& error) {
  fail(ErrorCode::backend_failed, "oneDNN: making its engine: ", error.what());
}
OneDnnMatmul::~OneDnnMatmul() = default;

void OneDnnMatmul::run(ConstMatrixView x, const F32Matrix& w, const float* bias, MatrixView y) const {
  announce_threads();
  if (x.rows == 0) return;
  const Key key{.n_rows = static_cast<Dim>(x.rows),
                .n_in = static_cast<Dim>(w.cols()),
                .n_out = static_cast<Dim>(w.rows()),
                .x_stride = static_cast<Dim>(x.stride),
                .w_in_stride = static_cast<Dim>(w.col_stride()),
                .w_out_stride = static_cast<Dim>(w.row_stride()),
                .y_stride = static_cast<Dim>(y.stride),
                .has_bias = bias != nullptr,
                .n_threads = available_threads()};
  try {
    state_->execute(key, x.data, w.data(), bias, y.data);
  } catch (const dnnl::error& error) {
    fail(ErrorCode::backend_failed, "oneDNN: matrix product of [", key.n_rows, ", ", key.n_in, "] and [", key.n_out, ", ",
         key.n_in, "]: ", error.what());
  }
}

bool OneDnnMatmul::is_invariant(const F32Matrix& w) const {
  {
    const std::shared_lock lock(state_->mutex);
    if (const auto found = state_->invariant.find(shape_of(w)); found != state_->invariant.end()) return found->second;
  }
  constexpr std::size_t kRows = 65;
  // Rows lie apart, as in a slice of a wider matrix: 3.7.2 writes to wrong places where such a y has one column.
  const std::size_t x_stride = w.cols() + 3;
  const std::size_t y_stride = w.rows() + 5;
  const AlignedBuffer x_buffer(kRows * x_stride);
  const AlignedBuffer expected_buffer(kRows * w.rows());
  const AlignedBuffer y_buffer(kRows * y_stride);
  const MatrixView x(x_buffer.data(), kRows, w.cols(), x_stride);
  const MatrixView expected = expected_buffer.matrix(kRows, w.rows());
  fill(x);
  const int n_threads = available_threads();
  run(x, w, nullptr, expected);
  bool same = is_product(x.row(kRows - 1), w, expected.row(kRows - 1));
  for (const int threads : {1, 2, n_threads}) {
    const ThreadScope scope(threads);
    // One row, few, an odd number, and more; each starting elsewhere, so that a row's place in a tile varies too.
    for (const auto& [first, n] : {std::pair<std::size_t, std::size_t>{0, 1}, {kRows - 1, 1}, {1, 2}, {3, 7}, {5, 33}}) {
      const MatrixView y(y_buffer.data(), n, w.rows(), y_stride);
      run(x.rows_between(first, first + n), w, nullptr, y);
      for (std::size_t t = 0; t < n; ++t) same = same && std::ranges::equal(y.row(t), expected.row(first + t));
    }
  }
  // Zeros and infinities say nothing of other matrices of the shape.
  const auto tells = [](float value) { return std::isfinite(value) && value != 0.0F; };
  if (!std::ranges::all_of(expected.row(kRows - 1), tells)) return same;
  const std::unique_lock lock(state_->mutex);
  return state_->invariant.emplace(shape_of(w), same).first->second;
}

std::string onednn_version() {
  const dnnl_version_t* version = dnnl_version();
  return concat("oneDNN ", version->major, ".", version->minor, ".", version->patch);
}

}  // namespace ffmem
