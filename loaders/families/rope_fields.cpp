#include "loaders/families/rope_fields.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <string>

#include "loaders/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem {
namespace {

/// Llama 3.1's scaling: long waves are stretched by `factor`, short ones left alone, those between interpolated. In float32,
/// step by step as the reference.
void scale_llama3(const JsonFields& rope, std::size_t max_positions, std::vector<float>& inv_freq) {
  constexpr auto kFullTurn = static_cast<float>(2.0 * std::numbers::pi);
  const float factor = rope.number("factor");
  const float low = rope.number("low_freq_factor");
  const float high = rope.number("high_freq_factor");
  const auto original = static_cast<float>(rope.size("original_max_position_embeddings", max_positions));
  if (factor <= 0.0F) rope.refuse("factor", "a number above 0");
  if (low >= high) rope.refuse("low_freq_factor", "less than high_freq_factor");
  for (float& f : inv_freq) {
    const float wavelength = (1.0F / f) * kFullTurn;
    if (wavelength < original / high) continue;
    if (wavelength > original / low) {
      f /= factor;
      continue;
    }
    const float smooth = ((1.0F / wavelength) * original - low) / (high - low);
    f = (1.0F - smooth) * f / factor + smooth * f;
  }
}

void scale(const JsonFields& rope, std::size_t max_positions, std::vector<float>& inv_freq) {
  const std::string type = rope.text("rope_type", rope.text("type", "default"));
  if (type == "linear") {
    const float factor = rope.number("factor");
    if (factor <= 0.0F) rope.refuse("factor", "a number above 0");
    for (float& f : inv_freq) f /= factor;
  } else if (type == "llama3") {
    scale_llama3(rope, max_positions, inv_freq);
  } else if (type != "default") {
    fail(ErrorCode::config_unsupported, rope.location("rope_type"), ": rotary positions of type \"", shown_text(type),
         "\" are not supported; supported are default, linear and llama3");
  }
  for (const std::string& key : rope.unread()) {
    if (rope.has(key)) fail(ErrorCode::config_unsupported, rope.location(key), ": not known for type \"", type, '"');
  }
}

/// A number of the rotary dictionary or, where that lacks it, of the top level.
struct RotaryNumber {
  double value;  // as the file has it, not rounded to float32
  const JsonFields* fields;
  std::string_view key;
};

RotaryNumber read_number(const JsonFields& fields, std::string_view key, double fallback) {
  const bool is_set = fields.optional_number(key).has_value();  // checked
  return {.value = is_set ? fields.at(key).get<double>() : fallback, .fields = &fields, .key = key};
}

RotaryNumber read_number(const std::optional<JsonFields>& rope, std::string_view key, const JsonFields& fields,
                         std::string_view top_key, double fallback) {
  const RotaryNumber top = read_number(fields, top_key, fallback);
  return rope && rope->has(key) ? read_number(*rope, key, fallback) : top;
}

}  // namespace

std::vector<float> rotary_frequencies(float theta, std::size_t r) {
  std::vector<float> inv_freq(r / 2);
  for (std::size_t k = 0; k < inv_freq.size(); ++k) {
    inv_freq[k] = 1.0F / std::pow(theta, static_cast<float>(2 * k) / static_cast<float>(r));
  }
  return inv_freq;
}

void read_rotary(const JsonFields& fields, ModelConfig& config, const RotaryFields& names) {
  std::optional<JsonFields> rope = fields.optional_object("rope_parameters");
  if (auto older = fields.optional_object("rope_scaling"); older && !fields.at("rope_scaling").empty()) rope = older;
  const RotaryNumber theta = read_number(rope, "rope_theta", fields, names.theta_key, 10000.0);
  const RotaryNumber fraction = read_number(rope, "partial_rotary_factor", fields, names.fraction_key, names.fraction);
  const auto base = static_cast<float>(theta.value);
  if (base <= 0.0F) theta.fields->refuse(theta.key, "a number above 0");
  const auto r = static_cast<std::size_t>(static_cast<double>(config.head_dim) * std::clamp(fraction.value, 0.0, 2.0));
  if (r == 0 || r > config.head_dim || r % 2 != 0 || (!names.partial && r != config.head_dim)) {
    fail(ErrorCode::config_unsupported, fraction.fields->location(fraction.key), ": ", fraction.value, " of a head's ",
         config.head_dim, " dimensions: expected an even number of them", names.partial ? "" : ", and all");
  }
  config.positions = PositionKind::rotary;
  config.rotary_layout = RotaryLayout::halves;
  config.rotary_inv_freq = rotary_frequencies(base, r);
  if (rope) scale(*rope, config.max_positions, config.rotary_inv_freq);
}

}  // namespace ffmem
