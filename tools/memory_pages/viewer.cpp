#include "tools/memory_pages/viewer.hpp"

#include "tools/report/style.hpp"

namespace ffmem::tools {
namespace {

constexpr std::string_view kViewerStyle = R"css(
.find { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1rem 0; align-items: center; }
.find input { font: inherit; padding: .3rem .5rem; border: 1px solid var(--line); border-radius: 6px; background: var(--card);
              color: var(--ink); }
.find button { font: inherit; padding: .3rem .8rem; border: 1px solid var(--line); border-radius: 6px; background: var(--card);
               color: var(--ink); cursor: pointer; }
input.number { width: 5.5rem; }
.columns { display: grid; grid-template-columns: minmax(0, 3fr) minmax(16rem, 1fr); gap: 2rem; }
@media (max-width: 60rem) { .columns { grid-template-columns: minmax(0, 1fr); } }
.columns .examples td { white-space: normal; overflow-wrap: anywhere; padding: .15rem .4rem .15rem 0; }
.columns mark { background: var(--mark); color: var(--mark-ink); border-radius: 2px; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
.histogram td { padding: 0 .5rem 0 0; font-size: .82rem; font-variant-numeric: tabular-nums; }
.links a { display: inline-block; margin: 0 .7rem .2rem 0; }
)css";

constexpr std::string_view kBody = R"html(
<p class="soft">A memory is one key and one value of a feed-forward layer. Below are its key's trigger examples, and the tokens to
whose scores its value adds most. Layers and memories count from 0. <a href="../report.html">The experiments' report</a>.</p>
<div class="find">
<form id="go"><label>Layer <input class="number" id="layer" type="number" min="0"></label>
<label>memory <input class="number" id="unit" type="number" min="0"></label> <button>Show</button></form>
<form id="search"><label>Token <input id="word" type="search" placeholder="jail" autocomplete="off"></label> <button>Search</button></form>
<button id="previous" type="button" aria-label="previous memory">&larr;</button><button id="next" type="button" aria-label="next memory">&rarr;</button>
</div>
<main id="page"></main>
)html";

constexpr std::string_view kScript = R"js(
"use strict";
const blocks = {}, postings = {}, waiting = {};
let vocabulary = null;
function ffmem_block(n, memories) { blocks[n] = memories; }
function ffmem_postings(n, lists) { postings[n] = lists; }
function ffmem_vocabulary(list) { vocabulary = list; }
// Scripts load from disk where fetch may not.
function load(file) {
  if (!waiting[file]) waiting[file] = new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = file; script.onload = resolve; script.onerror = () => reject(new Error(file + " is missing"));
    document.head.append(script);
  });
  return waiting[file];
}
const byId = id => document.getElementById(id);
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
const bytes = c => Array.from(new TextEncoder().encode(c), b => "\\x" + b.toString(16).toUpperCase().padStart(2, "0")).join("");
// Controls, blanks other than a space and what has no width, as a joiner, show as their bytes.
const visible = text => text.replace(/\n/g, "\u21B5").replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu, bytes);
const shown = text => /^ +$/.test(text) ? "\u2423".repeat(text.length) : visible(text);
const percent = (part, whole) => whole ? (100 * part / whole).toFixed(0) + " %" : "\u2013";
const address = memory => [Math.floor(memory / S.memories), memory % S.memories];
function memoryLink(memory, note) {
  const [layer, unit] = address(memory);
  return make("a", {href: `#m/${layer}/${unit}`}, `${layer}/${unit}${note || ""}`);
}
const tokenLink = text => make("a", {href: "#t/" + encodeURIComponent(text.trim())}, make("bdi", {}, shown(text)));
// A token's leading space stays outside its mark, where a line may break.
function exampleRow([coefficient, before, trigger, next, predicted]) {
  const space = trigger.trim() ? trigger.match(/^ */)[0] : "";
  return make("tr", {}, make("td", {class: "m"}, coefficient.toFixed(2)),
    make("td", {class: "prefix"}, make("bdi", {}, visible(before) + space, make("mark", {}, shown(trigger.slice(space.length))))),
    make("td", {class: predicted ? "next hit" : "next"}, next === null ? make("i", {}, "(end)") : make("bdi", {}, shown(next))));
}
// Bins mirror at 0, which has one of its own; the outermost two go on for ever.
function binName(fromZero, outermost) {
  const size = Math.abs(fromZero), name = x => x > 0 && x < 1 ? "1/" + 1 / x : "" + x;
  const low = size < 2 ? 0 : 2 ** (size - 8), high = 2 ** (size - 7);
  if (size === 0) return "0";
  if (size === outermost) return fromZero < 0 ? `to -${low}` : `from ${low}`;
  return fromZero < 0 ? `-${name(high)} to ${low ? "-" : ""}${name(low)}` : `${name(low)} to ${name(high)}`;
}
function histogram(counts) {
  const zero = (counts.length - 1) / 2, total = counts.reduce((a, b) => a + b, 0), most = Math.max(1, ...counts.filter((_, bin) => bin !== zero));
  const table = make("table", {class: "histogram"});
  counts.forEach((count, bin) => {
    if (!count) return;
    const bar = make("span", {class: "bar", style: `width:${(8 * Math.min(1, count / most)).toFixed(2)}em`});
    table.append(make("tr", {}, make("td", {}, binName(bin - zero, zero)), make("td", {}, bin === zero ? "" : bar, (100 * count / total).toFixed(2) + " %")));
  });
  return table;
}
async function showMemory(layer, unit) {
  const memory = layer * S.memories + unit, block = Math.floor(memory / S.per_block);
  await load(`block-${block}.js`);
  const [found, agree, examples, tokens, counts, nearest] = blocks[block][memory % S.per_block];
  byId("layer").value = layer; byId("unit").value = unit;
  const rows = make("table", {class: "examples"}, ...examples.map(exampleRow));
  const left = make("div", {}, make("h3", {}, S.smallest ? "Where its key is most negative" : "What its key fires on"),
    make("p", {class: "soft"}, found ? `The ${examples.length} ${S.smallest ? "most negative" : "strongest"} of ${found} trigger examples: coefficient, prefix with the trigger token, next token, or (end) of what was read of the sentence.`
      : S.smallest ? "It was never negative." : "It never fired."), rows);
  const promoted = make("table", {}, ...tokens.map(([text, p]) =>
    make("tr", {}, make("td", {}, tokenLink(text)), make("td", {class: "n soft"}, (100 * p).toPrecision(2) + " %"))));
  const right = make("div", {}, make("h3", {}, S.smallest ? "What its value, negated, promotes" : "What its value promotes"), promoted, make("p", {class: "soft"},
      S.smallest ? "Where its coefficient is negative, the layer adds the opposite of the value. " : "",
      `${agree} of ${found} examples (${percent(agree, found)}) are followed by its first token.`));
  if (counts.length) right.append(make("h3", {}, "How large its coefficient is"), histogram(counts),
    make("p", {class: "soft"}, `over ${S.histogram_tokens} tokens of validation text`));
  if (nearest.length) right.append(make("h3", {}, "Nearest values"), make("p", {class: "links"},
    ...nearest.map(([other, cosine]) => memoryLink(other, ` (${cosine.toFixed(2)})`))));
  byId("page").replaceChildren(make("h2", {}, `Layer ${layer}, memory ${unit}`), make("div", {class: "columns"}, left, right));
}
function postingList(title, memories) {
  const links = make("p", {class: "links"}, ...memories.slice(0, 300).map(memory => memoryLink(memory)));
  const more = memories.length > 300 ? ` (the first 300)` : "";
  return make("div", {}, make("h3", {}, `${title}: ${memories.length}${more}`), links);
}
async function showToken(word) {
  await load("vocabulary.js");
  byId("word").value = word;
  const wanted = word.trim().toLowerCase();
  const exact = vocabulary.filter(([, text]) => text.trim().toLowerCase() === wanted);
  const near = vocabulary.filter(([, text]) => { const t = text.trim().toLowerCase(); return t !== wanted && t.startsWith(wanted); });
  const negated = S.smallest ? ", negated," : "";
  const page = [make("h2", {}, `Token "${visible(word)}"`)];
  if (!exact.length) page.push(make("p", {}, `No value${negated} has it among its ${S.value_tokens} first tokens, and no key has a trigger example that ends in it.`));
  for (const [id, text] of exact) {
    const file = id % S.posting_files;
    await load(`postings-${file}.js`);
    const [promote, fire] = postings[file][id];
    page.push(make("h3", {}, `"${visible(text)}" (id ${id})`), postingList(`Values that${negated} have it among their ${S.value_tokens} first tokens, best first`, promote),
      postingList("Keys with trigger examples that end in it, those with fewest others first", fire));
  }
  if (near.length && wanted) page.push(make("h3", {}, "Tokens that begin so"), make("p", {class: "links"}, ...near.slice(0, 100).map(([, text]) => tokenLink(text))));
  byId("page").replaceChildren(...page);
}
async function route() {
  const begin = performance.now();
  const [kind, a, b] = location.hash.slice(1).split("/");
  try {
    if (kind === "t") await showToken(decodeURIComponent(a));
    else {
      const layer = Number(a || 0), unit = Number(b || 0);
      const isPlace = (n, end) => Number.isInteger(n) && n >= 0 && n < end;
      if (!isPlace(layer, S.layers) || !isPlace(unit, S.memories)) throw new Error(`layers 0 to ${S.layers - 1}, memories 0 to ${S.memories - 1}`);
      await showMemory(layer, unit);
    }
  } catch (error) { byId("page").replaceChildren(make("p", {}, error.message)); }
  document.body.dataset.milliseconds = (performance.now() - begin).toFixed(1);
}
function step(by) {
  const memory = Number(byId("layer").value) * S.memories + Number(byId("unit").value) + by, n = S.layers * S.memories;
  const [layer, unit] = address((memory + n) % n);
  location.hash = `m/${layer}/${unit}`;
}
byId("go").onsubmit = event => { event.preventDefault(); location.hash = `m/${byId("layer").value}/${byId("unit").value}`; };
byId("search").onsubmit = event => { event.preventDefault(); location.hash = "t/" + encodeURIComponent(byId("word").value); };
byId("previous").onclick = () => step(-1);
byId("next").onclick = () => step(1);
window.onhashchange = route;
route();
)js";

}  // namespace

std::string viewer_page(std::string_view model_name, const Facts& about, std::string_view settings) {
  const std::string title = "The memories of " + html_text(std::string(model_name));
  std::string page =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\">\n<title>";
  page.append(title).append("</title><style>").append(kStyle).append(kViewerStyle).append("</style></head><body>\n<h1>");
  page.append(title).append("</h1>").append(kBody);
  page.append("<details><summary>How these were made</summary>\n")
      .append(facts_html(about))
      .append("</details>\n<script>\nconst S = ")
      .append(settings)
      .append(";");
  return page.append(kScript).append("</script>\n</body></html>\n");
}

}  // namespace ffmem::tools
