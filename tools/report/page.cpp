#include "tools/report/page.hpp"

#include <fmt/format.h>

#include <iterator>

#include "tools/report/style.hpp"
#include "tools/token_text.hpp"

namespace ffmem::tools {
namespace {

std::string percent(double share) { return fmt::format("{:.1f} %", 100.0 * share); }

/// Two digits, however small: a bare value's probabilities are near 1 / V.
std::string small_percent(double share) { return fmt::format("{:.2g} %", 100.0 * share); }

/// A bar of at most ten em for a share of `full`, with its number.
std::string bar(std::optional<double> share, double full) {
  if (!share) return "\u2013";
  const double width = full > 0.0 ? 10.0 * *share / full : 0.0;
  return fmt::format("<span class=\"bar\" style=\"width:{:.2f}em\"></span>{}", width, percent(*share));
}

void append_overview(const Page& page, std::string& out) {
  double highest = 0.0;
  for (const PageLayer& layer : page.layers) highest = std::max(highest, layer.top1_agreement.value_or(0.0));
  fmt::format_to(
      std::back_inserter(out),
      "<h2>Layer by layer</h2>\n<p>Same trigger: the share of a key's examples that end in its most common last token, "
      "averaged over the layer's keys with at least {0} examples (a computed stand-in for shallow patterns, not a person's "
      "judgement). Agreement: the share of memories whose value{2} ranks first the very token that follows the key's best "
      "example, of those whose best example has one{3}. Mean of max p: the probability of a value's first token, "
      "averaged over the layer's values. Never {1}: keys without any example.</p>\n"
      "<table class=\"overview\">\n<tr><th class=\"n\">Layer</th><th>Same trigger</th><th>Agreement</th>"
      "<th class=\"n\">Mean of max p</th><th class=\"n\">Never {1}</th></tr>\n",
      page.least_examples, page.smallest ? "negative" : "fired", page.smallest ? ", negated," : "",
      page.smallest ? "" : " (the paper's Figure 4)");
  for (std::size_t l = 0; l < page.layers.size(); ++l) {
    const PageLayer& layer = page.layers[l];
    fmt::format_to(std::back_inserter(out),
                   "<tr><td class=\"n\"><a href=\"#layer-{0}\">{0}</a></td><td>{1}</td><td>{2}</td><td class=\"n\">{3}</td>"
                   "<td class=\"n\">{4}</td></tr>\n",
                   l, bar(layer.same_trigger, 1.0), bar(layer.top1_agreement, highest),
                   small_percent(layer.mean_max_probability), layer.n_never_fired);
  }
  out += "</table>\n";
}

bool is_blank(const std::string& token) { return token.find_first_not_of(' ') == std::string::npos; }

/// A token by itself: one of spaces alone would not show. <bdi> keeps what is written from right to left out of its neighbours.
std::string token_html(const std::string& token) {
  return "<bdi>" + (is_blank(token) ? visible_text(token) : html_text(token)) + "</bdi>";
}

/// The prefix's last token, marked; its leading space stays outside, where a line may break.
std::string trigger_html(const std::string& token) {
  const std::size_t begin = is_blank(token) ? 0 : token.find_first_not_of(' ');
  const std::string text = token.substr(begin);
  return token.substr(0, begin) + "<mark>" + (is_blank(text) ? visible_text(text) : html_text(text)) + "</mark>";
}

void append_example(const PageExample& example, std::string& out) {
  fmt::format_to(std::back_inserter(out),
                 "<tr><td class=\"m\">{:.2f}</td><td class=\"prefix\"><bdi>{}{}</bdi></td><td class=\"next{}\">{}</td></tr>\n",
                 example.coefficient, html_text(example.before), trigger_html(example.trigger), example.predicted ? " hit" : "",
                 example.next ? token_html(*example.next) : "<i>(end)</i>");
}

void append_memory(const Page& page, const PageMemory& memory, std::string& out) {
  fmt::format_to(
      std::back_inserter(out),
      "<section class=\"memory\"><h3>Layer {}, memory {}</h3>\n<p class=\"soft\">{} of its {} examples end in the same token; "
      "{} are followed by the value's top token{}.</p>\n<table class=\"examples\">\n",
      memory.layer, memory.unit, percent(memory.same_trigger), memory.n_examples, percent(memory.agreement),
      memory.n_examples < page.top
          ? fmt::format(" (fewer than {} {} make it {})", page.top, page.every_prefix ? "prefixes" : "sentences",
                        page.smallest ? "negative" : "fire")
          : "");
  for (const PageExample& example : memory.examples) append_example(example, out);
  out.append("</table>\n<div class=\"tokens\">its value").append(page.smallest ? ", negated, promotes " : " promotes ");
  for (const PageToken& token : memory.value) {
    fmt::format_to(std::back_inserter(out), "<span>{} <small>{}</small></span>", token_html(token.text),
                   small_percent(static_cast<double>(token.probability)));
  }
  out += "</div></section>\n";
}

}  // namespace

std::string facts_html(const Facts& facts) {
  std::string out = "<table class=\"facts\">\n";
  for (const auto& [what, value] : facts) {
    fmt::format_to(std::back_inserter(out), "<tr><td>{}</td><td>{}</td></tr>\n", html_text(what), html_text(value));
  }
  return out + "</table>\n";
}

std::string html_text(const std::string& text) {
  std::string out;
  for (const char c : readable_text(text)) {
    if (c == '&' || c == '<' || c == '>' || c == '"') {
      out += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : "&quot;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string render_page(const Page& page) {
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\">\n"
      "<title>{0}</title><style>{1}</style></head><body>\n<h1>{0}</h1>\n",
      html_text(page.title), kStyle);
  fmt::format_to(
      std::back_inserter(out),
      "<p>Every feed-forward layer of a transformer can be read as a set of memories (Geva et al., 2021). A memory's key fires "
      "on "
      "patterns in the text read so far; its value adds to the scores of the words likely to come next. For every key, the {} "
      "sentence prefixes on which {} were searched in the corpus below, and every value was compared with "
      "the whole vocabulary ({}). Shown are the memories of each layer whose examples are most alike or whose value best "
      "foretells "
      "what follows them.{}</p>\n",
      page.top, page.smallest ? "its coefficient is most negative" : "it fires most strongly", html_text(page.lens),
      page.smallest
          ? " Where a coefficient is negative, the layer adds the opposite of the value: the values are compared negated."
          : "");
  out += facts_html(page.facts);
  append_overview(page, out);
  for (std::size_t l = 0; l < page.layers.size(); ++l) {
    fmt::format_to(std::back_inserter(out),
                   "<h2 id=\"layer-{0}\">Layer {0}</h2>\n<p class=\"soft\">Columns: coefficient, prefix with the <mark>trigger "
                   "token</mark>, "
                   "next token (<span style=\"color:var(--hit)\">the value's first choice</span> stands out), or the (end) of "
                   "what was read of the sentence.</p>\n<div "
                   "class=\"memories\">\n",
                   l);
    for (const PageMemory& memory : page.layers[l].memories) append_memory(page, memory, out);
    if (page.layers[l].memories.empty())
      out += fmt::format("<p>No memory of this layer has {} examples.</p>\n", page.least_examples);
    out += "</div>\n";
  }
  out += "</body></html>\n";
  return out;
}

}  // namespace ffmem::tools
