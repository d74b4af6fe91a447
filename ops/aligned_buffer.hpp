// An owned, move-only array of float32 that begins at a 64-byte border; its contents start as zeros.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "ops/matrix_view.hpp"

namespace ffmem {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t n_elements)
      : data_(static_cast<float*>(::operator new(n_elements * sizeof(float), kAlignment))), size_(n_elements) {
    std::memset(data_.get(), 0, n_elements * sizeof(float));
  }

  float* data() const noexcept { return data_.get(); }
  std::size_t size() const noexcept { return size_; }
  std::size_t bytes() const noexcept { return size_ * sizeof(float); }

  /// The first rows * cols elements as a matrix. The buffer must outlive the view.
  MatrixView matrix(std::size_t rows, std::size_t cols) const {
    assert(rows * cols <= size_);
    return {data_.get(), rows, cols};
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(float* p) const noexcept { ::operator delete(p, kAlignment); }
  };
  std::unique_ptr<float, Free> data_;
  std::size_t size_ = 0;
};

}  // namespace ffmem
