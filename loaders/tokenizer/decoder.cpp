#include "loaders/tokenizer/decoder.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "loaders/tokenizer/byte_alphabet.hpp"
#include "loaders/tokenizer/passing_sink.hpp"
#include "loaders/utf8.hpp"

namespace ffmem::tokenization {
namespace {

class SpaceJoining final : public DecoderStep {
 public:
  std::unique_ptr<DecoderSink> start(DecoderSink& next, TextBudget&) const override { return std::make_unique<Sink>(next); }
  std::string inside(std::string token, TextBudget&) const override {
    std::string joined(1, ' ');
    return joined += token;
  }

 private:
  class Sink final : public PassingSink {
   public:
    using PassingSink::PassingSink;
    void text(std::string_view chunk) override {
      if (std::exchange(between_, false)) next_.text(" ");
      next_.text(chunk);
    }
    void end_token() override {
      between_ = true;
      next_.end_token();
    }

   private:
    bool between_ = false;
  };
};

class Fuse final : public DecoderStep {
 public:
  std::unique_ptr<DecoderSink> start(DecoderSink& next, TextBudget&) const override { return std::make_unique<Sink>(next); }
  std::string inside(std::string token, TextBudget&) const override { return token; }

 private:
  class Sink final : public PassingSink {
   public:
    using PassingSink::PassingSink;
    void end_token() override {}
    void finish() override {
      next_.end_token();
      next_.finish();
    }
  };
};

class ByteLevelDecoding final : public DecoderStep {
 public:
  std::unique_ptr<DecoderSink> start(DecoderSink& next, TextBudget&) const override { return std::make_unique<Sink>(next); }
  std::string inside(std::string token, TextBudget&) const override {
    auto bytes = bytes_of_spelling(token);
    return bytes ? std::move(*bytes) : token;
  }

 private:
  class Sink final : public PassingSink {
   public:
    using PassingSink::PassingSink;
    void text(std::string_view chunk) override { token_ += chunk; }
    void end_token() override {
      const auto bytes = bytes_of_spelling(token_);
      bytes_ += bytes ? *bytes : token_;
      token_.clear();
      put_out(bytes_.size() - unfinished_tail());
    }
    void finish() override {
      put_out(bytes_.size());
      next_.end_token();
      next_.finish();
    }

   private:
    /// Bytes at the end that may become a character with more of them.
    std::size_t unfinished_tail() const {
      for (std::size_t length = 1; length <= std::min<std::size_t>(3, bytes_.size()); ++length) {
        const std::size_t at = bytes_.size() - length;
        if ((static_cast<unsigned char>(bytes_[at]) & 0xC0) == 0x80) continue;
        const Utf8Step step = utf8_step(bytes_, at);
        return step.kind == Utf8Step::Kind::truncated && step.length == length ? length : 0;
      }
      return 0;
    }

    void put_out(std::size_t n_bytes) {
      if (n_bytes == 0) return;
      next_.text(repair_utf8(std::string_view(bytes_).substr(0, n_bytes)));
      bytes_.erase(0, n_bytes);
    }

    std::string token_;
    std::string bytes_;
  };
};

std::optional<char> byte_of_token(std::string_view token) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
  };
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  const int high = digit(token[3]);
  const int low = digit(token[4]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<char>(static_cast<unsigned char>(high * 16 + low));
}

class ByteFallback final : public DecoderStep {
 public:
  std::unique_ptr<DecoderSink> start(DecoderSink& next, TextBudget&) const override { return std::make_unique<Sink>(next); }
  std::string inside(std::string token, TextBudget&) const override {
    const auto byte = byte_of_token(token);
    return byte ? std::string{*byte} : token;
  }

 private:
  class Sink final : public PassingSink {
   public:
    using PassingSink::PassingSink;
    void text(std::string_view chunk) override { token_ += chunk; }
    void end_token() override {
      if (const auto byte = byte_of_token(token_)) {
        run_ += *byte;
      } else {
        put_out_run();
        put_out(token_);
      }
      token_.clear();
    }
    void finish() override {
      put_out_run();
      next_.finish();
    }

   private:
    void put_out(std::string_view token) {
      next_.text(token);
      next_.end_token();
    }
    void put_out_run() {
      if (run_.empty()) return;
      if (valid_utf8_prefix(run_) == run_.size()) {
        put_out(run_);
      } else {
        for (std::size_t i = 0; i < run_.size(); ++i) put_out(kReplacementCharacter);
      }
      run_.clear();
    }

    std::string token_;
    std::string run_;  // bytes
  };
};

}  // namespace

std::unique_ptr<const DecoderStep> space_joining_step() { return std::make_unique<SpaceJoining>(); }
std::unique_ptr<const DecoderStep> fuse_step() { return std::make_unique<Fuse>(); }
std::unique_ptr<const DecoderStep> byte_level_step() { return std::make_unique<ByteLevelDecoding>(); }
std::unique_ptr<const DecoderStep> byte_fallback_step() { return std::make_unique<ByteFallback>(); }

class Decoding::Collector final : public DecoderSink {
 public:
  void text(std::string_view chunk) override { collected += chunk; }
  void end_token() override {}
  void finish() override {}

  std::string collected;
};

Decoding::Decoding(const DecoderSteps& steps) : collector_(std::make_unique<Collector>()) {
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    sinks_.push_back((*step)->start(sinks_.empty() ? static_cast<DecoderSink&>(*collector_) : *sinks_.back(), budget_));
  }
}

Decoding::~Decoding() = default;

std::string Decoding::push(std::string_view token) {
  DecoderSink& first = sinks_.empty() ? static_cast<DecoderSink&>(*collector_) : *sinks_.back();
  budget_.add(token);
  first.text(token);
  first.end_token();
  return take();
}

std::string Decoding::finish() {
  DecoderSink& first = sinks_.empty() ? static_cast<DecoderSink&>(*collector_) : *sinks_.back();
  first.finish();
  return take();
}

std::string Decoding::take() { return std::exchange(collector_->collected, {}); }

}  // namespace ffmem::tokenization
