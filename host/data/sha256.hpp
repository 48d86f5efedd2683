// SHA-256 (FIPS 180-4), for checking that a downloaded file is the one that is meant.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hourglass {

class Sha256 {
 public:
  void update(const void* data, std::size_t bytes);

  /// The digest as 64 lower-case hexadecimal digits. The object is spent after it.
  [[nodiscard]] std::string finish();

 private:
  void compress(const std::uint8_t* block);

  // The first 32 bits of the fractional parts of the square roots of the first 8 primes.
  std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::uint8_t, 64> block_{};
  std::uint64_t bytes_ = 0;
};

[[nodiscard]] std::string sha256(std::string_view bytes);

/// Of the file as it lies on the disk. Throws InputError where it cannot be read.
[[nodiscard]] std::string sha256_of_file(const std::string& path);

}  // namespace hourglass
