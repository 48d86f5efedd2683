#include "host/train/sparsity.hpp"

#include <fmt/core.h>

#include <charconv>
#include <cmath>

#include "hourglass/error.hpp"

namespace hourglass {
namespace {

float parse_number(std::string_view text, std::string_view number, const char* what) {
  float value = 0.0f;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (error != std::errc{} || end != number.data() + number.size()) {
    throw UsageError(
        fmt::format("sparsity '{}': {} is '{}', expected a number", text, what, number));
  }
  return value;
}

}  // namespace

Sparsity Sparsity::parse(std::string_view text) {
  if (text == "none") return {};
  const auto colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  const std::string_view rest =
      colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
  Sparsity sparsity;
  if (kind == "l1" || kind == "l1sum") {
    sparsity.kind = kind == "l1" ? Kind::l1 : Kind::l1_sum;
    sparsity.weight = parse_number(text, rest, "LAMBDA");
  } else if (kind == "kl") {
    const auto second = rest.find(':');
    if (second == std::string_view::npos) {
      throw UsageError(fmt::format("sparsity '{}': expected kl:RHO:BETA", text));
    }
    sparsity.kind = Kind::kl;
    sparsity.rho = parse_number(text, rest.substr(0, second), "RHO");
    sparsity.weight = parse_number(text, rest.substr(second + 1), "BETA");
  } else {
    throw UsageError(
        fmt::format("sparsity '{}': expected none, l1:LAMBDA, l1sum:LAMBDA or kl:RHO:BETA", text));
  }
  check_sparsity(sparsity, {}, true);
  return sparsity;
}

std::string Sparsity::name() const {
  switch (kind) {
    case Kind::none:
      return "none";
    case Kind::l1:
      return fmt::format("l1:{}", weight);
    case Kind::l1_sum:
      return fmt::format("l1sum:{}", weight);
    case Kind::kl:
      break;
  }
  return fmt::format("kl:{}:{}", rho, weight);
}

void check_sparsity(const Sparsity& sparsity, const AutoencoderSpec& spec, bool force) {
  if (sparsity.kind == Sparsity::Kind::none) return;
  if (!(sparsity.weight >= 0.0f) || !std::isfinite(sparsity.weight)) {
    throw UsageError(
        fmt::format("sparsity '{}': the weight is {}, expected a finite number of at "
                    "least 0",
                    sparsity.name(), sparsity.weight));
  }
  if (sparsity.kind != Sparsity::Kind::kl) return;
  if (!(sparsity.rho > 0.0f && sparsity.rho < 1.0f)) {
    throw UsageError(fmt::format("sparsity '{}': rho is {}, expected a number between 0 and 1",
                                 sparsity.name(), sparsity.rho));
  }
  if (!force && spec.code_activation != Activation::sigmoid) {
    throw UsageError(fmt::format(
        "sparsity '{}': KL compares rho with the mean activation as two probabilities, and {} "
        "codes "
        "can leave (0, 1); use code activation sigmoid (or force it, with the mean clipped)",
        sparsity.name(), name_of(spec.code_activation)));
  }
}

}  // namespace hourglass
