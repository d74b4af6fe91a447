// The common ground of a decoder's steps.
#pragma once

#include <string_view>

#include "loaders/tokenizer/decoder.hpp"

namespace ffmem::tokenization {

/// A sink that passes everything on; steps override what they change.
class PassingSink : public DecoderSink {
 public:
  explicit PassingSink(DecoderSink& next) : next_(next) {}
  void text(std::string_view chunk) override { next_.text(chunk); }
  void end_token() override { next_.end_token(); }
  void finish() override { next_.finish(); }

 protected:
  DecoderSink& next_;
};

}  // namespace ffmem::tokenization
