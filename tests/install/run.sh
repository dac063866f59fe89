#!/usr/bin/env bash
# Installs a build, moves the installed tree, and uses it as strangers do: by find_package, by
# pkg-config, and by running the program. Then looks at what librheo.so shows and needs.
# Usage: run.sh BUILD SCRATCH VERSION CXX [FLAGS]   (FLAGS: those of the build, for sanitizers)
set -euo pipefail
[[ $# -ge 4 ]] || { echo "usage: $0 BUILD SCRATCH VERSION CXX [FLAGS]" >&2; exit 2; }
build=$(realpath "$1") version=$3 cxx=$4 flags=${5:-}
source=$(realpath "$(dirname "${BASH_SOURCE[0]}")/consumer")
mkdir -p "$2" && scratch=$(realpath "$2")
first=$scratch/installed-here moved=$scratch/then-moved-here

# By the same tool as the build: the other need not be there.
generator=$(sed -n 's/^CMAKE_GENERATOR:INTERNAL=//p' "$build/CMakeCache.txt")

fail() { echo "install: $*" >&2; exit 1; }
# Nothing of the caller's environment helps: no library path, no CUDA on PATH.
clean() { env -i PATH=/usr/bin:/bin HOME="$scratch" "$@"; }

install_and_move() {
  rm -rf "${scratch:?}"/*
  cmake --install "$build" --prefix "$first" >"$scratch/install.log" || fail "cmake --install failed"
  mv "$first" "$moved"
  lib=$(dirname "$(find "$moved" -name librheo.so)")
  [[ -e $lib/librheo.so ]] || fail "librheo.so is not in the installed tree"
  local stale
  stale=$(grep -rlIF -e "$first" -e "$build" "$moved" || true)
  [[ -z $stale ]] || fail "these files name the place of building or of installing: $stale"
}

expect_version() {
  local got
  got=$(clean "$@") || fail "$* failed"
  [[ $got == "$version" ]] || fail "$* printed '$got'; wanted '$version'"
}

configure_consumer() {
  clean cmake -G "$generator" -S "$source" -B "$scratch/consumer" -DCMAKE_CXX_COMPILER="$cxx" \
    -DCMAKE_CXX_FLAGS="$flags" -DCMAKE_PREFIX_PATH="$moved" -DRHEO_WANTED_VERSION="$1"
}

by_find_package() {
  if configure_consumer 99 >"$scratch/refused.log" 2>&1; then
    fail "find_package(rheo 99) took version $version"
  fi
  configure_consumer "${version%.*}" >"$scratch/configure.log" || fail "find_package(rheo) failed"
  clean cmake --build "$scratch/consumer" >"$scratch/build.log" ||
    { cat "$scratch/build.log" >&2; fail "the CMake consumer does not build"; }
  expect_version "$scratch/consumer/consumer"
}

by_pkg_config() {
  local -a words
  read -ra words <<<"$(clean PKG_CONFIG_PATH="$lib/pkgconfig" pkg-config --cflags --libs rheo)"
  # shellcheck disable=SC2086  # flags are words
  clean "$cxx" -std=c++20 $flags "$source/main.cpp" -o "$scratch/by-pkg-config" "${words[@]}" \
    -Wl,-rpath,"$lib" || fail "the pkg-config consumer does not build"
  expect_version "$scratch/by-pkg-config"
}

# Of the dynamic symbols that librheo.so defines: rheo's, their type information, nothing else.
exported_symbols() {
  local exports foreign
  exports=$(nm -D --defined-only -C "$lib/librheo.so" | cut -d' ' -f3-) ||
    fail "nm cannot read librheo.so"
  foreign=$(grep -Ev '^((typeinfo|typeinfo name|vtable) for )?rheo::' <<<"$exports" || true)
  [[ -z $foreign ]] || fail "librheo.so exports what is not rheo's: $foreign"
  grep -q '^rheo::version()' <<<"$exports" || fail "librheo.so does not export rheo::version()"
}

# Of the dynamic symbols that librheo.so itself imports; what other libraries do is not seen here.
# An assert counts too: a release build has none.
imported_symbols() {
  local forbidden='_?exit|_Exit|quick_exit|abort|__assert_fail|v?printf|__v?printf_chk|puts|putchar'
  forbidden+='|perror|stdout|stderr|std::(cout|cerr|clog|wcout|wcerr)'
  local imports found
  imports=$(nm -D --undefined-only -C "$lib/librheo.so" | sed 's/^ *[UwV] //; s/@.*//') ||
    fail "nm cannot read librheo.so"
  grep -qx __cxa_throw <<<"$imports" || fail "librheo.so must import __cxa_throw; nm shows it not"
  found=$(grep -Ex "$forbidden" <<<"$imports" || true)
  [[ -z $found ]] || fail "librheo.so may end the process or print; it imports: $found"
}

needed_libraries() {
  local file names
  for file in "$lib/librheo.so" "$moved/bin/rheo"; do
    names=$(readelf -d "$file" | grep -E '\((NEEDED|RPATH|RUNPATH)\)')
    ! grep -Ei 'lib(cu|nv)[a-z]*' <<<"$names" || fail "$file needs CUDA: $names"
    # shellcheck disable=SC2016  # the loader's $ORIGIN, not the shell's
    ! grep -E 'PATH\)' <<<"$names" | grep -Ev '\[\$ORIGIN[^:]*\]' ||
      fail "$file searches in places outside the installed tree: $names"
  done
}

install_and_move
by_find_package
by_pkg_config
clean "$moved/bin/rheo" --version | grep -qF "$version" || fail "bin/rheo --version lacks $version"
exported_symbols
imported_symbols
needed_libraries
rm -rf "${scratch:?}"/*
echo "install: rheo $version installs, moves, is found by CMake and pkg-config, and shows only rheo::"
