#!/bin/sh
# kernel_symbols.sh LIBRARY...
# Fails if a library of kernels defines a function or object outside ffmem that another object could be linked to: it would
# be compiled for an instruction set that the machine may lack.
status=0
for library; do
  symbols=$(nm -C --defined-only "$library") || exit 1
  foreign=$(printf '%s\n' "$symbols" | awk '$2 ~ /^[A-Zuvw]$/ && !/ ffmem::k/ && !/ (DW\.ref|__odr_asan)\./')
  if [ -n "$foreign" ]; then
    printf '%s\n%s\n' "$library" "$foreign"
    status=1
  fi
done
exit $status
