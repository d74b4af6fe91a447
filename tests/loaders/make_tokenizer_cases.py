#!/usr/bin/env python3
"""Writes the expected results of tests/data/tokenizers with the reference library. Needs the package `tokenizers` (0.23.3).

Usage: make_tokenizer_cases.py tests/data/tokenizers

  NAME/cases.json   expected ids and texts of NAME/tokenizer.json, computed anew for the texts and ids that are there
  components.json   expected results of single components and of small tokenizers, for the texts and tokens listed here

The tokenizers of the NAME folders are small ones in the form that the published models use, trained on WikiText-2. Text that
is not valid UTF-8 is not for the library: its ids are those of the text with every maximal invalid part replaced by U+FFFD.
"""

import base64
import json
import pathlib
import sys

import tokenizers

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
          r"|\s+(?!\S)|\s")
O200K_WORD = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
DEEPSEEK_WORD = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
                 r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"

TEXTS = [
    "a", " ", "  ", " a", "a ", "  a  b  ", "a\nb", "a\n\nb\n", "\t a\r\n", "\x0b\x0c\x1c\x1d\x1f x", "a\x00b\x7f",
    "I'm you'RE 's 'S 'ſ ''ll don't", "Hello, world! 123 4567 0x1F 3.14", "foo_bar-baz.qux ab aab aaab abab b",
    "\u0085x\u00a0y\u1680z\u180ew", "\u2000\u2003\u2028\u2029\u202f\u205f\u3000\u200b\u200d\ufeff", "é e\u0301 a\u0308\u0327 o\u031b\u0323",
    "Straße ŉ ﬁ ﬂ ﷺ ㍿ ① Ⅷ ½² ａＡ１！", "K\u212aÅ\u212bİıΣς ǅ", "中文字漢字 日本語かなカナ 한국어ㄱ \u1100\u1161\u11a8", "😀👩\u200d👩\u200d👧 🏽🇩🇪 ❤\ufe0f",
    "٣७৩𝟘 שָׁלוֹם العربية \u0e01\u0e33\u0e49 \u0915\u094d\u0937\u093c", "▁x ▁▁ y▁ _z_ ĠaÃ©", "<0x41>{}[]()|\\^$.*+?/~`@#%&=;:\"'", "…。，、।۔،؟·«»“”‘’—–",
    "\u1c89\u1c8a\ua7cb\U000105c0\U00010d40\U00010d50\U00016d40\U0002ebf0\U000323b0\U00011bf5", "\u166d\u111c9\u1cf2\U000111c9\u061d\u2e43\U00011de0",
    "\u32ff\ua7f2\U00011938\U00011935\u0300\u0345\u1df6\u0301", "\ufffd\U0010ffff\ue000\U000e0001", "x" * 70, "ab " * 20,
]

SPLITS = [(r"\s+", "Removed"), (r"\s+", "Contiguous"), (r"\w+|[^\w\s]+", "Removed"), (r"\w+", "Isolated"), (r"\W", "MergedWithPrevious"),
          (r"\ba|\b", "Isolated"), (r"\Ba", "MergedWithNext"), (r"\d\h+", "Isolated"), (r"\v|\t", "Isolated"), (r"^a|b$|\Z", "Isolated"),
          (r"\Aa|a\z", "Isolated"), (r"a{1,2}+", "Isolated"), (r"a{,2}b", "Isolated"), (r"a{2}", "Contiguous"), (r"[[ab]c\d]", "Isolated"),
          (r"[^[^ab]b]", "Isolated"), (r"[^\W\d_]+", "Isolated"), (r"[\S\n]+", "Isolated"), (r"[\]\-x-z^]", "Isolated"), (r"(?i)AB|k", "Isolated"),
          (r"x*", "Isolated"), (r"(?=a)|b", "Isolated"), (r"(?<=a)b(?!a)|(?<!a)b", "Isolated"), (r"(?>a+)b", "MergedWithNext"),
          (r"\p{^L}+", "Isolated"), (r"[\p{P}\p{S}]", "Isolated"), (r"\p{Lu}\p{Ll}*|\p{M}", "Isolated"), (r"\u0041|\x62|\x{1F600}", "Isolated"),
          (r".+", "Isolated"), (r"[一-龥぀-ゟ゠-ヿ]+", "Isolated"), (GPT2, "Isolated"), (LLAMA3, "Isolated"), (CL100K, "Isolated"),
          (O200K_WORD, "Isolated"), (DEEPSEEK_WORD, "Isolated"), (BLOOM, "Isolated"), (GPT2, "Removed"), (LLAMA3, "MergedWithNext")]


def split(pattern, behavior, invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def byte_level(space, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": True, "use_regex": regex}


def metaspace(scheme, cut, replacement="▁"):
    return {"type": "Metaspace", "replacement": replacement, "prepend_scheme": scheme, "split": cut}


def pre_tokenizers():
    behaviors = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
    specs = [split(regex, behavior) for regex, behavior in SPLITS]
    specs += [split("ab", behavior, invert, "String") for behavior in behaviors for invert in (False, True)]
    specs += [{"type": "Punctuation", "behavior": behavior} for behavior in behaviors]
    specs += [{"type": "Digits", "individual_digits": flag} for flag in (False, True)]
    specs += [{"type": "Whitespace"}, {"type": "WhitespaceSplit"}]
    specs += [metaspace(scheme, cut) for scheme in ("always", "first", "never") for cut in (False, True)]
    specs += [byte_level(space, regex) for space in (False, True) for regex in (False, True)]
    chains = [[{"type": "WhitespaceSplit"}, metaspace("first", True)], [{"type": "Digits", "individual_digits": True}, byte_level(True)],
              [{"type": "Punctuation"}, byte_level(False), {"type": "Digits", "individual_digits": False}],
              [byte_level(True), byte_level(False, False)], [metaspace("always", False, "_"), split("_", "Isolated", False, "String")],
              [split(LLAMA3, "Isolated"), byte_level(False, False)], [byte_level(True), metaspace("first", True), {"type": "Whitespace"}]]
    return specs + [{"type": "Sequence", "pretokenizers": chain} for chain in chains]


def replace(pattern, content, kind="String"):
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def strip(left, right):
    return {"type": "Strip", "strip_left": left, "strip_right": right}


def normalizers():
    specs = [{"type": name} for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents")]
    specs += [{"type": "Prepend", "prepend": "▁"}, replace(" ", "▁"), replace("ab", ""), replace(r"\s+", " ", "Regex"), replace("x*", "-", "Regex")]
    specs += [strip(True, False), strip(False, True), strip(True, True)]
    chains = [["NFKD", "StripAccents", "Lowercase", "NFC"], ["Lowercase", "NFKC"]]
    return specs + [{"type": "Sequence", "normalizers": [{"type": name} for name in chain]} for chain in chains]


TOKENS = [
    [], [""], ["a"], ["▁a", "▁▁b", "▁"], ["Ġthe", "Ã", "©", "x"], ["Ã", "Ã", "©"], ["â", "ģ"], ["â", "ģ", "x"], ["ð", "Ł", "ĺ", "Ģ"], ["é中", "Ċ"],
    ["<0xE4>", "<0xBD>", "<0xA0>"], ["<0xE4>", "<0xBD>"], ["<0xE4>", "x", "<0xBD>"], ["<0x41>", "<0x0a>", "<0xFF>", "<0xfg>", "<0x1>"],
    [" ", "a", " "], ["  a", "  b  "], ["   "], ["aa", "a", "ab"], ["a", "a", "b"], ["_x", "x_", "_"], ["é", "é", "aé"], ["\n", "a\n"],
]


def decoders():
    strips = [("a", 1, 0), (" ", 1, 1), ("é", 2, 1), (" ", 0, 2)]
    specs = [byte_level(True), {"type": "ByteFallback"}, {"type": "Fuse"}, metaspace("always", True), metaspace("never", True)]
    specs += [replace("▁", " "), replace("aa", "é"), replace(r"a+|\s", "-", "Regex")]
    specs += [{"type": "Strip", "content": content, "start": start, "stop": stop} for content, start, stop in strips]
    fused = [[{"type": "Fuse"}, step] for step in specs[3:]]
    chains = fused + [[replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}],
                      [byte_level(True), replace("aa", "b")], [{"type": "ByteFallback"}, byte_level(True)], [metaspace("first", True), replace("ab", "c")]]
    return specs + [{"type": "Sequence", "decoders": chain} for chain in chains]


def tokenizer(model, **parts):
    spec = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
            "post_processor": None, "decoder": None, "model": model}
    return {**spec, **parts}


def bpe(tokens, merges, **options):
    return {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
            "byte_fallback": False, "ignore_merges": False, "vocab": {token: i for i, token in enumerate(tokens)}, "merges": merges, **options}


def added(identifier, content, **options):
    return {"id": identifier, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False,
            **options}


def small_tokenizers():
    letters = ["<unk>", "<0xC3>", "<0xA9>", "<0xE4>", "a", "b", " ", "▁", "x", "1"]
    words = letters + ["ab", "aab", "aba", "▁a", "aa"]
    merges = [["a", "b"], ["a", "a"], ["a", "ab"], ["ab", "a"], ["▁", "a"]]
    for options in ({}, {"unk_token": "<unk>"}, {"unk_token": "<unk>", "fuse_unk": True}, {"byte_fallback": True},
                    {"unk_token": "<unk>", "byte_fallback": True}, {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True},
                    {"ignore_merges": True, "unk_token": "<unk>"}):
        yield tokenizer(bpe(words, merges, **options))
        yield tokenizer(bpe(words, merges, **options), pre_tokenizer=metaspace("first", True))
    yield tokenizer(bpe(words, merges[::-1] + [["a", "b"]], unk_token="<unk>"))
    words_only = {"type": "WordLevel", "vocab": {"<unk>": 0, "a": 1, "b": 2, "ab": 3}, "unk_token": "<unk>"}
    flags = [{}, {"normalized": True}, {"lstrip": True}, {"rstrip": True}, {"single_word": True}, {"lstrip": True, "rstrip": True},
             {"lstrip": True, "rstrip": True, "normalized": True}]
    for options in flags:
        tokens = [added(1, "a", **options), added(4, "ab ", **options), added(5, "\n", **options), added(6, "É", **options)]
        yield tokenizer(words_only, added_tokens=tokens, normalizer={"type": "Lowercase"}, pre_tokenizer={"type": "WhitespaceSplit"})
    first = metaspace("first", False)
    for normalizer in (None, strip(True, False), replace("  ", "x"), replace("a", ""), {"type": "NFKC"}):
        yield tokenizer(bpe(words, merges, unk_token="<unk>"), normalizer=normalizer, pre_tokenizer=first, added_tokens=[added(5, "b")])


def loaded(**parts):
    words = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
    return tokenizers.Tokenizer.from_str(json.dumps(tokenizer(words, **parts)))


def decoded(decoder, tokens):
    try:
        return decoder.decode(tokens)
    except BaseException as error:  # the library panics on some empty tokens
        if type(error).__name__ != "PanicException":
            raise
        return None


def components():
    cases = {"made_with": "tokenizers " + tokenizers.__version__, "texts": TEXTS, "tokens": TOKENS}
    cases["pre_tokenizers"] = []
    for spec in pre_tokenizers():
        pre_tokenizer = loaded(pre_tokenizer=spec).pre_tokenizer
        pieces = [[piece for piece, _ in pre_tokenizer.pre_tokenize_str(text)] for text in TEXTS]
        cases["pre_tokenizers"].append({"spec": spec, "pieces": pieces})
    cases["normalizers"] = []
    for spec in normalizers():
        normalizer = loaded(normalizer=spec).normalizer
        cases["normalizers"].append({"spec": spec, "texts": [normalizer.normalize_str(text) for text in TEXTS]})
    cases["decoders"] = []
    for spec in decoders():
        decoder = loaded(decoder=spec).decoder
        cases["decoders"].append({"spec": spec, "texts": [decoded(decoder, tokens) for tokens in TOKENS]})
    cases["tokenizers"] = []
    for spec in small_tokenizers():
        reference = tokenizers.Tokenizer.from_str(json.dumps(spec))
        ids = [reference.encode(text, add_special_tokens=False).ids for text in TEXTS]
        decoded_texts = [reference.decode(list(range(i, reference.get_vocab_size())), skip_special_tokens=False) for i in range(4)]
        cases["tokenizers"].append({"spec": spec, "ids": ids, "decoded_from": decoded_texts})
    return cases


def refreshed(folder):
    reference = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    cases = json.loads((folder / "cases.json").read_text(encoding="utf-8"))

    def decode(case, ids):
        case["decoded"] = reference.decode(ids, skip_special_tokens=False)
        skipped = reference.decode(ids)
        if skipped != case["decoded"]:
            case["decoded_skip_special"] = skipped

    for case in cases["cases"]:
        case["ids"] = reference.encode(case["text"], add_special_tokens=False).ids
        special = reference.encode(case["text"]).ids
        if special != case["ids"]:
            case["ids_with_special"] = special
        decode(case, case["ids"])
    for case in cases["decode_cases"]:
        decode(case, case["ids"])
    for case in cases["invalid_utf8"]:
        text = base64.b64decode(case["bytes_base64"]).decode("utf-8", errors="replace")
        case["ids"] = reference.encode(text, add_special_tokens=False).ids
    return cases


def write(path, cases):
    path.write_text(json.dumps(cases, ensure_ascii=True, separators=(",", ":")) + "\n", encoding="utf-8")


def main():
    root = pathlib.Path(sys.argv[1])
    for cases in sorted(root.glob("*/cases.json")):
        write(cases, refreshed(cases.parent))
    write(root / "components.json", components())


if __name__ == "__main__":
    main()
