#include "host/report/drawing.hpp"

#include <algorithm>
#include <utility>

#include "host/report/raster.hpp"
#include "host/report/text.hpp"

namespace hourglass::report {

void Drawing::add(Mark mark) {
  marks.push_back(std::move(mark));
}

std::vector<std::string> wrap_text(std::string_view text, double width, double size, bool bold) {
  const std::string clean = clean_utf8(text);
  std::vector<std::string> lines;
  std::string line;
  for (std::size_t at = 0; at < clean.size();) {
    const auto end = std::min(clean.find_first_of(" \n\t", at), clean.size());
    const std::string word = clean.substr(at, end - at);
    if (!word.empty()) {
      const std::string longer = line.empty() ? word : line + ' ' + word;
      if (line.empty() || text_width(longer, size, bold) <= width) {
        line = longer;
      } else {
        lines.push_back(line);
        line = word;
      }
    }
    if (end < clean.size() && clean[end] == '\n') {
      lines.push_back(line);
      line.clear();
    }
    at = end + 1;
  }
  if (!line.empty()) lines.push_back(line);
  return lines;
}

std::string shorten_text(std::string_view text, double width, double size, bool bold) {
  std::string clean = clean_utf8(text);
  if (text_width(clean, size, bold) <= width) return clean;
  const auto is_continuation = [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
  };
  while (!clean.empty()) {
    while (!clean.empty() && is_continuation(clean.back()))
      clean.pop_back();
    if (!clean.empty()) clean.pop_back();
    while (!clean.empty() && clean.back() == ' ')
      clean.pop_back();
    if (text_width(clean + "…", size, bold) <= width) break;
  }
  return clean + "…";
}

std::string to_png(const Drawing& drawing) {
  static constexpr int scale = 2;
  return encode_png(rasterize(drawing, scale));
}

}  // namespace hourglass::report
