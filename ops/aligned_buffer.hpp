// An owned array of float32, moved and not copied, that begins at a 64-byte border and starts as zeros. Large ones come as
// untouched pages of the operating system: memory is used when it is first written, so room for a long context costs nothing
// until then.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>

#include "ops/matrix_view.hpp"

namespace ffmem {

class AlignedBuffer {
 public:
  /// With more, the number of bytes would overflow.
  static constexpr std::size_t kMostElements = std::size_t{1} << 60;

  AlignedBuffer() = default;

  /// Throws std::bad_alloc.
  explicit AlignedBuffer(std::size_t n_elements) : size_(n_elements) {
    if (n_elements > kMostElements) throw std::bad_alloc();
    block_ = {std::calloc(n_elements * sizeof(float) + kAlignment, 1), &std::free};
    if (!block_) throw std::bad_alloc();
    void* begin = block_.get();
    std::size_t space = n_elements * sizeof(float) + kAlignment;
    data_ = static_cast<float*>(std::align(kAlignment, n_elements * sizeof(float), begin, space));
  }

  /// n_elements zeros at `data`, which begins at such a border and lives as long as its owner.
  AlignedBuffer(std::shared_ptr<void> owner, float* data, std::size_t n_elements)
      : block_(std::move(owner)), data_(data), size_(n_elements) {}

  AlignedBuffer(AlignedBuffer&& other) noexcept { *this = std::move(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    block_ = std::exchange(other.block_, nullptr);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  /// Makes room for n_elements; what it held is lost where it had less. Throws std::bad_alloc.
  void make_room(std::size_t n_elements) {
    if (size_ < n_elements) *this = AlignedBuffer(n_elements);
  }

  // As of a span, const is the buffer's, not its numbers'.
  float* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  std::size_t bytes() const noexcept { return size_ * sizeof(float); }

  /// The first rows * cols elements as a matrix. The buffer must outlive the view.
  MatrixView matrix(std::size_t rows, std::size_t cols) const {
    assert(rows * cols <= size_);
    return {data_, rows, cols};
  }

 private:
  static constexpr std::size_t kAlignment = 64;
  std::shared_ptr<void> block_;  // its deleter says where the memory is from
  float* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace ffmem
