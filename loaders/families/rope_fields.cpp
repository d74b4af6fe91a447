#include "loaders/families/rope_fields.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <string>

#include "ops/error.hpp"

namespace ffmem {
namespace {

/// Llama 3.1's scaling: long waves are stretched by `factor`, short ones left alone, those between interpolated.
void scale_llama3(const JsonFields& rope, std::size_t max_positions, std::vector<float>& inv_freq) {
  const double factor = rope.number("factor");
  const double low = rope.number("low_freq_factor");
  const double high = rope.number("high_freq_factor");
  const auto original = static_cast<double>(rope.size("original_max_position_embeddings", max_positions));
  if (factor <= 0.0) rope.refuse("factor", "a number above 0");
  if (low >= high) rope.refuse("low_freq_factor", "less than high_freq_factor");
  for (float& f : inv_freq) {
    const double wavelengths = original * static_cast<double>(f) / (2.0 * std::numbers::pi);
    if (wavelengths > high) continue;
    const double smooth = wavelengths < low ? 0.0 : (wavelengths - low) / (high - low);
    f = static_cast<float>((1.0 - smooth) * static_cast<double>(f) / factor + smooth * static_cast<double>(f));
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
    fail(ErrorCode::config_unsupported, rope.location("rope_type"), ": rotary positions of type \"", type,
         "\" are not supported; supported are default, linear and llama3");
  }
  for (const std::string& key : rope.unread()) {
    if (rope.has(key)) fail(ErrorCode::config_unsupported, rope.location(key), ": not known for type \"", type, '"');
  }
}

}  // namespace

std::vector<float> rotary_frequencies(double theta, std::size_t r) {
  std::vector<float> inv_freq(r / 2);
  for (std::size_t k = 0; k < inv_freq.size(); ++k) {
    inv_freq[k] = static_cast<float>(std::pow(theta, -2.0 * static_cast<double>(k) / static_cast<double>(r)));
  }
  return inv_freq;
}

void read_rotary(const JsonFields& fields, ModelConfig& config, const RotaryFields& names) {
  std::optional<JsonFields> rope = fields.optional_object("rope_parameters");
  if (auto older = fields.optional_object("rope_scaling")) rope = older;
  float theta = fields.number(names.theta_key, 10000.0F);
  float fraction = fields.number(names.fraction_key, names.fraction);
  if (rope) {
    theta = rope->number("rope_theta", theta);
    fraction = rope->number("partial_rotary_factor", fraction);
  }
  if (theta <= 0.0F) fields.refuse(names.theta_key, "a number above 0");
  const auto r = static_cast<std::size_t>(static_cast<float>(config.head_dim) * std::clamp(fraction, 0.0F, 2.0F));
  if (r == 0 || r > config.head_dim || r % 2 != 0 || (!names.partial && r != config.head_dim)) {
    fail(ErrorCode::config_unsupported, fields.location(names.fraction_key), ": ", fraction, " of a head's ", config.head_dim,
         " dimensions: expected an even number of them", names.partial ? "" : ", and all");
  }
  config.positions = PositionKind::rotary;
  config.rotary_layout = RotaryLayout::halves;
  config.rotary_inv_freq = rotary_frequencies(static_cast<double>(theta), r);
  if (rope) scale(*rope, config.max_positions, config.rotary_inv_freq);
}

}  // namespace ffmem
