// The report's style sheet. Colours are told apart without red against green; bars carry their number as text too.
#pragma once

#include <string_view>

namespace ffmem::tools {

inline constexpr std::string_view kStyle = R"css(
:root { --ink: #1c1e21; --soft: #5f6670; --line: #d9dde3; --paper: #ffffff; --card: #f6f7f9; --mark: #ffd166; --mark-ink: #1c1e21;
        --bar: #2a78b5; --hit: #b5521b; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --soft: #9aa3ad; --line: #353b43; --paper: #16181c; --card: #1f2329; --mark: #c79a2b; --mark-ink: #14110a;
          --bar: #5aa7df; --hit: #f0985c; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
       font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .5rem; }
a { color: var(--bar); }
p { max-width: 52rem; } .soft { color: var(--soft); }
table { border-collapse: collapse; } th, td { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top; }
th { font-weight: 600; color: var(--soft); } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.facts td:first-child { color: var(--soft); }
.bar { display: inline-block; height: .7em; background: var(--bar); border-radius: 2px; margin-right: .4em; }
.overview { display: block; overflow-x: auto; } .overview td { white-space: nowrap; }
.memories { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(34rem, 100%), 1fr)); gap: 1rem; }
.memory { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; overflow: hidden; }
.memory h3 { font-size: 1rem; margin: 0; } .memory p { margin: .1rem 0 .5rem; font-size: .87rem; }
.examples { width: 100%; table-layout: fixed; font-size: .84rem; }
.examples td { white-space: nowrap; overflow: hidden; padding: .05rem .3rem .05rem 0; vertical-align: bottom; }
.examples .m { width: 3.6rem; text-align: right; color: var(--soft); font-variant-numeric: tabular-nums; }
.examples .prefix { text-align: right; white-space: normal; overflow-wrap: anywhere; }
.examples .next { width: 5.5rem; color: var(--soft); text-overflow: ellipsis; } .examples .hit { color: var(--hit); font-weight: 600; }
mark { background: var(--mark); color: var(--mark-ink); border-radius: 3px; padding: 0 .15em; }
.tokens { font-size: .84rem; margin-top: .5rem; }
.tokens span { display: inline-block; border: 1px solid var(--line); border-radius: 4px; padding: 0 .35em; margin: 0 .25em .25em 0;
               white-space: pre; }
.tokens small { color: var(--soft); }
@media (max-width: 40rem) { body { padding: .7rem; } .examples .next { width: 5rem; } }
)css";

}  // namespace ffmem::tools
