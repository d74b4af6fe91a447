// The decoder's steps that change the text of tokens: Replace, Strip, Metaspace.
#include <algorithm>
#include <utility>

#include "loaders/tokenizer/decoder.hpp"
#include "loaders/tokenizer/passing_sink.hpp"
#include "loaders/utf8.hpp"

namespace ffmem::tokenization {
namespace {

class ReplaceText final : public DecoderStep {
 public:
  ReplaceText(std::string text, std::string content, std::string origin)
      : text_(std::move(text)), content_(std::move(content)), origin_(std::move(origin)) {}
  std::unique_ptr<DecoderSink> start(DecoderSink& next, TextBudget& budget) const override {
    return std::make_unique<Sink>(next, *this, budget);
  }
  std::string inside(std::string token, TextBudget& budget) const override {
    std::string replaced;
    const std::size_t rest = replace(token, replaced, budget);
    return replaced.append(token, rest);
  }

 private:
  /// Appends all up to the last occurrence; where the rest begins.
  std::size_t replace(std::string_view token, std::string& replaced, TextBudget& budget) const {
    std::size_t begin = 0;
    for (std::size_t found; (found = token.find(text_, begin)) != std::string_view::npos; begin = found + text_.size()) {
      budget.spend(content_.size(), origin_);
      replaced.append(token, begin, found - begin).append(content_);
    }
    return begin;
  }

  class Sink final : public PassingSink {
   public:
    Sink(DecoderSink& next, const ReplaceText& step, TextBudget& budget) : PassingSink(next), step_(step), budget_(budget) {}
    void text(std::string_view chunk) override {
      held_ += chunk;
      std::string replaced;
      const std::size_t rest = step_.replace(held_, replaced, budget_);
      const std::size_t start = start_of_occurrence(rest);
      replaced.append(held_, rest, start - rest);
      held_.erase(0, start);
      if (!replaced.empty()) next_.text(replaced);
    }
    void end_token() override {
      if (!held_.empty()) next_.text(held_);
      held_.clear();
      next_.end_token();
    }

   private:
    /// Where, from `rest` on, an occurrence may begin that the next chunk completes.
    std::size_t start_of_occurrence(std::size_t rest) const {
      const std::size_t longest = std::min(held_.size() - rest, step_.text_.size() - 1);
      std::size_t at = held_.size() - longest;
      while (!step_.text_.starts_with(std::string_view(held_).substr(at))) ++at;
      return at;
    }

    const ReplaceText& step_;
    TextBudget& budget_;
    std::string held_;
  };

  std::string text_, content_, origin_;
};

class ReplacePattern final : public DecoderStep {
 public:
  ReplacePattern(std::unique_ptr<const Pattern> pattern, std::string content, std::string origin)
      : pattern_(std::move(pattern)), content_(std::move(content)), origin_(std::move(origin)) {}
  std::unique_ptr<DecoderSink> start(DecoderSink& next, TextBudget& budget) const override {
    return std::make_unique<Sink>(next, *this, budget);
  }
  std::string inside(std::string token, TextBudget& budget) const override {
    std::string replaced;
    if (token.empty()) return replaced;
    pattern_->for_each_part(token, [&](Pattern::Part part) {
      if (part.is_match) budget.spend(content_.size(), origin_);
      replaced +=
          part.is_match ? std::string_view(content_) : std::string_view(token).substr(part.begin, part.end - part.begin);
    });
    return replaced;
  }

 private:
  class Sink final : public PassingSink {
   public:
    Sink(DecoderSink& next, const ReplacePattern& step, TextBudget& budget) : PassingSink(next), step_(step), budget_(budget) {}
    void text(std::string_view chunk) override { token_ += chunk; }
    void end_token() override {
      next_.text(step_.inside(std::move(token_), budget_));
      token_.clear();
      next_.end_token();
    }

   private:
    const ReplacePattern& step_;
    TextBudget& budget_;
    std::string token_;
  };

  std::unique_ptr<const Pattern> pattern_;
  std::string content_, origin_;
};

class Strip final : public DecoderStep {
 public:
  Strip(char32_t content, std::size_t start, std::size_t stop) : start_(start), stop_(stop) { append_utf8(content_, content); }
  std::unique_ptr<DecoderSink> start(DecoderSink& next, TextBudget&) const override {
    return std::make_unique<Sink>(next, *this);
  }
  std::string inside(std::string token, TextBudget&) const override { return token; }

 private:
  class Sink final : public PassingSink {
   public:
    Sink(DecoderSink& next, const Strip& step) : PassingSink(next), step_(step), left_at_start_(step.start_) {}
    void text(std::string_view chunk) override {
      const std::string& content = step_.content_;
      for (; left_at_start_ > 0 && chunk.starts_with(content); --left_at_start_) chunk.remove_prefix(content.size());
      if (chunk.empty()) return;
      left_at_start_ = 0;
      std::string_view kept = chunk;
      while (step_.stop_ > 0 && kept.ends_with(content)) kept.remove_suffix(content.size());
      if (!kept.empty()) put_out_held(held_);
      held_ += (chunk.size() - kept.size()) / content.size();
      if (!kept.empty()) next_.text(kept);
    }
    void end_token() override {
      put_out_held(held_ - std::min(held_, step_.stop_));
      held_ = 0;
      left_at_start_ = step_.start_;
      next_.end_token();
    }

   private:
    void put_out_held(std::size_t count) {
      for (std::size_t i = 0; i < count; ++i) next_.text(step_.content_);
      held_ = 0;
    }

    const Strip& step_;
    std::size_t left_at_start_;
    std::size_t held_ = 0;  // characters `content` that may be the last ones
  };

  std::string content_;
  std::size_t start_, stop_;
};

class MetaspaceDecoding final : public DecoderStep {
 public:
  MetaspaceDecoding(char32_t replacement, bool drop_in_first) : drop_in_first_(drop_in_first) {
    append_utf8(replacement_, replacement);
  }
  std::unique_ptr<DecoderSink> start(DecoderSink& next, TextBudget&) const override {
    return std::make_unique<Sink>(next, *this);
  }
  std::string inside(std::string token, TextBudget&) const override { return replaced(token, " "); }

 private:
  std::string replaced(std::string_view token, std::string_view by) const {
    std::string text;
    std::size_t begin = 0;
    for (std::size_t at; (at = token.find(replacement_, begin)) != std::string_view::npos; begin = at + replacement_.size()) {
      text.append(token, begin, at - begin).append(by);
    }
    return text.append(token, begin);
  }

  class Sink final : public PassingSink {
   public:
    Sink(DecoderSink& next, const MetaspaceDecoding& step) : PassingSink(next), step_(step), drop_(step.drop_in_first_) {}
    void text(std::string_view chunk) override { next_.text(step_.replaced(chunk, drop_ ? "" : " ")); }
    void end_token() override {
      drop_ = false;
      next_.end_token();
    }

   private:
    const MetaspaceDecoding& step_;
    bool drop_;
  };

  std::string replacement_;
  bool drop_in_first_;
};

}  // namespace

std::unique_ptr<const DecoderStep> replace_text_step(std::string text, std::string content, std::string origin) {
  return std::make_unique<ReplaceText>(std::move(text), std::move(content), std::move(origin));
}
std::unique_ptr<const DecoderStep> replace_pattern_step(std::unique_ptr<const Pattern> pattern, std::string content,
                                                        std::string origin) {
  return std::make_unique<ReplacePattern>(std::move(pattern), std::move(content), std::move(origin));
}
std::unique_ptr<const DecoderStep> strip_step(char32_t content, std::size_t start, std::size_t stop) {
  return std::make_unique<Strip>(content, start, stop);
}
std::unique_ptr<const DecoderStep> metaspace_step(char32_t replacement, bool drop_in_first) {
  return std::make_unique<MetaspaceDecoding>(replacement, drop_in_first);
}

}  // namespace ffmem::tokenization
