#include "tools/edit_text.hpp"

#include <vector>

#include "ops/error.hpp"
#include "tools/options.hpp"

namespace ffmem::tools {
namespace {

struct Form {
  std::string_view option;
  std::string_view text;
};

Form form_of(Edit::Kind kind) noexcept {
  switch (kind) {
    case Edit::Kind::set:
      return {"--set", "POINT:LAYER:UNIT=VALUE[@POSITION]"};
    case Edit::Kind::scale:
      return {"--scale", "POINT:LAYER:UNIT=FACTOR[@POSITION]"};
    case Edit::Kind::zero:
      return {"--zero", "POINT:LAYER[:UNIT][@POSITION]"};
    case Edit::Kind::patch:
      return {"--patch", "POINT:LAYER[:UNIT][@POSITION]=FILE"};
    case Edit::Kind::add:
      return {"--add", "POINT:LAYER=FILE:TENSOR[*FACTOR][@POSITION]"};
  }
  return {};
}

/// Reads one edit; every error names the option and its whole text.
class EditParser {
 public:
  EditParser(Edit::Kind kind, std::string_view text) : text_(text), form_(form_of(kind)) { result_.edit.kind = kind; }

  EditText parse() {
    const std::size_t equals = text_.find('=');
    const bool has_right = result_.edit.kind != Edit::Kind::zero;
    if (has_right != (equals != std::string_view::npos)) malformed();
    place(text_.substr(0, equals));
    if (has_right) right(text_.substr(equals + 1));
    return std::move(result_);
  }

 private:
  [[noreturn]] void malformed() const {
    throw UsageError(
        concat(form_.option, " ", text_, ": expected ", form_.text, " (without :LAYER at final_hidden and logits)"));
  }
  std::string what() const { return concat(form_.option, " ", text_); }

  /// POINT[:LAYER][:UNIT][@POSITION]
  void place(std::string_view left) {
    left = without_position(left);
    std::vector<std::string_view> fields;
    for (std::size_t colon; (colon = left.find(':')) != std::string_view::npos; left.remove_prefix(colon + 1)) {
      fields.push_back(left.substr(0, colon));
    }
    fields.push_back(left);

    Edit& edit = result_.edit;
    edit.point = point(fields[0]);
    const std::size_t n_places = is_per_layer(edit.point) ? 2 : 1;  // POINT and LAYER
    if (fields.size() < n_places || fields.size() > n_places + 1) malformed();
    if (n_places == 2) edit.layer = parse_count(fields[1], what());
    if (fields.size() > n_places) edit.unit = parse_count(fields[n_places], what());
    const bool needs_unit = edit.kind == Edit::Kind::set || edit.kind == Edit::Kind::scale;
    if ((needs_unit && !edit.unit) || (edit.kind == Edit::Kind::add && edit.unit)) malformed();
  }

  Point point(std::string_view text) const {
    try {
      return parse_point(text);
    } catch (const UsageError& error) {
      throw UsageError(concat(what(), ": ", error.what()));
    }
  }

  /// VALUE[@POSITION], FILE, or FILE:TENSOR[*FACTOR][@POSITION]
  void right(std::string_view value) {
    Edit& edit = result_.edit;
    if (edit.kind == Edit::Kind::patch) {
      result_.file = value;
      result_.tensor = tensor_name(edit.point, edit.layer);
    } else if (edit.kind == Edit::Kind::add) {
      const std::size_t colon = value.rfind(':');
      if (colon == std::string_view::npos) malformed();
      result_.file = value.substr(0, colon);
      const std::string_view tensor = without_position(value.substr(colon + 1));
      const std::size_t star = tensor.find('*');
      result_.tensor = tensor.substr(0, star);
      edit.amount = star == std::string_view::npos ? 1.0F : parse_number(tensor.substr(star + 1), what());
    } else {
      edit.amount = parse_number(without_position(value), what());
    }
    if ((edit.kind == Edit::Kind::patch || edit.kind == Edit::Kind::add) && (result_.file.empty() || result_.tensor.empty())) {
      malformed();
    }
  }

  /// Takes "@POSITION" off the end, if it is there.
  std::string_view without_position(std::string_view part) {
    const std::size_t at = part.rfind('@');
    if (at == std::string_view::npos) return part;
    if (result_.edit.position) malformed();
    const std::size_t position = parse_count(part.substr(at + 1), what());
    if (position > UINT32_MAX) throw UsageError(concat(what(), ": no sequence has position ", position));
    result_.edit.position = static_cast<std::uint32_t>(position);
    return part.substr(0, at);
  }

  std::string_view text_;
  Form form_;
  EditText result_;
};

}  // namespace

std::string_view option_name(Edit::Kind kind) noexcept { return form_of(kind).option; }

EditText parse_edit(Edit::Kind kind, std::string_view text) { return EditParser(kind, text).parse(); }

std::string tensor_name(Point point, std::size_t layer) {
  return is_per_layer(point) ? concat(name(point), ".", layer) : std::string(name(point));
}

}  // namespace ffmem::tools
