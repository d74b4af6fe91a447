#!/usr/bin/env python3
"""Opens a suite's report and its memory pages from disk in headless Chromium. Run by hand; the test suite does not need it.

    python3 tests/tools/check_report_pages.py REPORT [--pages N]

REPORT is the folder that `ffmem suite` wrote. Without a browser (chromium or google-chrome on PATH, or CHROMIUM=...) the check is
skipped: exit code 77. What must hold, in light and dark, on a wide window and a narrow one:

  report.html   no console error, nothing asked of the network, every link's file there, every figure drawn, nothing wider than
                the window, text that stands out from its background (WCAG AA: 4.5 to 1)
  memories/     the same; N random memories show the trigger examples and value tokens of the stores and take under 100 ms, data
                file included; a search for N random tokens lists what a direct look into the stores finds
"""
import argparse
import array
import json
import pathlib
import random
import re
import struct
import sys
import unicodedata
import urllib.parse

from headless_browser import Page, find_browser

LOOKS = [(width, scheme) for width in (1280, 420) for scheme in ("light", "dark")]
MOST_MILLISECONDS = 100

DULL_TEXT = """(() => {
  const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = c => { const [r, g, b] = c.map(x => x / 255).map(x => x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4);
                       return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
                        if (c.length === 3 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
  const dull = new Set();
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.getClientRects().length) continue;
    const a = light(parse(getComputedStyle(e).color).slice(0, 3)), b = light(behind(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) dull.add(`${e.tagName} ${e.className}: ${ratio.toFixed(1)}`);
  }
  return [...dull];
})()"""


class Store:
    """A safetensors file's tensors as flat arrays, by name."""

    TYPES = {"F32": "f", "I32": "i", "I64": "q", "U8": "B"}

    def __init__(self, path):
        data = path.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        self.header = json.loads(data[8 : 8 + length])
        self.data = memoryview(data)[8 + length :]

    def __getitem__(self, name):
        begin, end = self.header[name]["data_offsets"]
        return array.array(self.TYPES[self.header[name]["dtype"]], self.data[begin:end].tobytes())

    def shape(self, name):
        return self.header[name]["shape"]


def token_text(raw, token):
    """What a token is called: \\xE4 stands for a byte that is no text."""
    try:
        return raw.decode() or f"#{token}"
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "backslashreplace")
        return re.sub(r"\\x..", lambda byte: "\\x" + byte[0][2:].upper(), text)


class Memories:
    """What the pages must show, looked up in the stores of REPORT/data."""

    def __init__(self, report):
        smallest = json.loads((report / "manifest.json").read_text())["options"]["smallest"]
        triggers = Store(report / "data" / ("smallest-triggers.safetensors" if smallest else "triggers.safetensors"))
        values = Store(report / "data" / ("negated-values.safetensors" if smallest else "values.safetensors"))
        self.n_layers, self.d_memory, self.top = triggers.shape("coefficient")
        self.k = values.shape("tokens")[2]
        self.coefficient, self.sentence, self.position = (triggers[n] for n in ("coefficient", "sentence", "position"))
        self.tokens, self.offsets = triggers["sentence_tokens"], triggers["sentence_offsets"]
        self.place = {sentence: i for i, sentence in enumerate(triggers["sentence_index"])}
        self.best = values["tokens"]
        starts, text = triggers["vocabulary_offsets"], triggers["vocabulary_bytes"].tobytes()
        self.texts = [token_text(text[a:b], i) for i, (a, b) in enumerate(zip(starts, starts[1:]))]

    def __len__(self):
        return self.n_layers * self.d_memory

    def examples(self, memory):
        """[(coefficient, trigger token)], best first."""
        places = range(memory * self.top, (memory + 1) * self.top)
        return [(self.coefficient[i], self.tokens[self.offsets[self.place[self.sentence[i]]] + self.position[i]])
                for i in places if self.sentence[i] >= 0]

    def values(self, memory):
        return list(self.best[memory * self.k : (memory + 1) * self.k])

    def promoting(self, token):
        """The memories among whose value's best tokens it is: where it stands higher first, then in order."""
        return [i // self.k for i in sorted((i for i, t in enumerate(self.best) if t == token), key=lambda i: (i % self.k, i))]

    def triggered_by(self, wanted):
        """Of each wanted token the memories that fire on it: those with the fewest other examples first."""
        found = {token: [] for token in wanted}
        for memory in range(len(self)):
            triggers = [token for _, token in self.examples(memory)]
            for token in wanted & set(triggers):
                found[token].append((len(triggers) - triggers.count(token), memory))
        return {token: [memory for _, memory in sorted(places)] for token, places in found.items()}


def check_looks(page, name):
    for width, scheme in LOOKS:
        page.look(width, scheme)
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            page.problems.append(f"{name}: {wide} pixels wide in a window of {width}")
        page.problems += [f"{name}, {scheme}: too little contrast: {dull}" for dull in page.evaluate(DULL_TEXT)]


def check_report(page, report):
    page.open((report / "report.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    undrawn = page.evaluate("""Promise.all([...document.images].map(async image => {
        image.loading = "eager";
        await image.decode().catch(() => {});
        return image.naturalWidth > 0 ? "" : image.src; })).then(all => all.filter(x => x))""")
    page.problems += [f"report.html: not drawn: {image}" for image in undrawn]
    for link in page.evaluate("[...document.links].map(a => a.getAttribute('href'))"):
        if link.startswith("#"):
            there = page.evaluate(f"!!document.getElementById({json.dumps(link[1:])})")
        else:
            there = (report / urllib.parse.unquote(link.split("#")[0])).exists()
        if not there:
            page.problems.append(f"report.html: the link {link} leads nowhere")
    check_looks(page, "report.html")
    return page.evaluate("document.images.length")


def go_to(page, place):
    """Shows a place of the memory pages; returns its milliseconds, data files included."""
    page.evaluate(f"""new Promise(done => {{
        delete document.body.dataset.milliseconds;
        location.hash = {json.dumps(place)};
        const look = () => document.body.dataset.milliseconds ? done() : setTimeout(look, 1);
        look(); }})""")
    return float(page.evaluate("document.body.dataset.milliseconds"))


def squeezed(text):
    return "".join(c for c in text if c not in " \n\u2423\u21b5")


def visible(text):
    """What the page shows for it: what cannot be seen, but for spaces and line ends, as its bytes."""
    unseen = lambda c: c not in " \n" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Zs")
    return "".join("".join(f"\\x{b:02X}" for b in c.encode()) if unseen(c) else c for c in text)


def check_memory(page, memories, memory):
    layer, unit = divmod(memory, memories.d_memory)
    milliseconds = go_to(page, f"m/{layer}/{unit}")
    shown = page.evaluate("""[...document.querySelectorAll(".examples tr")].map(row =>
        [row.querySelector(".m").textContent, row.querySelector("mark").textContent])""")
    expected = [(f"{c:.2f}", memories.texts[t]) for c, t in memories.examples(memory)[: len(shown)]]
    if not shown and memories.examples(memory):
        page.problems.append(f"memory {layer}/{unit}: shows no example")
    for (number, text), (coefficient, trigger) in zip(shown, expected):
        if abs(float(number) - float(coefficient)) > 0.011 or squeezed(text) != squeezed(visible(trigger)):
            page.problems.append(f"memory {layer}/{unit}: shows {number} {text!r}, not {coefficient} {trigger!r}")
    tokens = page.evaluate("""[...document.querySelectorAll('#page td a')].map(a => a.textContent)""")
    if [squeezed(t) for t in tokens] != [squeezed(visible(memories.texts[t])) for t in memories.values(memory)]:
        page.problems.append(f"memory {layer}/{unit}: other value tokens than the store's: {tokens}")
    return milliseconds


def check_search(page, memories, token, firing):
    text = memories.texts[token]
    milliseconds = go_to(page, "t/" + urllib.parse.quote(text.strip(), safe=""))
    lists = page.evaluate("""[...document.querySelectorAll("#page h3")].filter(h => h.textContent.endsWith("(id %d)")).map(h =>
        [h.nextElementSibling, h.nextElementSibling.nextElementSibling].map(list =>
            [Number(list.querySelector("h3").textContent.match(/: (\\d+)/)[1]),
             [...list.querySelectorAll("a")].map(a => a.textContent)]))""" % token)
    expected = []
    for found in (memories.promoting(token), firing):
        expected.append([len(found), ["%d/%d" % divmod(m, memories.d_memory) for m in found[:300]]])
    if lists != [expected]:
        page.problems.append(f"search for {text!r} (id {token}): the page lists {str(lists)[:200]}, the stores {str(expected)[:200]}")
    return milliseconds


def check_memories(page, report, n, chosen):
    memories = Memories(report)
    page.open((report / "memories" / "index.html").as_uri())
    go_to(page, "m/0/0")
    check_looks(page, "memories/index.html")
    page.look(1280, "light")
    times = [check_memory(page, memories, m) for m in chosen.sample(range(len(memories)), min(n, len(memories)))]
    used = sorted(set(memories.best))
    searched = [t for t in chosen.sample(used, min(n, len(used))) if memories.texts[t].strip()]
    firing = memories.triggered_by(set(searched))
    searches = [check_search(page, memories, token, firing[token]) for token in searched]
    page.problems += [f"a memory's page took {t} ms" for t in times if t > MOST_MILLISECONDS]
    return times, searches


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=pathlib.Path)
    parser.add_argument("--pages", type=int, default=20, metavar="N", help="memories and tokens looked at")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    browser = find_browser()
    if not browser:
        print("skipped: no chromium or google-chrome on PATH")
        return 77
    report = options.report.resolve()
    with Page(browser) as page:
        n_figures = check_report(page, report)
        times, searches = check_memories(page, report, options.pages, random.Random(options.seed))
        problems = page.problems
    print(f"report.html: {n_figures} figures\nmemories: {len(times)} pages, the slowest {max(times):.0f} ms, median "
          f"{sorted(times)[len(times) // 2]:.0f} ms; {len(searches)} searches, the slowest {max(searches):.0f} ms")
    for problem in dict.fromkeys(problems):
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
