#include "tools/trigger_store.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "loaders/mapped_file.hpp"
#include "loaders/safetensors_writer.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"
#include "tools/trigger_checkpoint.hpp"

using namespace ffmem;
using namespace ffmem::tools;

namespace {

TriggerInfo example_info() {
  TriggerInfo info;
  info.model = "/models/small";
  info.model_fingerprint = "0123456789abcdef";
  info.corpus = {"/text/a", "/text/b"};
  info.corpus_fingerprint = "fedcba9876543210";
  info.top = 2;
  info.context = 16;
  info.prefix_token = 0;
  info.counts = {.n_sentences = 9, .n_tokens = 40, .n_cut = 1};
  return info;
}

/// One layer of three keys: two examples, one, none. Sentence 4 is "a b c", sentence 7 "c d".
TriggerTable example_table() {
  TriggerTable table(1, 3, 2);
  table.coefficient = {2.5F, 1.0F, 0.5F, 0, 0, 0};
  table.sentence = {7, 4, 4, -1, -1, -1};
  table.position = {1, 0, 2, -1, -1, -1};
  return table;
}

const std::vector<TokenId> kTokens{1, 2, 3, 3, 4};

NamedSentences example_sentences() {
  return {.index = {4, 7}, .offsets = {0, 3, 5}, .walk = [](const NamedSentences::Sink& append) {
            append(std::span(kTokens).first(3));
            append(std::span(kTokens).subspan(3));
          }};
}

Vocabulary example_vocabulary() {
  Vocabulary vocabulary;
  vocabulary.offsets = {0, 0, 1, 3, 5, 6};
  vocabulary.bytes = "a b c\xC3";
  return vocabulary;
}

struct Example {
  TemporaryFolder folder;
  std::filesystem::path path = folder.path() / "store";

  void write(const TriggerTable& table, const TriggerInfo& info = example_info()) const {
    write_trigger_store(path, table, info, example_sentences(), example_vocabulary());
  }

  /// What opening or reading the store of a changed table throws.
  Error after(const std::function<void(TriggerTable&)>& change) const {
    TriggerTable table = example_table();
    change(table);
    write(table);
    return thrown([&] {
      const TriggerStore store(path);
      store.examples(0, 0);
      store.table();
    });
  }
};

}  // namespace

TEST_CASE("trigger_store: what was written is read back, with prefixes, next tokens and texts") {
  const Example example;
  example.write(example_table());
  const TriggerStore store(example.path);
  CHECK(store.n_layers() == 1);
  CHECK(store.d_memory() == 3);
  CHECK(store.top() == 2);
  CHECK(store.n_keys_never_fired() == 1);
  CHECK(keys_with_fewer_than(1, example_table()) == 1);
  CHECK(keys_with_fewer_than(2, example_table()) == 2);
  CHECK(difference(store.info(), example_info()).empty());
  CHECK(store.info().counts == example_info().counts);
  CHECK(store.info().corpus == example_info().corpus);
  CHECK(store.vocab_size() == 5);
  CHECK(store.token_bytes(2) == " b");
  CHECK(store.token_bytes(0).empty());
  CHECK(store.token_bytes(5).empty());
  CHECK(store.token_bytes(-1).empty());

  const auto best = store.examples(0, 0);
  REQUIRE(best.size() == 2);
  CHECK(best[0].coefficient == 2.5F);
  CHECK(best[0].sentence == 7);
  CHECK(std::vector(best[0].prefix.begin(), best[0].prefix.end()) == std::vector<TokenId>{3, 4});
  CHECK(!best[0].next);  // the prefix is the whole sentence
  CHECK(store.text_before_trigger(best[0], 1) == store.token_bytes(3));
  CHECK(store.text_before_trigger(best[0], 0) == "\u2026 ");
  CHECK(std::vector(best[1].prefix.begin(), best[1].prefix.end()) == std::vector<TokenId>{1});
  CHECK(best[1].next == 2);
  CHECK(best[1].tokens.size() == 3);
  CHECK(store.examples(0, 0, 1).size() == 1);
  CHECK(store.examples(0, 1).size() == 1);
  CHECK(store.examples(0, 2).empty());
  CHECK(store.n_examples(0, 0) == 2);
  CHECK(store.n_examples(0, 1) == 1);
  CHECK(store.n_examples(0, 2) == 0);
  CHECK(store.example(0, 0, 1).coefficient == best[1].coefficient);
  CHECK(store.example(0, 0, 1).prefix.size() == 1);
}

TEST_CASE("trigger_store: the same contents give the same bytes, and reading and writing again too") {
  const Example example;
  example.write(example_table());
  const std::string first = read_text_file(example.path);
  const TriggerStore store(example.path);
  write_trigger_store(example.folder.path() / "again", store.table(), store.info(), example_sentences(), store.vocabulary());
  CHECK(read_text_file(example.folder.path() / "again") == first);
}

TEST_CASE("trigger_store: layers, units and sentences that are not there are errors") {
  const Example example;
  example.write(example_table());
  const TriggerStore store(example.path);
  CHECK(thrown([&] { store.examples(1, 0); }).code() == ErrorCode::layer_out_of_range);
  CHECK(thrown([&] { store.examples(0, 3); }).code() == ErrorCode::unit_out_of_range);
  CHECK(thrown([&] { store.n_examples(1, 0); }).code() == ErrorCode::layer_out_of_range);
  CHECK(thrown([&] { store.example(0, 3, 0); }).code() == ErrorCode::unit_out_of_range);
  CHECK(thrown([&] { store.sentence_tokens(5); }).code() == ErrorCode::store_invalid);
  CHECK(thrown([&] { store.sentence_tokens(8); }).code() == ErrorCode::store_invalid);
}

TEST_CASE("trigger_store: lists that no search leaves are errors that name the key") {
  const Example example;
  const auto out_of_order = example.after([](TriggerTable& t) { std::swap(t.coefficient[0], t.coefficient[1]); });
  CHECK(out_of_order.code() == ErrorCode::store_invalid);
  CHECK(contains(out_of_order.what(), "layer 0, unit 0, example 1"));
  const std::vector<std::function<void(TriggerTable&)>> changes{
      [](TriggerTable& t) { t.coefficient[1] = -1.0F; },                        // both signs
      [](TriggerTable& t) { t.coefficient = {-2.5F, -1.0F, -0.5F, 0, 0, 0}; },  // of a search for the smallest
      [](TriggerTable& t) { t.coefficient[0] = t.coefficient[1] = NAN; },       // no number
      [](TriggerTable& t) { t.sentence[0] = -1, t.coefficient[0] = 0.0F; },     // an empty place before a full one
      [](TriggerTable& t) { t.position[1] = 3; },                               // behind the sentence's end
      [](TriggerTable& t) { t.position[1] = -1; },
      [](TriggerTable& t) { t.sentence[1] = 5; },  // not in the store
  };
  for (const auto& change : changes) CHECK(example.after(change).code() == ErrorCode::store_invalid);
}

TEST_CASE("trigger_store: a key's examples are checked where that key alone is read, and another's do not matter") {
  const Example example;
  TriggerTable table = example_table();
  table.coefficient[2] = NAN;
  example.write(table);
  const TriggerStore store(example.path);
  CHECK(store.examples(0, 0).size() == 2);
  CHECK(contains(thrown([&] { store.examples(0, 1); }).what(), "store: layer 0, unit 1, example 0: coefficient nan"));
  CHECK(thrown([&] { store.n_examples(0, 1); }).code() == ErrorCode::store_invalid);
}

TEST_CASE("trigger_store: a token beyond the vocabulary is an error that names the file") {
  const Example example;
  for (const TokenId token : {-1, 5}) {
    CAPTURE(token);
    NamedSentences sentences = example_sentences();
    sentences.walk = [&](const NamedSentences::Sink& append) { append(std::vector<TokenId>{1, 2, 3, 3, token}); };
    write_trigger_store(example.path, example_table(), example_info(), sentences, example_vocabulary());
    const TriggerStore store(example.path);
    const Error error = thrown([&] { store.examples(0, 0); });
    CHECK(error.code() == ErrorCode::store_invalid);
    CHECK(contains(error.what(), concat("store: sentence 7: expected token ids of a vocabulary of 5, found ", token)));
    CHECK(store.examples(0, 1).size() == 1);
  }
}

TEST_CASE("trigger_store: a table without layers, memories or examples is refused") {
  const Example example;
  for (const auto& shape :
       std::vector<std::vector<std::size_t>>{{0, 3, 2}, {1, 0, 2}, {1, 3, 0}, {std::size_t{1} << 40, 0, 8}}) {
    example.write(example_table());
    std::vector<TensorToWrite> tensors;
    const SafetensorsFile file(example.path);
    for (const auto& [name, tensor] : file.tensors()) {
      const bool is_place = name == "coefficient" || name == "sentence" || name == "position";
      tensors.push_back({name, tensor.dtype, is_place ? shape : tensor.shape, tensor.data});
    }
    write_safetensors(example.folder.path() / "empty", tensors, file.metadata());
    const Error error = thrown([&] { TriggerStore store(example.folder.path() / "empty"); });
    CHECK(error.code() == ErrorCode::store_invalid);
    CHECK(contains(error.what(), concat("at least one of each, found ", shape_text(shape))));
  }
}

TEST_CASE("trigger_store: another file, another version and missing metadata are errors that say so") {
  const Example example;
  const float number = 1.0F;
  write_safetensors(example.path, {{"coefficient", DType::f32, {1, 1, 1}, &number}});
  CHECK(contains(thrown([&] { TriggerStore store(example.path); }).what(), "'format'"));
  auto metadata = to_metadata(example_info(), "ffmem-triggers");
  const auto error_with = [&] {
    write_safetensors(example.path, {{"coefficient", DType::f32, {1, 1, 1}, &number}}, metadata);
    return thrown([&] { TriggerStore store(example.path); });
  };
  CHECK(error_with().code() == ErrorCode::tensor_missing);
  metadata.insert_or_assign("version", "2");
  CHECK(contains(error_with().what(), "'version': expected '1', found '2'"));
  metadata.insert_or_assign("version", "1");
  metadata.insert_or_assign("n_tokens", "12x");
  CHECK(contains(error_with().what(), "'n_tokens': expected a whole number, found '12x'"));
  metadata.insert_or_assign("n_tokens", "12");
  metadata.insert_or_assign("every_prefix", "maybe");
  CHECK(contains(error_with().what(), "'every_prefix'"));
  metadata.insert_or_assign("every_prefix", "true");
  metadata.insert_or_assign("sentences", "words");
  CHECK(error_with().code() == ErrorCode::store_invalid);
  metadata.erase("sentences");
  CHECK(contains(error_with().what(), "'sentences'"));
}

TEST_CASE("trigger_store: sentences of other sizes than announced are an error and leave no file") {
  const Example example;
  auto sentences = example_sentences();
  sentences.offsets.back() += 1;
  CHECK(thrown([&] {
          write_trigger_store(example.path, example_table(), example_info(), sentences, example_vocabulary());
        }).code() == ErrorCode::argument_invalid);
  CHECK(std::filesystem::is_empty(example.folder.path()));
}

TEST_CASE("trigger_store: named sentences are distinct, ascending and without the empty places") {
  CHECK(named_sentences(example_table()) == std::vector<std::int64_t>{4, 7});
  CHECK(named_sentences(TriggerTable(1, 2, 3)).empty());
}

TEST_CASE("trigger_info: shards as text and back") {
  CHECK(ShardSet{}.text().empty());
  CHECK(ShardSet::parse("").whole());
  CHECK(ShardSet::parse("0/1").whole());
  CHECK(ShardSet::parse("1/4").text() == "1/4");
  CHECK(ShardSet::parse("0,2/4").parts == std::vector<std::size_t>{0, 2});
  CHECK(ShardSet::parse("0,1,2,3/4").text().empty());
  for (const char* text : {"1", "/", "1/", "/2", "2/2", "-1/2", "0/0", "a/2", "1/2x", "1,0/2", "1,1/2", "0,/5"}) {
    CAPTURE(text);
    CHECK(thrown([&] { ShardSet::parse(text); }).code() == ErrorCode::argument_invalid);
  }
}

TEST_CASE("trigger_info: every option makes another search, shards, counts and places do not") {
  const TriggerInfo info = example_info();
  TriggerInfo same = info;
  same.model = "/elsewhere";
  same.corpus = {"/x"};
  same.shards = ShardSet::parse("1/2");
  same.counts = {};
  CHECK(difference(info, same).empty());
  const std::vector<std::function<void(TriggerInfo&)>> changes{[](TriggerInfo& i) { i.model_fingerprint.clear(); },
                                                               [](TriggerInfo& i) { i.corpus_fingerprint.clear(); },
                                                               [](TriggerInfo& i) { i.sentences = SentenceMode::lines; },
                                                               [](TriggerInfo& i) { i.top = 3; },
                                                               [](TriggerInfo& i) { i.every_prefix = true; },
                                                               [](TriggerInfo& i) { i.smallest = true; },
                                                               [](TriggerInfo& i) { i.context = 15; },
                                                               [](TriggerInfo& i) { i.prefix_token.reset(); },
                                                               [](TriggerInfo& i) { i.max_sentences = 5; }};
  for (const auto& change : changes) {
    TriggerInfo other = info;
    change(other);
    CHECK(!difference(info, other).empty());
  }
}

TEST_CASE("trigger_checkpoint: comes back whole, and only for the same search and shard") {
  const TemporaryFolder folder;
  const auto path = checkpoint_path(folder.path() / "out.safetensors");
  CHECK(path.filename() == "out.safetensors.partial");
  CHECK(!read_checkpoint(path, example_info(), 1, 3));
  write_checkpoint(path, example_table(), example_info(), 11);

  TriggerInfo expected = example_info();
  expected.counts = {};  // what a new start knows
  const auto checkpoint = read_checkpoint(path, expected, 1, 3);
  REQUIRE(checkpoint);
  CHECK(checkpoint->next_sentence == 11);
  CHECK(checkpoint->info.counts == example_info().counts);
  CHECK(checkpoint->table.coefficient == example_table().coefficient);
  CHECK(checkpoint->table.sentence == example_table().sentence);
  CHECK(checkpoint->table.position == example_table().position);

  expected.every_prefix = true;
  const auto other_option = thrown([&] { read_checkpoint(path, expected, 1, 3); });
  CHECK(other_option.code() == ErrorCode::store_invalid);
  CHECK(contains(other_option.what(), "every_prefix: 'false' and 'true'"));
  expected = example_info();
  expected.shards = ShardSet::parse("0/2");
  CHECK(contains(thrown([&] { read_checkpoint(path, expected, 1, 3); }).what(), "shard"));
  CHECK(thrown([&] { read_checkpoint(path, example_info(), 2, 3); }).code() == ErrorCode::store_invalid);
  CHECK(thrown([&] { TriggerStore store(path); }).code() == ErrorCode::store_invalid);
}
