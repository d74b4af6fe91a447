#include "tools/interventions.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <optional>
#include <string_view>

#include "loaders/safetensors.hpp"
#include "ops/error.hpp"
#include "runtime/output_head.hpp"
#include "tools/edit_text.hpp"

namespace ffmem::tools {
namespace {

/// A patch without a position changes the positions its file has rows for; the others (a generation's new ones) pass it by.
class LimitedEdit : public Hook {
 public:
  LimitedEdit(Edit edit, std::size_t n_positions) : edit_({std::move(edit)}), n_positions_(n_positions) {}

  Access access(Point point, std::size_t layer) const override { return edit_.access(point, layer); }

  void write(const MutablePointView& view) override {
    // The rows are of one sequence, so positions ascend.
    const auto end = std::ranges::find_if(view.origins, [&](const RowOrigin& o) { return o.position >= n_positions_; });
    const auto n_rows = static_cast<std::size_t>(end - view.origins.begin());
    if (n_rows == 0) return;
    MutablePointView part = view;
    part.values = view.values.rows_between(0, n_rows);
    part.origins = view.origins.first(n_rows);
    edit_.write(part);
  }

 private:
  Intervene edit_;
  std::size_t n_positions_;
};

std::size_t width_at(Point point, const Model& model) {
  switch (point) {
    case Point::key_scores:
    case Point::coefficients:
      return model.config().d_memory;
    case Point::final_hidden:
      return model.head().hidden_width();
    case Point::logits:
      return model.config().vocab_size;
    default:
      return model.config().d_model;
  }
}

void check_place(const Edit& edit, const std::string& what, const Model& model, std::size_t n_positions) {
  const std::size_t width = width_at(edit.point, model);
  if (is_per_layer(edit.point) && edit.layer >= model.config().n_layers) {
    fail(ErrorCode::layer_out_of_range, what, ": layer ", edit.layer, ": the model has layers 0 to ",
         model.config().n_layers - 1);
  }
  if (edit.unit && *edit.unit >= width) {
    fail(ErrorCode::unit_out_of_range, what, ": unit ", *edit.unit, ": ", name(edit.point), " has units 0 to ", width - 1);
  }
  if (edit.position && *edit.position >= n_positions) {
    fail(ErrorCode::position_out_of_range, what, ": position ", *edit.position, ": the run has positions 0 to ",
         n_positions - 1);
  }
}

/// Rows [n, width] of the tensor, as float32.
std::vector<float> load_rows(const EditText& text, std::size_t width) {
  const SafetensorsFile file(text.file);
  const StoredTensor& tensor = file.at(text.tensor);
  const std::string what = concat(text.file.native(), ": ", tensor.name);
  if (!is_floating(tensor.dtype)) {
    fail(ErrorCode::tensor_dtype, what, ": expected a floating type, found ", name(tensor.dtype));
  }
  const bool is_vector = text.edit.kind == Edit::Kind::add;
  const bool fits = !tensor.shape.empty() && tensor.shape.back() == width && tensor.n_elements > 0 &&
                    (is_vector ? tensor.n_elements == width : tensor.shape.size() == 2);
  if (!fits) {
    fail(ErrorCode::tensor_shape, what, ": expected shape [", is_vector ? "" : "positions, ", width, "], found ",
         shape_text(tensor.shape));
  }
  std::vector<float> rows(tensor.n_elements);
  convert_to_f32(tensor.data, tensor.dtype, rows.size(), rows.data());
  return rows;
}

std::unique_ptr<Hook> make_hook(EditText text, const std::string& what, const Model& model) {
  Edit& edit = text.edit;
  if (text.file.empty()) return std::make_unique<Intervene>(std::vector<Edit>{std::move(edit)});
  const std::size_t width = width_at(edit.point, model);
  edit.vectors = load_rows(text, width);
  const std::size_t n_rows = edit.vectors.size() / width;
  if (edit.kind == Edit::Kind::add) return std::make_unique<Intervene>(std::vector<Edit>{std::move(edit)});
  if (edit.position && *edit.position >= n_rows) {
    fail(ErrorCode::position_out_of_range, what, ": position ", *edit.position, ": the file has rows for positions 0 to ",
         n_rows - 1);
  }
  return std::make_unique<LimitedEdit>(std::move(edit), n_rows);
}

}  // namespace

void Interventions::add_options(CLI::App& command) {
  command_ = &command;
  const auto keep = [](const CLI::results_t&) { return true; };  // the option's own results are read in prepare()
  const auto add = [&](Edit::Kind kind, const char* form, const char* help) {
    CLI::Option* option = command.add_option(std::string(option_name(kind)), CLI::callback_t(keep), help)
                              ->expected(1)
                              ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
                              ->type_name(form)
                              ->group("Interventions (repeatable, applied in the order given)");
    options_.emplace_back(option, kind);
  };
  add(Edit::Kind::set, "POINT:LAYER:UNIT=VALUE[@POSITION]", "Set one unit");
  add(Edit::Kind::scale, "POINT:LAYER:UNIT=FACTOR[@POSITION]", "Multiply one unit");
  add(Edit::Kind::zero, "POINT:LAYER[:UNIT][@POSITION]", "Set a unit, or a whole row, to 0");
  add(Edit::Kind::patch, "POINT:LAYER[:UNIT][@POSITION]=FILE",
      "Replace by the rows of another run, from a file of `ffmem capture`, at the positions that file has");
  add(Edit::Kind::add, "POINT:LAYER=FILE:TENSOR[*FACTOR][@POSITION]", "Add a vector from a safetensors file");
}

std::vector<std::pair<Edit::Kind, std::string>> Interventions::in_order() const {
  std::vector<std::pair<Edit::Kind, std::string>> result;
  std::map<const CLI::Option*, std::size_t> n_seen;
  for (const CLI::Option* given : command_->parse_order()) {
    const auto known = std::ranges::find(options_, given, [](const auto& entry) { return entry.first; });
    if (known != options_.end()) result.emplace_back(known->second, given->results().at(n_seen[given]++));
  }
  return result;
}

void Interventions::prepare(const Model& model, std::size_t n_positions) {
  hooks_.clear();
  for (const auto& [kind, argument] : in_order()) {
    EditText text = parse_edit(kind, argument);
    const std::string what = concat(option_name(kind), " ", argument);
    check_place(text.edit, what, model, n_positions);
    hooks_.push_back(make_hook(std::move(text), what, model));
  }
}

std::string Interventions::text() const {
  std::string text;
  for (const auto& [kind, edit] : in_order()) {
    const auto option = std::ranges::find(options_, kind, &std::pair<const CLI::Option*, Edit::Kind>::second);
    text += concat(text.empty() ? "" : " ", option->first->get_name(), ' ', edit);
  }
  return text;
}

std::vector<std::filesystem::path> Interventions::files() const {
  std::vector<std::filesystem::path> files;
  for (const auto& [kind, argument] : in_order()) {
    if (EditText text = parse_edit(kind, argument); !text.file.empty()) files.push_back(std::move(text.file));
  }
  return files;
}

std::vector<Hook*> Interventions::hooks() const {
  std::vector<Hook*> hooks;
  for (const auto& hook : hooks_) hooks.push_back(hook.get());
  return hooks;
}

}  // namespace ffmem::tools
