#!/bin/sh
# README.md SOURCE: the README's C++ block is the program that is built.
set -eu
awk '/^```cpp$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$1" | diff - "$2"
