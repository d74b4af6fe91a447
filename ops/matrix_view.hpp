// Views of two-dimensional float32 arrays: every activation is one, [tokens, width].
//
// A view is a small value passed by value. It owns nothing: whoever made it says which buffer must outlive it.
#pragma once

#include <cassert>
#include <cstddef>
#include <span>
#include <type_traits>

namespace ffmem {

template <class T>
struct BasicMatrixView {
  T* data = nullptr;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t stride = 0;  // elements from one row to the next, >= cols

  BasicMatrixView() = default;
  BasicMatrixView(T* data_, std::size_t rows_, std::size_t cols_) : BasicMatrixView(data_, rows_, cols_, cols_) {}
  BasicMatrixView(T* data_, std::size_t rows_, std::size_t cols_, std::size_t stride_)
      : data(data_), rows(rows_), cols(cols_), stride(stride_) {
    assert(stride >= cols);
  }

  /// A view that may write is also one that may read.
  template <class U>
  requires std::is_same_v<T, const U> BasicMatrixView(const BasicMatrixView<U>& other)  // NOLINT(google-explicit-constructor)
      : data(other.data), rows(other.rows), cols(other.cols), stride(other.stride) {}

  T* row_data(std::size_t i) const {
    assert(i < rows);
    return data + i * stride;
  }
  std::span<T> row(std::size_t i) const { return {row_data(i), cols}; }

  /// Rows [begin, end).
  BasicMatrixView rows_between(std::size_t begin, std::size_t end) const {
    assert(begin <= end && end <= rows);
    return {data + begin * stride, end - begin, cols, stride};
  }
};

using MatrixView = BasicMatrixView<float>;
using ConstMatrixView = BasicMatrixView<const float>;

}  // namespace ffmem
