// The report as a page: one self-contained HTML file that opens from disk, light and dark, without scripts or network.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ffmem::tools {

/// One trigger example, as text.
struct PageExample {
  std::string before;               // the prefix up to the trigger token
  std::string trigger;              // the last token read
  std::optional<std::string> next;  // the token that follows; none behind the end of the sentence
  bool predicted = false;           // next is the value's top token
  float coefficient = 0.0F;
};

struct PageToken {
  std::string text;
  float probability = 0.0F;
};

struct PageMemory {
  std::size_t layer = 0;
  std::size_t unit = 0;
  std::size_t n_examples = 0;  // of the t looked for
  double same_trigger = 0.0;   // share of the examples that end in the most common trigger token
  double agreement = 0.0;      // share of the examples whose next token is the value's top token
  std::vector<PageExample> examples;
  std::vector<PageToken> value;
};

struct PageLayer {
  std::size_t n_never_fired = 0;
  std::optional<double> same_trigger{};  // mean over the memories with enough examples; none where no memory has them
  /// Of the memories whose best example has a next token, the share whose value's top token it is (paper 4, Figure 4).
  std::optional<double> top1_agreement{};
  double mean_max_probability = 0.0;
  std::vector<PageMemory> memories;  // the most telling ones
};

/// What was run on what, for a reader: name and value.
using Facts = std::vector<std::pair<std::string, std::string>>;

struct Page {
  std::string title;
  Facts facts;
  std::size_t top = 0;             // t
  std::size_t least_examples = 0;  // that a memory has whose examples are said to be alike
  bool every_prefix = false;       // several examples may be of one sentence
  bool smallest = false;           // examples have the most negative coefficients, values are negated
  std::string lens;
  std::vector<PageLayer> layers;
};

/// The whole file, UTF-8.
std::string render_page(const Page& page);

/// As a table.
std::string facts_html(const Facts& facts);

/// Text made safe inside an element or attribute; what cannot be seen but a space, and invalid UTF-8, become visible.
std::string html_text(const std::string& text);

}  // namespace ffmem::tools
