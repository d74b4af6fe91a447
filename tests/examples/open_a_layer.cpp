// Reads a layer's memory coefficients, switches the strongest memory off, and compares the two predictions.
#include <algorithm>
#include <iostream>

#include "hooks/intervene.hpp"
#include "hooks/record.hpp"
#include "loaders/tokenizer.hpp"
#include "runtime/model.hpp"
#include "runtime/output_head.hpp"
#include "runtime/session.hpp"

int main(int argc, char** argv) try {
  using namespace ffmem;
  const auto model =
      Model::load(argc > 1 ? argv[1] : "tools/demo/wikitext2-relu-12x256");  // immutable, shared by any number of sessions
  const auto tokenizer = Tokenizer::load(argc > 1 ? argv[1] : "tools/demo/wikitext2-relu-12x256");
  const auto tokens = tokenizer->encode("<|endoftext|> The song reached number");
  const std::size_t layer = model->config().n_layers - 1;

  Record record({.points = {Point::coefficients, Point::final_hidden}, .first_layer = layer});
  Hook* const reading[] = {&record};
  Session(model).run(tokens, LogitsRows::last, reading);                                   // hooks last for one run
  const auto coefficients = record.at(Point::coefficients, layer).row(tokens.size() - 1);  // [d_m]
  const auto strongest = static_cast<std::size_t>(std::ranges::max_element(coefficients) - coefficients.begin());

  Intervene off({{.kind = Edit::Kind::zero, .point = Point::coefficients, .layer = layer, .unit = strongest}});
  Record without({.points = {Point::final_hidden}});
  Hook* const changing[] = {&off, &without};
  Session(model).run(tokens, LogitsRows::last, changing);

  for (const Record* run : {&record, &without}) {
    const auto hidden = run->at(Point::final_hidden);  // [tokens, d]
    const TopTokens best = model->head().top_tokens(hidden.rows_between(hidden.rows - 1, hidden.rows), 3);
    std::cout << (run == &record ? "as it is:" : "without memory " + std::to_string(strongest) + ":");
    for (const TokenId token : best.tokens) std::cout << " \"" << tokenizer->token_bytes(token) << '"';
    std::cout << '\n';
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
