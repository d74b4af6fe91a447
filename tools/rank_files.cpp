#include "tools/rank_files.hpp"

#include "ops/error.hpp"
#include "tools/ranks.hpp"

namespace ffmem::tools {

// All ranks take fingerprints of as many files, so that both sides name the same number of bytes.
void send_files_read(int to, const std::string& fingerprints) { send_to(to, fingerprints.data(), fingerprints.size()); }

void check_files_read(int from, const std::string& own) {
  std::string files(own.size(), ' ');
  receive_from(from, files.data(), files.size());
  if (files != own) {
    fail(ErrorCode::store_invalid, "rank ", from, " read other files than rank ", rank(), ": fingerprints of model and corpus ",
         files, " and ", own);
  }
}

}  // namespace ffmem::tools
