// What training can be asked for: parsed, named and checked.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "hourglass/error.hpp"
#include "hourglass/training.hpp"

namespace hourglass {
namespace {

/// "a:b:c" in its parts.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

/// One "kind:number:..." of an option, with messages that show the whole.
class Term {
 public:
  Term(const char* option, std::string_view text, std::string_view term)
      : option_(option), text_(text), parts_(split(term, ':')) {}

  [[nodiscard]] std::string_view kind() const { return parts_.front(); }
  [[nodiscard]] std::size_t numbers() const { return parts_.size() - 1; }

  template <class T>
  [[nodiscard]] T number(std::size_t at, const char* name) const {
    const std::string_view part = parts_[at + 1];
    T value{};
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc{} || end != part.data() + part.size()) {
      refuse(fmt::format("{} is '{}', expected {}", name, part,
                         std::is_integral_v<T> ? "a whole number" : "a number"));
    }
    return value;
  }

  [[noreturn]] void refuse(const std::string& reason) const {
    throw UsageError(fmt::format("{} '{}': {}", option_, text_, reason));
  }

 private:
  const char* option_;
  std::string_view text_;
  std::vector<std::string_view> parts_;
};

bool is_weight(float value) {
  return value >= 0.0f && std::isfinite(value);
}

void check_weight(const char* what, float value) {
  if (!is_weight(value)) {
    throw UsageError(fmt::format("{} {}: expected a finite number of at least 0", what, value));
  }
}

void check_sparsity(const Sparsity& sparsity) {
  for (const float weight : {sparsity.l1, sparsity.l1_sum, sparsity.kl}) {
    if (!is_weight(weight)) {
      throw UsageError(
          fmt::format("sparsity '{}': the weight is {}, expected a finite number of at least 0",
                      sparsity.name(), weight));
    }
  }
  if (sparsity.kl != 0.0f && !(sparsity.rho > 0.0f && sparsity.rho < 1.0f)) {
    throw UsageError(fmt::format("sparsity '{}': rho is {}, expected a number between 0 and 1",
                                 sparsity.name(), sparsity.rho));
  }
}

void check_noise(const Noise& noise) {
  if (noise.kind == Noise::Kind::gaussian && !is_weight(noise.amount)) {
    throw UsageError(
        fmt::format("noise '{}': the deviation is {}, expected a finite number of at least 0",
                    name_of(noise), noise.amount));
  }
  if (noise.kind == Noise::Kind::mask && !(noise.amount >= 0.0f && noise.amount <= 1.0f)) {
    throw UsageError(fmt::format("noise '{}': the probability is {}, expected 0 to 1",
                                 name_of(noise), noise.amount));
  }
}

void check_schedule(const LearningRateSchedule& schedule) {
  using Kind = LearningRateSchedule::Kind;
  const auto refuse = [&](const std::string& reason) {
    throw UsageError(fmt::format("learning rate schedule '{}': {}", schedule.name(), reason));
  };
  if (schedule.kind == Kind::step || schedule.kind == Kind::plateau) {
    if (schedule.every < 1) refuse(fmt::format("EVERY is {}, expected 1 or more", schedule.every));
    if (!(schedule.factor > 0.0 && schedule.factor < 1.0)) {
      refuse(fmt::format("FACTOR is {}, expected above 0 and below 1", schedule.factor));
    }
  }
  if (!(schedule.last >= 0.0 && schedule.last <= 1.0)) {
    refuse(fmt::format("LAST is {}, expected 0 to 1", schedule.last));
  }
}

constexpr std::array<std::pair<std::string_view, Optimiser>, 3> optimisers{
    {{"adam", Optimiser::adam}, {"adamw", Optimiser::adamw}, {"sgd", Optimiser::sgd}}};

}  // namespace

Sparsity Sparsity::parse(std::string_view text) {
  Sparsity sparsity;
  if (text == "none") return sparsity;
  constexpr const char* known =
      "expected none, or l1:LAMBDA, l1sum:LAMBDA, kl:RHO:BETA, several separated by commas";
  std::vector<std::string_view> seen;
  for (const std::string_view part : split(text, ',')) {
    const Term term("sparsity", text, part);
    const std::string_view kind = term.kind();
    for (const std::string_view earlier : seen) {
      if (earlier == kind) term.refuse(fmt::format("{} is there twice", kind));
    }
    seen.push_back(kind);
    if (kind == "l1" || kind == "l1sum") {
      if (term.numbers() != 1) term.refuse(fmt::format("expected {}:LAMBDA", kind));
      (kind == "l1" ? sparsity.l1 : sparsity.l1_sum) = term.number<float>(0, "LAMBDA");
    } else if (kind == "kl") {
      if (term.numbers() != 2) term.refuse("expected kl:RHO:BETA");
      sparsity.rho = term.number<float>(0, "RHO");
      sparsity.kl = term.number<float>(1, "BETA");
    } else {
      term.refuse(known);
    }
  }
  check_sparsity(sparsity);
  // A weight of 0 is no penalty, and has one name.
  if (sparsity.kl == 0.0f) sparsity.rho = 0.0f;
  return sparsity;
}

std::string Sparsity::name() const {
  std::vector<std::string> terms;
  if (l1 != 0.0f) terms.push_back(fmt::format("l1:{}", l1));
  if (l1_sum != 0.0f) terms.push_back(fmt::format("l1sum:{}", l1_sum));
  if (kl != 0.0f) terms.push_back(fmt::format("kl:{}:{}", rho, kl));
  return terms.empty() ? "none" : fmt::format("{}", fmt::join(terms, ","));
}

Noise parse_noise(std::string_view text) {
  Noise noise;
  if (text == "none") return noise;
  const Term term("noise", text, text);
  if (term.numbers() == 1 && term.kind() == "gaussian") {
    noise = {Noise::Kind::gaussian, term.number<float>(0, "DEVIATION")};
  } else if (term.numbers() == 1 && term.kind() == "mask") {
    noise = {Noise::Kind::mask, term.number<float>(0, "PROBABILITY")};
  } else {
    term.refuse("expected none, gaussian:DEVIATION or mask:PROBABILITY");
  }
  check_noise(noise);
  return noise;
}

std::string name_of(const Noise& noise) {
  switch (noise.kind) {
    case Noise::Kind::none:
      break;
    case Noise::Kind::gaussian:
      return fmt::format("gaussian:{}", noise.amount);
    case Noise::Kind::mask:
      return fmt::format("mask:{}", noise.amount);
  }
  return "none";
}

Precision parse_precision(std::string_view name) {
  for (const Precision precision : {Precision::float32, Precision::tf32}) {
    if (name_of(precision) == name) return precision;
  }
  throw UsageError(fmt::format("precision '{}': expected float32 or tf32", name));
}

std::string_view name_of(Precision precision) {
  return precision == Precision::tf32 ? "tf32" : "float32";
}

Optimiser parse_optimiser(std::string_view name) {
  for (const auto& [known, optimiser] : optimisers) {
    if (known == name) return optimiser;
  }
  throw UsageError(fmt::format("optimiser '{}': expected adam, adamw or sgd", name));
}

std::string_view name_of(Optimiser optimiser) {
  for (const auto& [name, known] : optimisers) {
    if (known == optimiser) return name;
  }
  return "unknown";
}

LearningRateSchedule LearningRateSchedule::parse(std::string_view text) {
  const Term term("learning rate schedule", text, text);
  const std::string_view kind = term.kind();
  const std::size_t numbers = term.numbers();
  LearningRateSchedule schedule;
  if (kind == "constant" && numbers == 0) {
    schedule.kind = Kind::constant;
  } else if (kind == "cosine" && numbers <= 1) {
    schedule.kind = Kind::cosine;
    if (numbers == 1) schedule.last = term.number<double>(0, "LAST");
  } else if (kind == "step" && numbers == 2) {
    schedule.kind = Kind::step;
  } else if (kind == "plateau" && (numbers == 2 || numbers == 3)) {
    schedule.kind = Kind::plateau;
    if (numbers == 3) schedule.last = term.number<double>(2, "LAST");
  } else {
    term.refuse(
        "expected constant, cosine[:LAST], step:EVERY:FACTOR or plateau:EVERY:FACTOR[:LAST]");
  }
  if (schedule.kind == Kind::step || schedule.kind == Kind::plateau) {
    schedule.every = term.number<int>(0, "EVERY");
    schedule.factor = term.number<double>(1, "FACTOR");
  }
  check_schedule(schedule);
  return schedule;
}

std::string LearningRateSchedule::name() const {
  switch (kind) {
    case Kind::constant:
      break;
    case Kind::cosine:
      return last == 0.0 ? "cosine" : fmt::format("cosine:{}", last);
    case Kind::step:
      return fmt::format("step:{}:{}", every, factor);
    case Kind::plateau:
      return last == 0.0 ? fmt::format("plateau:{}:{}", every, factor)
                         : fmt::format("plateau:{}:{}:{}", every, factor, last);
  }
  return "constant";
}

void TrainingOptions::validate(const AutoencoderSpec& spec) const {
  if (epochs < 1) {
    throw UsageError(fmt::format("epochs {}: expected 1 or more", epochs));
  }
  if (batch < 1) {
    throw UsageError(fmt::format("batch {}: expected 1 or more", batch));
  }
  if (!(learning_rate > 0.0) || !std::isfinite(learning_rate)) {
    throw UsageError(
        fmt::format("learning rate {}: expected a finite number above 0", learning_rate));
  }
  check_schedule(schedule);
  if (!(adam.beta1 >= 0.0f && adam.beta1 < 1.0f && adam.beta2 >= 0.0f && adam.beta2 < 1.0f &&
        adam.epsilon > 0.0f && std::isfinite(adam.epsilon))) {
    throw UsageError(fmt::format(
        "Adam's beta1 {}, beta2 {}, epsilon {}: expected betas in [0, 1) and an epsilon above 0",
        adam.beta1, adam.beta2, adam.epsilon));
  }
  if (!(momentum >= 0.0f && momentum < 1.0f)) {
    throw UsageError(fmt::format("momentum {}: expected 0 to below 1", momentum));
  }
  check_weight("weight decay", weight_decay);
  check_weight("clip norm", clip_norm);
  check_sparsity(sparsity);
  if (sparsity.kl != 0.0f && !force && spec.code_activation != Activation::sigmoid) {
    throw UsageError(fmt::format(
        "sparsity '{}': KL compares rho with the mean activation as two probabilities, and {} "
        "codes can leave (0, 1); use code activation sigmoid (or force it, with the mean clipped)",
        sparsity.name(), hourglass::name_of(spec.code_activation)));
  }
  check_weight("contractive", contractive);
  if (contractive != 0.0f && spec.hidden.size() != 1) {
    throw UsageError(fmt::format(
        "contractive {}: the penalty on the codes' Jacobian is there for encoders of one layer, "
        "and {} has {}; use one hidden width, or noise, which contracts encoders of any depth",
        contractive, spec.name(), spec.hidden.size()));
  }
  check_noise(noise);
  if (patience < 0) {
    throw UsageError(fmt::format("patience {}: expected 0 (never) or more epochs", patience));
  }
  if (!(min_improvement >= 0.0) || !std::isfinite(min_improvement)) {
    throw UsageError(fmt::format("least improvement {}: expected a finite number of at least 0",
                                 min_improvement));
  }
  if (checkpoint.every_epochs < 0 || checkpoint.every_steps < 0) {
    throw UsageError(fmt::format("checkpoint every {} epochs, {} steps: expected 0 (never) or more",
                                 checkpoint.every_epochs, checkpoint.every_steps));
  }
  if (checkpoint.path.empty() &&
      (checkpoint.every_epochs > 0 || checkpoint.every_steps > 0 || checkpoint.resume)) {
    throw UsageError("checkpoint: no file is named to write it to or to resume from");
  }
}

}  // namespace hourglass
