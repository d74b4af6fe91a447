#include <array>

#include "loaders/families/family.hpp"

namespace ffmem {

std::span<const Family* const> families() {
  static constexpr std::array kFamilies{&kBloom,  &kFairseq, &kFalcon, &kGemma2, &kGpt2,      &kGptBigcode,
                                        &kGptNeo, &kGptNeoX, &kGptJ,   &kLlama,  &kMistral,   &kOlmo2,
                                        &kOpt,    &kPhi,     &kQwen2,  &kQwen3,  &kStarcoder2};
  return kFamilies;
}

}  // namespace ffmem
