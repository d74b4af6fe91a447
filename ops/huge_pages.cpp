#include "ops/huge_pages.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include "ops/rounding.hpp"

namespace ffmem {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
/// What is reserved for some buffers together; only what they write becomes memory.
constexpr std::size_t kReservation = 32 * kHugePage;
constexpr std::size_t kCacheLine = 64;

/// Zeros from the operating system, which begin with a large page and are given out in turn.
class Reservation {
 public:
  explicit Reservation(std::size_t n_bytes) : size_(round_up(n_bytes, kHugePage)), mapped_bytes_(size_ + kHugePage) {
    mapped_ = ::mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped_ == MAP_FAILED) throw std::bad_alloc();
    void* begin = mapped_;
    std::size_t space = mapped_bytes_;
    begin_ = static_cast<std::byte*>(std::align(kHugePage, size_, begin, space));
#if defined(MADV_HUGEPAGE)
    ::madvise(begin_, size_, MADV_HUGEPAGE);
#endif
  }
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  ~Reservation() { ::munmap(mapped_, mapped_bytes_); }

  std::size_t left() const noexcept { return size_ - used_; }
  /// The next n_bytes, at most left().
  std::byte* take(std::size_t n_bytes) noexcept { return begin_ + std::exchange(used_, used_ + n_bytes); }

 private:
  void* mapped_;
  std::byte* begin_;
  std::size_t size_;
  std::size_t mapped_bytes_;
  std::size_t used_ = 0;
};

/// Some bytes of a reservation, none of which is used again.
class Piece {
 public:
  Piece(std::shared_ptr<Reservation> owner, std::size_t n_bytes) : owner_(std::move(owner)), size_(n_bytes) {
    begin_ = owner_->take(n_bytes);
  }
  Piece(const Piece&) = delete;
  Piece& operator=(const Piece&) = delete;
  ~Piece() {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    void* first = begin_;
    std::size_t space = size_;
    if (std::align(page, page, first, space) != nullptr) ::madvise(first, space / page * page, MADV_DONTNEED);
  }

  float* data() const noexcept { return reinterpret_cast<float*>(begin_); }

 private:
  std::shared_ptr<Reservation> owner_;
  std::byte* begin_;
  std::size_t size_;
};

}  // namespace

AlignedBuffer in_huge_pages(std::size_t n_elements) {
#if defined(__SANITIZE_ADDRESS__)
  // The sanitizer knows the bounds only of memory that comes from the allocator.
  return AlignedBuffer(n_elements);
#endif
  if (n_elements > AlignedBuffer::kMostElements) throw std::bad_alloc();
  static std::mutex mutex;
  static std::weak_ptr<Reservation> latest;
  const std::size_t n_bytes = round_up(std::max<std::size_t>(n_elements * sizeof(float), 1), kCacheLine);
  const std::lock_guard lock(mutex);
  std::shared_ptr<Reservation> from = latest.lock();
  if (!from || from->left() < n_bytes) {
    from = std::make_shared<Reservation>(std::max(n_bytes, kReservation));
    if (from->left() > n_bytes) latest = from;
  }
  auto piece = std::make_shared<Piece>(std::move(from), n_bytes);
  float* const data = piece->data();
  return {std::move(piece), data, n_elements};
}

}  // namespace ffmem
