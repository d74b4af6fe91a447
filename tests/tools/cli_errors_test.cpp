// What a user sees who gets something wrong: one line that names the thing, and the exit code.
#include <doctest/doctest.h>

#include <algorithm>
#include <csignal>
#include <limits>
#include <string>

#include "loaders/safetensors_writer.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/command_output.hpp"
#include "tests/tools/tiny_model.hpp"

using namespace ffmem;

namespace {

const Arguments kGenerate{"generate", kTiny, "--tokens", "5,6,7", "--max-new", "2", "--json"};

}  // namespace

TEST_CASE("ffmem: a command line that makes no sense is exit code 2") {
  check_complaint({}, 2, {"ffmem --help"});
  check_complaint({"traec", kTiny}, 2, {"no command 'traec'", "did you mean trace?"});
  check_complaint({"frobnicate"}, 2, {"there are info, "});
  check_complaint({"info"}, 2, {"MODEL", "ffmem info --help"});
  check_complaint({"info", kTiny, "--frob"}, 2, {"--frob"});
  check_complaint({"info", kTiny, "--threads", "0"}, 2, {"--threads"});
  check_complaint({"generate", kTiny}, 2, {"--prompt or --tokens"});
  check_complaint({"capture", kTiny, "--points", "ffn_in", "-o", "x"}, 2, {"--text, --tokens or --tokens-file"});
  check_complaint({"trace", kTiny}, 2, {"TEXT or --tokens"});
  check_complaint({"trace", kTiny, "a", "--tokens", "5"}, 2, {"--tokens"});
  check_complaint({"generate", kTiny, "--prompt", "a", "--tokens", "5"}, 2, {"--prompt"});
  check_complaint({"generate", kTiny, "--tokens", "5,x"}, 2, {"token ids", "'x'"});
  check_complaint({"generate", kTiny, "--tokens", "5", "--max-new", "many"}, 2, {"--max-new"});
  for (const std::string option : {"--max-new", "--top-k", "--seed", "--temperature", "--top-p"}) {
    check_complaint({"generate", kTiny, "--tokens", "5", option, "-1"}, 2, {option, "-1"});
  }
  check_complaint({"generate", kTiny, "--tokens", "5", "--max-new", "99999999999999999999"}, 2, {"--max-new"});
  check_complaint({"trace", kTiny, "--tokens", "5", "--tokens-shown", "0"}, 2, {"--tokens-shown"});
  check_complaint({"tokenize", kDemo}, 2, {"nothing to tokenize"});
  check_complaint({"tokenize", kDemo, "a", "--ids", "--json"}, 2, {"--ids", "--json"});
  for (const std::string lens : {"fisheye", "1"}) {
    for (const Arguments& command : {Arguments{"trace", kDemo, "a"}, Arguments{"values", kDemo, "-o", "x"}}) {
      check_complaint(with(command, {"--lens", lens}), 2, {"--lens", lens, "raw", "final-norm"});
    }
  }
  check_complaint({"capture", kTiny, "--tokens", "5", "--points", "coeficients", "-o", "x"}, 2,
                  {"coeficients", "coefficients"});
  check_complaint({"capture", kTiny, "--tokens", "5", "--points", "ffn_in", "--layers", "a:b", "-o", "x"}, 2,
                  {"--layers", "'a'"});
  check_complaint({"perplexity", kDemo, "x", "--window", "8", "--stride", "9"}, 2, {"--stride 9"});
  check_complaint({"experiment", "active-memories", kDemo, "--valid", "x", "-o", ""}, 2, {"-o", "empty path"});
}

TEST_CASE("ffmem: a number is plain and in its range, or exit code 2 names it") {
  const std::vector<Arguments> counts{{"triggers", kDemo, "c.txt", "-o", "x", "--top"},
                                      {"triggers", kDemo, "c.txt", "-o", "x", "--max-sentences"},
                                      {"triggers", kDemo, "c.txt", "-o", "x", "--context"},
                                      {"triggers", kDemo, "c.txt", "-o", "x", "--batch-tokens"},
                                      {"values", kDemo, "-o", "x", "--top"},
                                      {"report", "--triggers", "t", "--values", "v", "-o", "x", "--memories"},
                                      {"experiment", "memory-effects", kDemo, "-o", "x", "--effect-layer"},
                                      {"info", kDemo, "--threads"},
                                      {"show", "t.safetensors", "1"}};
  for (const Arguments& command : counts) {
    for (const std::string number : {"010", "0x2", "-1", "nan", "1.5", ""}) {
      CAPTURE(command.back());
      check_complaint(with(command, {number}), 2, {"expected a whole number", "'" + number + "'"});
    }
  }
  check_complaint({"values", kDemo, "-o", "x", "--top", "100001"}, 2, {"1 to 100000", "'100001'"});
  check_complaint({"show", "t.safetensors", "3", "17", "--top", "0"}, 2, {"--top", "'0'"});
  const std::vector<Arguments> numbers{{"generate", kDemo, "--tokens", "5", "--temperature"},
                                       {"generate", kDemo, "--tokens", "5", "--top-p"},
                                       {"triggers", kDemo, "c.txt", "-o", "x", "--checkpoint-every"},
                                       {"experiment", "active-memories", kDemo, "-o", "x", "--active-above"},
                                       {"bench", "--shape", "paper", "--activity"}};
  for (const Arguments& command : numbers) {
    for (const std::string number : {"nan", "inf", "-0.5", "much"}) {
      CAPTURE(command.back());
      check_complaint(with(command, {number}), 2, {"expected a number", "'" + number + "'"});
    }
  }
  check_complaint({"generate", kDemo, "--tokens", "5", "--top-p", "0"}, 2, {"above 0"});
}

TEST_CASE("ffmem export: an option of another form is exit code 2") {
  const Arguments npy{"export", "x", "--format", "npy", "-o", "y"};
  const Arguments authors{"export", "x", "--format", "authors", "-o", "y"};
  for (const std::string option : {"--layers", "--units", "--model", "--threads", "--values", "--model-id", "--source-set"}) {
    check_complaint(with(npy, {option, "3"}), 2, {option, "not npy"});
  }
  for (const std::string option : {"--model", "--threads", "--values", "--model-id", "--source-set"}) {
    check_complaint(with(authors, {option, "3"}), 2, {option, "not authors"});
  }
}

TEST_CASE("ffmem: a malformed intervention is exit code 2 and shows the form") {
  check_complaint(with(kGenerate, {"--set", "coefficients:1=3"}), 2, {"coefficients:1=3", "POINT:LAYER:UNIT=VALUE"});
  check_complaint(with(kGenerate, {"--set", "coefficients:1:2"}), 2, {"POINT:LAYER:UNIT=VALUE"});
  check_complaint(with(kGenerate, {"--scale", "coefficients:1:2=big"}), 2, {"'big'"});
  check_complaint(with(kGenerate, {"--zero", "logits:1:2"}), 2, {"without :LAYER"});
  check_complaint(with(kGenerate, {"--zero", "ffn_uot:1"}), 2, {"--zero ffn_uot:1: ", "ffn_out"});
  for (const std::string position : {"4294967296", "99999999999999999999"}) {
    check_complaint(with(kGenerate, {"--zero", "ffn_out:1@" + position}), 2, {"--zero ffn_out:1@" + position + ": "});
  }
  check_complaint(with(kGenerate, {"--add", "ffn_out:1=vectors"}), 2, {"FILE:TENSOR"});
}

TEST_CASE("ffmem: an intervention outside the model is an error before any work") {
  check_complaint(with(kGenerate, {"--zero", "coefficients:3"}), 1, {"layer 3", "0 to 2"});
  check_complaint(with(kGenerate, {"--set", "coefficients:1:44=1"}), 1, {"unit 44", "0 to 43"});
  check_complaint(with(kGenerate, {"--set", "ffn_out:1:24=1"}), 1, {"unit 24", "0 to 23"});
  check_complaint(with(kGenerate, {"--set", "logits:64=1"}), 1, {"unit 64", "0 to 63"});
  // The last new token is chosen and not run.
  check_complaint(with(kGenerate, {"--zero", "ffn_out:1@4"}), 1, {"position 4", "0 to 3"});
  const Arguments trace{"trace", kTiny, "--tokens", "5,6"};
  check_complaint(with(trace, {"--zero", "ffn_out:1@2"}), 1, {"position 2", "0 to 1"});
  check_complaint(with(trace, {"--position", "2"}), 1, {"--position 2", "0 to 1"});
  const Arguments capture{"capture", kTiny, "--tokens", "5", "-o", "/nowhere/x", "--points", "ffn_in"};
  check_complaint(with(capture, {"--layers", "3"}), 1, {"--layers 3", "0 to 2"});
  check_complaint(with(capture, {"--layers", "2:2"}), 1, {"--layers 2:2"});
}

TEST_CASE("ffmem: a patch or vector file that lacks something is named") {
  const TemporaryFolder folder;
  const std::string file = folder.path() / "v.safetensors";
  const std::vector<float> zeros(48, 0.0F);
  const std::vector<std::int64_t> ids{1};
  write_safetensors(file, {{"ffn_out.1", DType::f32, {2, 24}, zeros.data()},
                           {"short", DType::f32, {23}, zeros.data()},
                           {"ids", DType::i64, {1}, ids.data()}});
  check_complaint(with(kGenerate, {"--patch", "ffn_out:1=/nowhere/v"}), 1, {"/nowhere/v"});
  check_complaint(with(kGenerate, {"--patch", "ffn_out:2=" + file}), 1, {file, "ffn_out.2"});
  check_complaint(with(kGenerate, {"--patch", "ffn_out:1@3=" + file}), 1, {"position 3", "0 to 1"});
  check_complaint(with(kGenerate, {"--add", "ffn_out:1=" + file + ":short"}), 1, {"short", "[24]", "[23]"});
  check_complaint(with(kGenerate, {"--add", "ffn_out:1=" + file + ":ids"}), 1, {"ids", "I64"});
}

TEST_CASE("ffmem: files that are missing, or a folder where a file belongs") {
  const TemporaryFolder folder;
  check_complaint({"info", "/nowhere/model"}, 1, {"/nowhere/model"});
  check_complaint({"info", folder.path()}, 1, {"config.json"});
  check_complaint({"tokenize", kTiny, "a"}, 1, {"tokenizer.json"});
  check_complaint({"tokenize", kDemo, "--file", "/nowhere/text"}, 1, {"/nowhere/text"});
  check_complaint({"tokenize", kDemo, "--file", folder.path()}, 1, {folder.path().string(), "directory"});
  check_complaint({"generate", kTiny, "--prompt", "a"}, 1, {"tokenizer"});
  check_complaint({"perplexity", kDemo, "/nowhere/text"}, 1, {"/nowhere/text"});
  check_complaint({"values", kDemo, "-o", folder.path() / "v", "--token", " imprisonments of"}, 1,
                  {"expected a text of one token, found 4"});
  check_complaint({"perplexity", kDemo, folder.path()}, 1, {"directory"});
  check_complaint({"capture", kTiny, "--tokens-file", "/nowhere/ids", "--points", "ffn_in", "-o", "x"}, 1, {"/nowhere/ids"});
  std::filesystem::create_directory(folder.path() / "config.json");
  check_complaint({"info", folder.path()}, 1, {"config.json", "directory"});
}

TEST_CASE("ffmem: weights that are truncated, overlap, or have the wrong shape or type") {
  const ModelFolder truncated;
  std::filesystem::resize_file(truncated.weights(), std::filesystem::file_size(truncated.weights()) - 100);
  check_complaint({"info", truncated.path()}, 1, {"model.safetensors"});

  const ModelFolder overlap;
  const std::string header =
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})";
  overlap.write("model.safetensors",
                std::string(1, static_cast<char>(header.size())) + std::string(7, '\0') + header + std::string(12, '\0'));
  check_complaint({"info", overlap.path()}, 1, {"model.safetensors", "b"});

  const ModelFolder shape;
  shape.edit_tensors([](auto& tensors) {
    std::swap(tensors.at("transformer.h.1.mlp.c_fc.weight").shape[0], tensors.at("transformer.h.1.mlp.c_fc.weight").shape[1]);
  });
  check_complaint({"info", shape.path()}, 1, {"h.1.mlp.c_fc.weight", "[24, 44]", "[44, 24]"});

  const ModelFolder dtype;
  dtype.edit_tensors([](auto& tensors) { tensors.at("transformer.h.1.mlp.c_fc.weight").dtype = DType::i32; });
  check_complaint({"info", dtype.path()}, 1, {"h.1.mlp.c_fc.weight", "I32"});

  const ModelFolder missing;
  missing.edit_tensors([](auto& tensors) { tensors.erase("transformer.h.2.attn.c_attn.bias"); });
  check_complaint({"info", missing.path()}, 1, {"h.2.attn.c_attn.bias"});
}

TEST_CASE("ffmem: a configuration this program does not know") {
  const ModelFolder family;
  family.edit_config("\"model_type\": \"gpt2\"", "\"model_type\": \"gpt17\"");
  check_complaint({"info", family.path()}, 1, {"config.json", "gpt17"});
  const ModelFolder activation;
  activation.edit_config("\"relu\"", "\"swoosh\"");
  check_complaint({"info", activation.path()}, 1, {"config.json", "swoosh"});
  const ModelFolder malformed;
  malformed.write("config.json", "{\"model_type\": ");
  check_complaint({"info", malformed.path()}, 1, {"config.json"});
}

TEST_CASE("ffmem: a tokenizer with more ids than the vocabulary does not fit; one with fewer does") {
  const ModelFolder larger;
  larger.add_tokenizer(65);
  check_complaint({"generate", larger.path(), "--prompt", "w5"}, 1, {"65 tokens", "64"});
  const ModelFolder smaller;
  smaller.add_tokenizer(60);
  CHECK(ffmem_command({"generate", smaller.path(), "--prompt", "w5", "--max-new", "2"}).exit_code == 0);
}

TEST_CASE("ffmem: tokens outside the vocabulary, and texts that are too long or empty") {
  check_complaint({"generate", kTiny, "--tokens", "5,64"}, 1, {"token id 64", "0 to 63"});
  check_complaint({"generate", kTiny, "--tokens", "-1"}, 1, {"token id -1"});
  check_complaint({"generate", kTiny, "--tokens", ""}, 1, {"no tokens"});
  check_complaint({"tokenize", kDemo, "--decode", "8192"}, 1, {"8192"});
  std::string ids = "5";
  for (int i = 0; i < 32; ++i) ids += " 5";
  check_complaint({"generate", kTiny, "--tokens", ids}, 1, {"33 tokens", "32"});
  check_complaint({"trace", kTiny, "--tokens", ids}, 1, {"33 tokens", "32"});
  check_complaint({"capture", kTiny, "--tokens", ids, "--points", "ffn_in", "-o", "x"}, 1, {"33 tokens", "32"});
  const TemporaryFolder folder;
  check_complaint({"perplexity", kDemo, folder.write("empty", "")}, 1, {"empty"});
  check_complaint({"perplexity", kDemo, folder.write("bytes", "a b\nc \xff d\n")}, 1, {"bytes: line 2: byte 6", "UTF-8"});
  check_complaint({"perplexity", kDemo, folder.write("text", "a b c"), "--window", "257"}, 1, {"257", "256"});
}

TEST_CASE("command line: weights or interventions that are no numbers end in an error, not in a result of NaN") {
  check_complaint({"trace", kTiny, "--tokens", "5", "--set", "residual_post:2:3=nan"}, 1, {"not a number"});
  const TemporaryFolder folder;
  const ModelFolder model;
  model.add_tokenizer(64);
  const std::vector<float> nan(24, std::numeric_limits<float>::quiet_NaN());
  model.edit_tensors([&](auto& tensors) {
    TensorToWrite& norm = tensors.at("transformer.ln_f.weight");
    norm.dtype = DType::f32;
    norm.data = nan.data();
  });
  check_complaint({"perplexity", model.path(), folder.write("text", "w1 w2 w3 w4")}, 1, {model.path(), "not numbers"});
  check_complaint({"values", model.path(), "-o", folder.path() / "values", "--lens", "final-norm"}, 1,
                  {"value 0 of layer 0", "not numbers"});
  CHECK_FALSE(std::filesystem::exists(folder.path() / "values"));
}

TEST_CASE("ffmem: weights that are no numbers end a search, and the show of a memory that has them") {
  const TemporaryFolder folder;
  const std::string corpus = folder.write("corpus", "w1 w2 w3\nw4 w5\n");
  const std::string store = folder.path() / "store";
  const ModelFolder model;
  model.add_tokenizer(64);
  const std::vector<float> nan(std::size_t{44} * 24, std::numeric_limits<float>::quiet_NaN());
  const auto break_tensor = [&](const std::string& name) {
    model.edit_tensors([&](auto& tensors) {
      tensors.at(name).dtype = DType::f32;
      tensors.at(name).data = nan.data();
    });
  };
  break_tensor("transformer.h.0.mlp.c_fc.weight");
  check_complaint({"triggers", model.path(), corpus, "-o", store, "--quiet"}, 1, {"coefficients of layer 2", "not numbers"});
  CHECK_FALSE(std::filesystem::exists(store));
  break_tensor("transformer.h.2.mlp.c_proj.weight");  // which no coefficient rests on
  CHECK(ffmem_command({"triggers", model.path(), corpus, "-o", store, "--quiet"}).exit_code == 0);
  check_complaint({"show", store, "2", "22"}, 1, {"value 22 of layer 2", "not numbers"});
}

TEST_CASE("ffmem capture: an output that cannot be written leaves nothing behind") {
  const TemporaryFolder folder;
  const Arguments capture{"capture", kTiny, "--tokens", "5,6,7", "--points", "all"};
  check_complaint(with(capture, {"-o", "/nowhere/x"}), 1, {"/nowhere/x"});
  check_complaint(with(capture, {"-o", folder.path()}), 1, {folder.path().string()});
  check_complaint(with(capture, {"-o", folder.path() / "x"}), 1, {"x: cannot write", "File too large"},
                  {.max_file_bytes = 4096});
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("ffmem: a name that a result cannot store is told before the work") {
  const TemporaryFolder folder;
  const std::string out = folder.path() / "out";
  const std::string bad = folder.write("bad\xFF.txt", "w5 w6\n");
  const std::string lines = folder.write("two\nlines.txt", "w5 w6\n");
  const std::string text = folder.write("text", "w5 w6\n");
  const ModelFolder model;
  model.add_tokenizer(64);
  const std::string named = folder.path() / "model\xFF";
  std::filesystem::create_directory_symlink(model.path(), named);
  check_complaint({"triggers", model.path(), text, bad, "-o", out}, 1, {"bad\\xFF.txt", "UTF-8"});
  check_complaint({"triggers", model.path(), text, lines, "-o", out}, 1, {"two\\nlines.txt", "line end"});
  check_complaint({"triggers", named, text, "-o", out}, 1, {"model\\xFF", "UTF-8"});
  check_complaint({"values", named, "-o", out}, 1, {"model\\xFF", "UTF-8"});
  check_complaint({"capture", named, "--tokens", "5", "--points", "ffn_in", "-o", out}, 1, {"model\\xFF", "UTF-8"});
  check_complaint({"capture", model.path(), "--tokens", "5", "--points", "ffn_in", "--patch", "ffn_in:0=" + bad, "-o", out}, 1,
                  {"bad\\xFF.txt", "UTF-8"});
  check_complaint({"experiment", "value-ranks", named, "--train", text, "-o", out}, 1, {"model\\xFF", "UTF-8"});
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("ffmem: standard output that is full or closed is an error; one that nobody reads ends quietly") {
  for (const Arguments& arguments :
       {Arguments{"info", kTiny}, Arguments{"tokenize", kDemo, "a"}, Arguments{"trace", kTiny, "--tokens", "5"}, kGenerate}) {
    CAPTURE(arguments[0]);
    check_complaint(arguments, 1, {"standard output", "No space left"}, {.stdout_to = "/dev/full"});
    check_complaint(arguments, 1, {"standard output"}, {.stdout_closed = true});
    const CommandResult unread = ffmem_command(arguments, {.stdout_without_reader = true});
    CHECK(unread.exit_code == -SIGPIPE);
    CHECK(unread.err == "");
  }
  for (const char* request : {"--help", "--version"}) {
    check_complaint({request}, 1, {"standard output", "No space left"}, {.stdout_to = "/dev/full"});
  }
}

TEST_CASE("ffmem generate: Ctrl-C ends the text and is exit code 130") {
  // At least two bytes a token: more than was read and the pipe hold, whenever the signal comes, and with pages of 64 KiB.
  constexpr int kNewTokens = 36'000;
  const ModelFolder model(kTinyModel.parent_path() / "llama");
  model.edit_config("\"max_position_embeddings\": 32", "\"max_position_embeddings\": 40000");
  const CommandResult result =
      ffmem_command({"generate", model.path(), "--tokens", "5", "--max-new", std::to_string(kNewTokens), "--ignore-eos"},
                    {.interrupt_after_output = true});
  CHECK(result.exit_code == 130);
  CHECK(std::count(result.out.begin(), result.out.end(), ' ') < kNewTokens);
  CHECK(result.out.ends_with("\n"));
  CHECK(contains(result.err, "interrupted"));
}

TEST_CASE("ffmem values: a unit that is none, or beside what it excludes, is one line") {
  check_complaint({"values", kDemo, "--unit", "3"}, 2, {"LAYER:UNIT", "'3'"});
  check_complaint({"values", kDemo, "--unit", "3:x"}, 2, {"unit", "'x'"});
  check_complaint({"values", kDemo, "--unit", "12:0"}, 1, {"layer 12", "0 to 11"});
  check_complaint({"values", kDemo, "--unit", "3:1024"}, 1, {"unit 1024", "0 to 1023"});
  check_complaint({"values", kDemo, "--unit", "3:1", "-o", "x"}, 2, {"--out", "--unit"});
  check_complaint({"values", kDemo, "--unit", "3:1", "--token", "the"}, 2, {"--token", "--unit"});
  check_complaint({"values", kDemo}, 2, {"--out FILE", "--unit LAYER:UNIT"});
}
