// The families against Hugging Face Transformers: small random checkpoints with every intermediate value stored
// (tests/data/hf, made by tests/data/make_hf_goldens.py; see oracle.hpp for running others).
#include "tests/runtime/oracle.hpp"

#include <numeric>

#include "hooks/intervene.hpp"
#include "hooks/record.hpp"

namespace ffmem {
namespace {

// Float32 against float64 differs by up to 6e-5 in these models, the wrong kind of GELU by 1e-3.
constexpr Tolerance kTolerance{.absolute = 2e-4};

using Tokens = std::vector<TokenId>;

std::vector<Tokens> sequences_of(const Oracle& oracle) { return oracle.description.at("sequences").get<std::vector<Tokens>>(); }

SessionOptions room_for(const std::vector<Tokens>& sequences) {
  std::size_t longest = 0;
  std::size_t total = 0;
  for (const Tokens& tokens : sequences) {
    longest = std::max(longest, tokens.size());
    total += tokens.size();
  }
  return {.max_sequences = sequences.size(), .context = longest, .max_batch_tokens = total};
}

/// What is stored for a point of a layer; the stream entering a layer is the output of the one before.
std::string stored_name(const Oracle& oracle, Point point, std::size_t layer) {
  const std::string prefix = "layer" + std::to_string(layer) + ".";
  switch (point) {
    case Point::residual_pre:
      return layer == 0 ? "embed" : "layer" + std::to_string(layer - 1) + ".layer_out";
    case Point::attention_out:
      return prefix + "attn_out";
    case Point::residual_mid:
      return prefix + "resid_mid";
    case Point::ffn_in:
      return prefix + "ffn_in";
    case Point::key_scores:
      return prefix + (oracle.description.at("gated").get<bool>() ? "gate_pre" : "key_pre");
    case Point::coefficients:
      return prefix + "coef";
    case Point::ffn_out:
      return prefix + "ffn_out";
    case Point::residual_post:
      return prefix + "layer_out";
    case Point::final_hidden:
      return "head_in";
    case Point::logits:
      return "logits";
  }
  return {};
}

/// Compares everything recorded of rows [first_row, ...) with sequence `s`.
void check_sequence(const Oracle& oracle, const Record& record, std::size_t s, std::size_t first_row, Comparison& comparison) {
  const std::size_t n_layers = oracle.description.at("num_layers").get<std::size_t>();
  CHECK(record.recorded().size() == n_layers * (kNumPoints - 2) + 2);
  for (const auto& [point, layer] : record.recorded()) {
    const StoredTensor& expected = oracle.at("seq" + std::to_string(s) + "." + stored_name(oracle, point, layer));
    const ConstMatrixView rows = record.at(point, layer).rows_between(first_row, first_row + expected.shape.at(0));
    comparison.check(expected, rows, kTolerance);
  }
}

Record record_everything() { return Record({.points = std::set<Point>(kAllPoints.begin(), kAllPoints.end())}); }

/// Calls `test` with every oracle and its model, on every backend.
template <class Test>
void for_each_oracle(Test test) {
  const auto folders = oracle_folders(OracleKind::hugging_face);
  CHECK((!folders.empty() || oracles_elsewhere()));
  for (const auto& folder : folders) {
    const Oracle oracle(folder);
    for (const auto& backend : all_backends()) {
      CAPTURE(folder);
      CAPTURE(backend->description());
      test(oracle, Model::load(folder, {.backend = backend}));
    }
  }
}

TokenId best(std::span<const float> logits) { return static_cast<TokenId>(std::ranges::max_element(logits) - logits.begin()); }

Edit edit_of(const nlohmann::json& intervention) {
  Edit edit{.layer = intervention.at("layer").get<std::size_t>()};
  const std::string kind = intervention.at("kind").get<std::string>();
  if (kind == "zero_ffn_output") {
    edit.point = Point::ffn_out;
    return edit;
  }
  edit.unit = intervention.at("unit").get<std::size_t>();
  if (!intervention.at("position").is_null()) edit.position = intervention.at("position").get<std::uint32_t>();
  if (kind == "scale_coefficient") {
    edit.kind = Edit::Kind::scale;
    edit.amount = intervention.at("factor").get<float>();
  } else {
    REQUIRE(kind == "zero_coefficient");
  }
  return edit;
}

}  // namespace

TEST_CASE("oracle: every point of every layer agrees with the reference, each sequence by itself") {
  for_each_oracle([](const Oracle& oracle, const std::shared_ptr<const Model>& model) {
    Comparison comparison(oracle.name() + ", " + model->backend().description());
    const std::vector<Tokens> sequences = sequences_of(oracle);
    for (std::size_t s = 0; s < sequences.size(); ++s) {
      Session session(model, room_for({sequences[s]}));
      Record record = record_everything();
      Hook* const hooks[] = {&record};
      session.run(sequences[s], LogitsRows::all, hooks);
      check_sequence(oracle, record, s, 0, comparison);
    }
    comparison.report();
  });
}

TEST_CASE("oracle: every point of every layer agrees with the reference, all sequences in one ragged batch") {
  for_each_oracle([](const Oracle& oracle, const std::shared_ptr<const Model>& model) {
    Comparison comparison(oracle.name());
    const std::vector<Tokens> sequences = sequences_of(oracle);
    Tokens tokens;
    std::vector<std::size_t> offsets{0};
    for (const Tokens& sequence : sequences) {
      tokens.insert(tokens.end(), sequence.begin(), sequence.end());
      offsets.push_back(tokens.size());
    }
    for (const bool keep_cache : {true, false}) {
      SessionOptions options = room_for(sequences);
      options.keep_cache = keep_cache;
      Session session(model, options);
      Record record = record_everything();
      Hook* const hooks[] = {&record};
      session.run(RaggedBatch{.tokens = tokens, .offsets = offsets}, LogitsRows::all, hooks);
      for (std::size_t s = 0; s < sequences.size(); ++s) check_sequence(oracle, record, s, offsets[s], comparison);
    }
  });
}

TEST_CASE("oracle: greedy generation, step by step with the cache, gives the reference's ids") {
  for_each_oracle([](const Oracle& oracle, const std::shared_ptr<const Model>& model) {
    const nlohmann::json& generation = oracle.description.at("generation");
    const auto prompt = generation.at("prompt").get<Tokens>();
    const auto expected = generation.at("ids").get<Tokens>();
    Session session(model, {.context = prompt.size() + expected.size()});
    Tokens found;
    Tokens next = prompt;
    while (found.size() < expected.size()) {
      found.push_back(best(session.run(next, LogitsRows::last).row(0)));
      next = {found.back()};
    }
    CHECK(found == expected);
  });
}

TEST_CASE("oracle: logits under an intervention agree, and earlier positions keep their bits") {
  std::size_t n_interventions = 0;
  for_each_oracle([&](const Oracle& oracle, const std::shared_ptr<const Model>& model) {
    if (oracle.description.at("interventions").empty()) return;
    Comparison comparison(oracle.name());
    const Tokens tokens = sequences_of(oracle).at(oracle.description.at("intervention_sequence").get<std::size_t>());
    const SessionOptions options{.context = tokens.size(), .keep_cache = false};
    Session plain_session(model, options);
    const ConstMatrixView plain = plain_session.run(tokens, LogitsRows::all);
    for (const nlohmann::json& intervention : oracle.description.at("interventions")) {
      const std::string name = intervention.at("name").get<std::string>();
      CAPTURE(name);
      Intervene intervene({edit_of(intervention)});
      Hook* const hooks[] = {&intervene};
      Session session(model, options);
      const ConstMatrixView changed = session.run(tokens, LogitsRows::all, hooks);
      comparison.check(oracle.at(name + ".logits"), changed, kTolerance);
      const auto first_changed = intervention.at("first_changed_position").get<std::size_t>();
      for (std::size_t t = 0; t < first_changed; ++t) CHECK(std::ranges::equal(changed.row(t), plain.row(t)));
      ++n_interventions;
    }
    comparison.report();
  });
  CHECK((n_interventions > 0 || oracles_elsewhere()));
}

}  // namespace ffmem
