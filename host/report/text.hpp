// Text as bytes: UTF-8 that is safe to hand on, markup escaping, and numbers as people read them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace hourglass::report {

/// The same text with every byte that is not valid UTF-8, and every control character that XML 1.0
/// forbids, replaced by U+FFFD. Newlines and tabs stay.
std::string clean_utf8(std::string_view text);

/// `text`, cleaned, with & < > " ' escaped: safe as element text and as a quoted attribute, in HTML
/// and in XML.
std::string escape_markup(std::string_view text);

/// Columns that `text` takes in a terminal: combining marks take none, East Asian wide characters
/// and emoji two.
std::size_t display_width(std::string_view text);

/// `value` with `decimals` places, U+2212 as the minus sign, thousands separated by commas:
/// "-12,345.60". "NaN", "∞" and "−∞" for what is not finite. A value that rounds to zero has no
/// sign.
std::string format_fixed(double value, int decimals);

/// `value` with about `significant` digits: "0.0954", "12,300", "1.2e−7", trailing zeros dropped.
std::string format_number(double value, int significant = 4);

}  // namespace hourglass::report
