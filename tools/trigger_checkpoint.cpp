#include "tools/trigger_checkpoint.hpp"

#include <optional>
#include <string>
#include <system_error>

#include "loaders/safetensors.hpp"
#include "loaders/safetensors_writer.hpp"
#include "ops/error.hpp"
#include "tools/metadata_fields.hpp"
#include "tools/trigger_store.hpp"

namespace ffmem::tools {
namespace {

constexpr std::string_view kFormat = "ffmem-triggers-partial";
constexpr const char* kSuffix = ".partial";
constexpr const char* kNext = "next_sentence";

std::int64_t next_sentence(const SafetensorsFile& file) {
  const MetadataFields fields(file);
  const auto next = fields.whole<std::int64_t>(kNext);
  if (next < 0) fields.refuse(kNext, "a sentence's number");
  return next;
}

/// The files in the folder of `path` whose names are wanted.
template <class Wanted>
std::vector<std::filesystem::path> beside(const std::filesystem::path& path, Wanted&& wanted) {
  std::vector<std::filesystem::path> found;
  std::error_code unlisted;  // a folder that one may write but not read
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::absolute(path).parent_path(), unlisted)) {
    if (wanted(entry.path().filename().string())) found.push_back(entry.path());
  }
  return found;
}

}  // namespace

std::filesystem::path checkpoint_path(const std::filesystem::path& out, int rank, int n_ranks) {
  return out.string() + (n_ranks > 1 ? concat(".rank-", rank, "-of-", n_ranks) : "") + kSuffix;
}

std::vector<std::filesystem::path> other_checkpoints(const std::filesystem::path& out, int n_ranks) {
  const std::string name = out.filename().string();
  const std::string own_end = n_ranks > 1 ? concat("-of-", n_ranks, kSuffix) : "";
  return beside(out, [&](std::string_view found) {
    if (found == name + kSuffix) return n_ranks > 1;
    if (!found.starts_with(name + ".rank-") || !found.ends_with(kSuffix)) return false;
    return n_ranks == 1 || !found.ends_with(own_end);
  });
}

void write_checkpoint(const std::filesystem::path& path, const TriggerTable& table, const TriggerInfo& info,
                      std::int64_t next) {
  auto metadata = to_metadata(info, kFormat);
  metadata[kNext] = std::to_string(next);
  const std::vector<std::size_t> shape{table.n_layers, table.d_memory, table.t};
  write_safetensors(path,
                    {{"sentence", DType::i64, shape, table.sentence.data()},
                     {"coefficient", DType::f32, shape, table.coefficient.data()},
                     {"position", DType::i32, shape, table.position.data()}},
                    metadata);
}

std::optional<TriggerCheckpoint> read_checkpoint(const std::filesystem::path& path, const TriggerInfo& expected,
                                                 std::size_t n_layers, std::size_t d_memory) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  const SafetensorsFile file(path);
  TriggerInfo info = trigger_info(file.metadata(), kFormat, path);
  if (const std::string differs = difference_in_shards_too(info, expected); !differs.empty()) {
    fail(ErrorCode::store_invalid, path.string(), ": belongs to another search (", differs, ")");
  }
  TriggerTable found = read_trigger_table(file, info.smallest);
  TriggerCheckpoint checkpoint{.table = std::move(found), .info = std::move(info), .next_sentence = next_sentence(file)};
  const TriggerTable& table = checkpoint.table;
  if (table.n_layers != n_layers || table.d_memory != d_memory || table.t != expected.top) {
    fail(ErrorCode::store_invalid, path.string(), ": expected a table of shape ",
         shape_text({n_layers, d_memory, expected.top}), ", found ", shape_text({table.n_layers, table.d_memory, table.t}));
  }
  return checkpoint;
}

}  // namespace ffmem::tools
