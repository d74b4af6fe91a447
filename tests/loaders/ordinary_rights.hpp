// File permissions hold for root too, so that tests of them need no other user.
#pragma once

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

namespace ffmem {

/// While it lives this thread may read and write only what a file's permissions say, also as root.
class OrdinaryRights {
 public:
  OrdinaryRights() {
    if (::syscall(SYS_capget, &header_, before_.data()) != 0) throw std::runtime_error("capget failed");
    auto now = before_;
    now[0].effective &= ~(1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH);
    set(now);
  }
  ~OrdinaryRights() { ::syscall(SYS_capset, &header_, before_.data()); }
  OrdinaryRights(const OrdinaryRights&) = delete;
  OrdinaryRights& operator=(const OrdinaryRights&) = delete;

 private:
  using Sets = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

  void set(const Sets& sets) {
    if (::syscall(SYS_capset, &header_, sets.data()) != 0) throw std::runtime_error("capset failed");
  }

  __user_cap_header_struct header_{_LINUX_CAPABILITY_VERSION_3, 0};
  Sets before_{};
};

}  // namespace ffmem
