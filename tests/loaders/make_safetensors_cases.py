#!/usr/bin/env python3
"""Writes tests/data/safetensors/cases.json: small files, well-formed and hostile, with the decision of the reference reader.

Needs the Python package `safetensors`. Usage: make_safetensors_cases.py OUT.json

Each case: name, file (hex), reference ("accept", or what the reader says), and "stricter": true where this project refuses
what the reference accepts (see the head of loaders/safetensors.hpp).
"""

import json
import struct
import sys

import safetensors

MAX = 2**64 - 1


def entry(dtype="U8", shape=(1,), begin=0, end=1, extra=""):
    return '{"dtype":"%s","shape":%s,"data_offsets":[%s,%s]%s}' % (
        dtype, json.dumps(list(shape), separators=(",", ":")), begin, end, extra)


def one(value):
    return '{"a":%s}' % value


def file_of(header, data=b"", length=None):
    header = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(header) if length is None else length) + header + data


E = entry()
EMPTY = entry(shape=(0,), end=0)


def lengths():
    yield "an empty file", b""
    yield "seven bytes", b"\2\0\0\0\0\0\0"
    yield "a length and no header", struct.pack("<Q", 2)
    yield "a length of zero", file_of("")
    yield "no tensor", file_of("{}")
    yield "no tensor, yet data", file_of("{}", b"x")
    yield "a length of one more than the file", file_of("{}", length=3)
    yield "a length that cuts the header", file_of(one(E), b"x", length=20)
    yield "a length of 100,000,000 in a small file", file_of("{}", length=100_000_000)
    yield "a length of 100,000,001", file_of("{}", length=100_000_001)
    yield "a length of 2^63", file_of("{}", length=2**63)
    yield "a length of 2^64 - 8", file_of("{}", length=2**64 - 8)
    yield "a length of 2^64 - 1", file_of("{}", length=MAX)


def texts():
    yield "leading and trailing white space", file_of(" \t\r\n{} \t\r\n")
    yield "a form feed in front", file_of("\f{}")
    yield "a byte order mark", file_of(b"\xef\xbb\xbf{}")
    yield "a zero byte behind", file_of("{}\0")
    yield "text behind a zero byte", file_of("{}\0{}")
    yield "a zero byte in a name", file_of('{"a\0":%s}' % E, b"x")
    yield "an escaped zero in a name", file_of('{"a\\u0000":%s}' % E, b"x")
    yield "a control character in a name", file_of('{"a\x01":%s}' % E, b"x")
    yield "invalid UTF-8 in a name", file_of(b'{"a\xff":' + E.encode() + b"}", b"x")
    yield "invalid UTF-8 outside strings", file_of(b"{}\xff")
    yield "overlong UTF-8", file_of(b'{"\xc0\xaf":' + E.encode() + b"}", b"x")
    yield "a surrogate in UTF-8", file_of(b'{"\xed\xa0\x80":' + E.encode() + b"}", b"x")
    yield "UTF-8 cut at the end", file_of(b'{"\xe2\x82')
    yield "a name of several scripts", file_of('{"gewi\u00e7ht \u91cd \U0001f600":%s}' % E, b"x")
    yield "a name by escapes", file_of('{"\\u0061\\ud83d\\ude00\\n":%s}' % E, b"x")
    yield "half a surrogate pair", file_of('{"\\ud83d":%s}' % E, b"x")
    yield "two objects", file_of("{}{}")
    yield "a comment", file_of("{/* */}")
    yield "a trailing comma", file_of('{"a":%s,}' % E, b"x")
    yield "single quotes", file_of("{'a':%s}" % E, b"x")
    yield "cut inside a string", file_of('{"a')
    yield "NaN", file_of(one(entry(begin="NaN")), b"x")
    for text in ("null", "[]", "1", '"a"', "true", "[{}]", "x", " "):
        yield "the header %s" % text, file_of(text)


def entries():
    for value in ("null", "1", '"a"', "[]", "{}", "true"):
        yield "the tensor %s" % value, file_of(one(value))
    for field in ("dtype", "shape", "data_offsets"):
        yield "no %s" % field, file_of(one(E.replace('"%s"' % field, '"other"')), b"x")
        yield "null as %s" % field, file_of(one('{"%s":null,%s' % (field, E.replace(field, "other")[1:])), b"x")
    yield "dtype twice", file_of(one(entry(extra=',"dtype":"U8"')), b"x")
    yield "shape twice", file_of(one(entry(extra=',"shape":[1]')), b"x")
    yield "data_offsets twice", file_of(one(entry(extra=',"data_offsets":[0,1]')), b"x")
    yield "fields in another order", file_of(one('{"data_offsets":[0,1],"shape":[1],"dtype":"U8"}'), b"x")
    yield "an unknown field", file_of(one(entry(extra=',"x":{"dtype":[null,-1,1.5,true,{"a":"b"}]}')), b"x")
    yield "an unknown field out of range", file_of(one(entry(extra=',"x":1e999')), b"x")
    yield "an unknown field of 30 digits", file_of(one(entry(extra=',"x":%s' % ("9" * 30))), b"x")
    for n in (124, 125, 126, 500):
        yield "an unknown field %s deep" % n, file_of(one(entry(extra=',"x":' + "[" * n + "]" * n)), b"x")
        yield "objects %s deep" % n, file_of(one(entry(extra=',"x":' + '{"a":' * n + "1" + "}" * n)), b"x")
    yield "brackets that never close", file_of("[" * 2000)
    yield "braces that never close", file_of('{"a":' * 500)
    yield "a tensor as an array", file_of(one('["U8",[1],[0,1]]'), b"x")
    yield "a dtype as an object", file_of(one(E.replace('"U8"', '{"U8":null}')), b"x")
    yield "a dtype as an array", file_of(one(E.replace('"U8"', '["U8"]')), b"x")
    yield "a dtype as a number", file_of(one(E.replace('"U8"', "1")), b"x")
    yield "an empty name", file_of('{"":%s}' % E, b"x")
    yield "a name twice", file_of('{"a":%s,"a":%s}' % (E, E), b"x")
    yield "a name twice, once by escapes", file_of('{"a":%s,"\\u0061":%s}' % (E, E), b"x")


def dtypes():
    sizes = dict(BOOL=1, U8=1, I8=1, I16=2, U16=2, F16=2, BF16=2, I32=4, U32=4, F32=4, F64=8, I64=8, U64=8)
    for dtype, size in sizes.items():
        yield "dtype %s" % dtype, file_of(one(entry(dtype, (3,), 0, 3 * size)), b"x" * (3 * size))
        yield "dtype %s, one byte more" % dtype, file_of(one(entry(dtype, (3,), 0, 3 * size + 1)), b"x" * (3 * size + 1))
    for dtype, size in dict(F8_E4M3=1, F8_E5M2=1, F8_E8M0=1, C64=8).items():
        yield "dtype %s" % dtype, file_of(one(entry(dtype, (1,), 0, size)), b"x" * size)
    for dtype in ("f32", "F31", "", "float32", "F32 "):
        yield "dtype '%s'" % dtype, file_of(one(entry(dtype, (1,), 0, 4)), b"x" * 4)


def shapes():
    yield "a scalar", file_of(one(entry(shape=())), b"x")
    yield "an empty tensor", file_of(one(EMPTY))
    yield "an empty tensor of three dimensions", file_of(one(entry("F32", (2, 0, 3), 0, 0)))
    yield "zero before an overflow", file_of(one(entry(shape=(0, MAX, MAX), end=0)))
    yield "an overflow before zero", file_of(one(entry(shape=(MAX, MAX, 0), end=0)))
    yield "elements that overflow", file_of(one(entry(shape=(2**32, 2**32), end=0)))
    yield "elements that overflow to the right size", file_of(one(entry(shape=(2**63 + 1, 2), end=2)), b"xx")
    yield "bytes that overflow", file_of(one(entry("F32", (2**62,), 0, 0)))
    yield "bytes that overflow to the right size", file_of(one(entry("F32", (2**62 + 1,), 0, 4)), b"x" * 4)
    yield "bytes of 2^64 - 1", file_of(one(entry(shape=(MAX,), end=MAX)), b"x")
    for text in ("[-1]", "[-0]", "[1.0]", "[1e0]", '["1"]', "[null]", "[[1]]", "[true]", "[{}]", "{}", "1", '"1"', "null",
                 "[18446744073709551616]", "[01]", "[1,]", "[+1]"):
        yield "shape %s" % text, file_of(one(E.replace("[1]", text)), b"x")
    yield "a thousand dimensions", file_of(one(entry(shape=[1] * 1000)), b"x")


def offsets():
    for text in ("[]", "[0]", "[0,1,2]", "[-1,1]", "[0,-1]", "[0.0,1.0]", "[0,1e0]", '["0","1"]', "[null,1]", "null", "[[0,1]]",
                 "{}", "1", "[1,0]", "[1,2]", "[0,2]", "[0,0]", "[0,18446744073709551616]", "[0,18446744073709551615]",
                 "[9007199254740993,9007199254740994]", "[18446744073709551615,18446744073709551615]"):
        yield "data_offsets %s" % text, file_of(one(E.replace("[0,1]", text)), b"x")
    yield "a hole in front", file_of(one(entry(begin=1, end=2)), b"xx")
    yield "a byte too few", file_of(one(entry(shape=(2,), end=2)), b"x")
    yield "a byte too many", file_of(one(E), b"xx")
    two = '{"a":%s,"b":%s}'
    yield "two tensors", file_of(two % (E, entry(begin=1, end=2)), b"xx")
    yield "two tensors in reverse order", file_of(two % (entry(begin=1, end=2), E), b"xx")
    yield "a hole", file_of(two % (E, entry(begin=2, end=3)), b"xxx")
    yield "the same bytes twice", file_of(two % (E, E), b"x")
    yield "an overlap", file_of(two % (entry(shape=(2,), end=2), entry(shape=(2,), begin=1, end=3)), b"xxx")
    yield "begin behind end", file_of(two % (entry(shape=(2,), end=2), entry(begin=2, end=1)), b"xx")
    yield "two empty tensors", file_of(two % (EMPTY, EMPTY))
    yield "an empty tensor between", file_of('{"a":%s,"b":%s,"c":%s}' % (
        E, entry(shape=(0,), begin=1, end=1), entry(begin=1, end=2)), b"xx")
    yield "an empty tensor behind the end", file_of(two % (E, entry(shape=(0,), begin=2, end=2)), b"x")
    yield "an unaligned tensor", file_of(two % (E, entry("F32", (1,), 1, 5)), b"xxxxx")


def metadata():
    for value in ("null", "{}", '{"a":"b"}', '{"a":"b","a":"c"}', '{"":""}', '{"a":1}', '{"a":null}', '{"a":{}}', '{"a":["b"]}',
                  "[]", '"a"', "1", "true"):
        yield "metadata %s" % value, file_of('{"__metadata__":%s}' % value)
    yield "metadata twice", file_of('{"__metadata__":{},"__metadata__":{}}')
    yield "metadata null twice", file_of('{"__metadata__":null,"__metadata__":null}')
    yield "metadata by escapes", file_of('{"\\u005f_metadata__":{"a":"b"}}')
    yield "metadata behind the tensors", file_of('{"a":%s,"__metadata__":{"a":"b"}}' % E, b"x")
    yield "metadata in the form of a tensor", file_of('{"__metadata__":%s}' % E, b"x")
    yield "metadata in capitals", file_of('{"__METADATA__":{"a":"b"}}')


# Accepted by the reference, refused here.
STRICTER = {"a tensor as an array", "a dtype as an object", "a name twice", "a name twice, once by escapes", "dtype F8_E4M3",
            "dtype F8_E5M2", "dtype F8_E8M0", "dtype C64"}


def decide(data):
    try:
        safetensors.deserialize(data)
        return "accept"
    except safetensors.SafetensorError as error:
        return str(error)[:100]


def main():
    cases = []
    for group in (lengths, texts, entries, dtypes, shapes, offsets, metadata):
        for name, data in group():
            case = {"name": name, "file": data.hex(), "reference": decide(data)}
            if name in STRICTER:
                assert case["reference"] == "accept", name
                case["stricter"] = True
            cases.append(case)
    assert len({case["name"] for case in cases}) == len(cases)
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        out.write('{"reader": "safetensors %s (Python)", "cases": [\n' % safetensors.__version__)
        out.write(",\n".join(json.dumps(case, ensure_ascii=True) for case in cases))
        out.write("\n]}\n")


main()
