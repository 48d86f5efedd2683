// Where the `__shared__` variables of the program's kernels are.
//
// A shared variable is a thread-local one of a function (include/cuda_runtime.h), and the compiler
// has no list of those. The program's own ELF symbol table has: symbols of type TLS whose mangled
// name is a local entity of a function in hourglass::cuda ("_ZZN9hourglass4cuda..."). Their
// addresses are counted from the start of the program's thread-local storage, which a variable of
// known address, the anchor, places.
#include <elf.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/model.hpp"
#include "tests/sim/watch.hpp"

extern "C" {
extern thread_local int hourglass_sim_anchor;
thread_local int hourglass_sim_anchor = 0;
}

namespace hourglass::sim {
namespace {

template <class T>
T read_at(const std::vector<char>& file, std::size_t offset) {
  if (offset + sizeof(T) > file.size()) throw std::runtime_error("sim: the program's ELF is cut");
  T value;
  std::memcpy(&value, file.data() + offset, sizeof value);
  return value;
}

std::vector<SharedVariable> find_shared_variables() {
  // The link is read and then followed: under valgrind, /proc/self/exe itself is valgrind.
  std::ifstream stream(std::filesystem::read_symlink("/proc/self/exe"), std::ios::binary);
  const std::vector<char> file{std::istreambuf_iterator<char>(stream), {}};
  const auto header = read_at<Elf64_Ehdr>(file, 0);
  const auto section = [&](std::size_t i) {
    return read_at<Elf64_Shdr>(file, header.e_shoff + i * sizeof(Elf64_Shdr));
  };
  std::vector<SharedVariable> found;
  std::ptrdiff_t anchor = -1;
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    const Elf64_Shdr symbols = section(i);
    if (symbols.sh_type != SHT_SYMTAB) continue;
    const Elf64_Shdr names = section(symbols.sh_link);
    for (std::size_t at = 0; at < symbols.sh_size; at += sizeof(Elf64_Sym)) {
      const auto symbol = read_at<Elf64_Sym>(file, symbols.sh_offset + at);
      if (ELF64_ST_TYPE(symbol.st_info) != STT_TLS || symbol.st_shndx == SHN_UNDEF) continue;
      const std::string_view name = file.data() + names.sh_offset + symbol.st_name;
      const auto offset = static_cast<std::ptrdiff_t>(symbol.st_value);
      if (name == "hourglass_sim_anchor") anchor = offset;
      if (name.starts_with("_ZZN9hourglass4cuda")) {
        found.push_back({std::string(name), offset, symbol.st_size});
      }
    }
  }
  if (anchor < 0) {
    throw std::runtime_error(
        "sim: the program has no symbol table, which shared variables are found in; do not strip "
        "it");
  }
  for (SharedVariable& variable : found)
    variable.offset -= anchor;
  return found;
}

}  // namespace

const std::vector<SharedVariable>& shared_variables() {
  static const std::vector<SharedVariable> all = find_shared_variables();
  return all;
}

void poison_shared_variables() {
  char* const anchor = reinterpret_cast<char*>(&hourglass_sim_anchor);
  for (const SharedVariable& variable : shared_variables()) {
    std::memset(anchor + variable.offset, 0xff, variable.bytes);
    VALGRIND_MAKE_MEM_UNDEFINED(anchor + variable.offset, variable.bytes);
  }
}

}  // namespace hourglass::sim
