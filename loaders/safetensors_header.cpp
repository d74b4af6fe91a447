#include "loaders/safetensors_header.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "loaders/json_file.hpp"
#include "loaders/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem {
namespace {

using nlohmann::json;

// The reference reader allows 127 levels in all; two of them are the objects around a tensor's field.
constexpr std::size_t kMaxIgnoredDepth = 125;

constexpr std::array<std::string_view, 3> kFields = {"dtype", "shape", "data_offsets"};

constexpr std::array<std::string_view, 8> kUnsupportedTypes = {"F4",      "F6_E2M3", "F6_E3M2",     "F8_E5M2",
                                                               "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "C64"};

/// Receives the parser's events. At any time it knows which object or array it is in (`level_`) and what the next value
/// stands for (`slot_`); a value that does not fit its slot ends the parse.
class HeaderReader final : public json::json_sax_t {
 public:
  explicit HeaderReader(const std::filesystem::path& file) : file_(file) {}

  SafetensorsHeader take() { return std::move(header_); }

  bool null() override {
    if (slot_ == Slot::ignored || slot_ == Slot::metadata) return true;  // serde reads null as "no metadata"
    unexpected("null");
  }

  bool boolean(bool) override { return ignore("a truth value"); }
  bool number_integer(number_integer_t) override { return ignore("a negative number"); }
  bool number_float(number_float_t, const string_t& text) override { return ignore(text.substr(0, 40)); }
  bool binary(binary_t&) override { return ignore("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (slot_ == Slot::dimension) {
      entry().shape.push_back(value);
    } else if (slot_ == Slot::offset && n_offsets_ < 2) {
      (n_offsets_ == 0 ? entry().begin : entry().end) = value;
      ++n_offsets_;
    } else {
      return ignore(std::to_string(value));
    }
    return true;
  }

  bool string(string_t& text) override {
    if (slot_ == Slot::dtype) {
      entry().dtype = parse_dtype(text);
    } else if (slot_ == Slot::metadata_text) {
      header_.metadata.insert_or_assign(metadata_key_, std::move(text));
    } else {
      return ignore("a string");
    }
    return true;
  }

  bool start_object(std::size_t) override {
    switch (slot_) {
      case Slot::header:
        level_ = Level::header;
        return true;
      case Slot::metadata:
        level_ = Level::metadata;
        return true;
      case Slot::entry:
        level_ = Level::entry;
        seen_fields_ = {};
        return true;
      default:
        return enter_ignored("an object");
    }
  }

  bool key(string_t& text) override {
    if (ignored_depth_ > 0) return true;
    switch (level_) {
      case Level::metadata:
        metadata_key_ = std::move(text);
        slot_ = Slot::metadata_text;
        break;
      case Level::entry:
        slot_ = field_slot(text);
        break;
      default:
        slot_ = text == "__metadata__" ? begin_metadata() : begin_entry(std::move(text));
    }
    return true;
  }

  bool end_object() override {
    if (ignored_depth_ > 0) {
      --ignored_depth_;
      return true;
    }
    if (level_ == Level::entry) check_fields();
    level_ = Level::header;
    return true;
  }

  bool start_array(std::size_t) override {
    if (slot_ == Slot::shape) {
      slot_ = Slot::dimension;
    } else if (slot_ == Slot::offsets) {
      slot_ = Slot::offset;
      n_offsets_ = 0;
    } else {
      return enter_ignored("an array");
    }
    return true;
  }

  bool end_array() override {
    if (ignored_depth_ > 0) {
      --ignored_depth_;
    } else if (slot_ == Slot::offset && n_offsets_ != 2) {
      unexpected("fewer");
    }
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const json::exception& error) override {
    fail(ErrorCode::header_not_json, file_.string(), ": header: expected JSON, at its byte ", position, ": ",
         json_error_text(error));
  }

 private:
  enum class Level { outside, header, metadata, entry };
  enum class Slot { header, metadata, metadata_text, entry, dtype, shape, dimension, offsets, offset, ignored };

  HeaderEntry& entry() { return header_.entries.back(); }

  bool ignore(const std::string& found) {
    if (slot_ != Slot::ignored) unexpected(found);
    return true;
  }

  bool enter_ignored(const char* found) {
    if (slot_ != Slot::ignored) unexpected(found);
    if (++ignored_depth_ > kMaxIgnoredDepth) {
      fail(ErrorCode::header_not_json, place(), ": expected at most ", kMaxIgnoredDepth + 2, " levels of nesting, found more");
    }
    return true;
  }

  Slot begin_metadata() {
    if (std::exchange(seen_metadata_, true)) {
      fail(ErrorCode::header_not_an_object, file_.string(), ": header: expected one __metadata__, found two");
    }
    return Slot::metadata;
  }

  Slot begin_entry(std::string tensor) {
    header_.entries.emplace_back().name = std::move(tensor);
    return Slot::entry;
  }

  Slot field_slot(std::string_view field) {
    const auto* const found = std::find(kFields.begin(), kFields.end(), field);
    if (found == kFields.end()) return Slot::ignored;
    const auto i = static_cast<std::size_t>(found - kFields.begin());
    if (std::exchange(seen_fields_[i], true)) {
      fail(ErrorCode::header_not_an_object, place(), ": expected one ", field, ", found two");
    }
    constexpr std::array<Slot, 3> kSlots = {Slot::dtype, Slot::shape, Slot::offsets};
    return kSlots[i];
  }

  void check_fields() const {
    for (std::size_t i = 0; i < kFields.size(); ++i) {
      if (!seen_fields_[i]) {
        fail(ErrorCode::header_not_an_object, place(), ": expected dtype, shape and data_offsets, found no ", kFields[i]);
      }
    }
  }

  DType parse_dtype(std::string_view text) const {
    if (const auto dtype = dtype_from_name(text)) return *dtype;
    const bool known = std::find(kUnsupportedTypes.begin(), kUnsupportedTypes.end(), text) != kUnsupportedTypes.end();
    fail(ErrorCode::tensor_dtype_unknown, place(),
         ": expected dtype BOOL, U8, I8, I16, U16, F16, BF16, I32, U32, F32, F64, I64 ", "or U64, found ", shown_text(text),
         known ? ", which is not supported" : ", which is no type of the format");
  }

  [[noreturn]] void unexpected(const std::string& found) const {
    fail(ErrorCode::header_not_an_object, place(), ": expected ", slot_words(), ", found ", found);
  }

  const char* slot_words() const noexcept {
    switch (slot_) {
      case Slot::header:
        return "an object {name: tensor}";
      case Slot::metadata:
        return "an object {string: string}";
      case Slot::metadata_text:
        return "a string";
      case Slot::entry:
        return "an object with dtype, shape and data_offsets";
      case Slot::dtype:
        return "the name of a type as dtype";
      case Slot::shape:
      case Slot::dimension:
        return "an array of whole numbers as shape";
      default:
        return "two whole numbers as data_offsets";
    }
  }

  /// "model.safetensors: h.0.weight"
  std::string place() const {
    if (slot_ == Slot::header) return file_.string() + ": header";
    if (slot_ == Slot::metadata || level_ == Level::metadata) return file_.string() + ": __metadata__";
    return file_.string() + ": " + shown_text(header_.entries.back().name);
  }

  const std::filesystem::path& file_;
  SafetensorsHeader header_;
  Level level_ = Level::outside;
  Slot slot_ = Slot::header;
  std::string metadata_key_;
  std::array<bool, 3> seen_fields_{};
  bool seen_metadata_ = false;
  std::size_t n_offsets_ = 0;
  std::size_t ignored_depth_ = 0;
};

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view text, const std::filesystem::path& file) {
  if (const std::size_t valid = valid_utf8_prefix(text); valid < text.size()) {
    fail(ErrorCode::header_not_utf8, file.string(), ": header: expected UTF-8, found an invalid byte at ", valid);
  }
  // Two texts that the JSON library would take: a byte order mark in front, and anything behind a zero byte.
  if (text.starts_with(kByteOrderMark)) {
    fail(ErrorCode::header_not_json, file.string(), ": header: expected JSON, found a byte order mark");
  }
  if (const std::size_t zero = text.find('\0'); zero != std::string_view::npos) {
    fail(ErrorCode::header_not_json, file.string(), ": header: expected JSON, found a zero byte at ", zero);
  }
  HeaderReader reader(file);
  json::sax_parse(text.begin(), text.end(), &reader);
  return reader.take();
}

}  // namespace ffmem
