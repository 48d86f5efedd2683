// A small check of XML and HTML: every tag is closed in turn, every attribute quoted, every "&" an
// entity.
#pragma once

#include <cctype>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace hourglass::report {

/// What is wrong with `text`, or "" where it is well-formed. `is_html` allows a doctype, void
/// elements (<meta>, <img>) and a <style> whose content is no markup.
inline std::string markup_fault(std::string_view text, bool is_html) {
  static const std::set<std::string, std::less<>> void_elements = {"meta", "img", "br", "link",
                                                                   "hr"};
  const auto is_entity = [&](std::size_t at) {
    const std::size_t end = text.find(';', at);
    if (end == std::string_view::npos || end == at + 1 || end > at + 10) return false;
    for (std::size_t i = at + 1; i < end; ++i)
      if (!std::isalnum(static_cast<unsigned char>(text[i])) && text[i] != '#') return false;
    return true;
  };
  const auto place = [&](std::size_t at) {
    return " at " + std::to_string(at) + ": " + std::string(text.substr(at, 60));
  };
  std::vector<std::string> open;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == '&' && !is_entity(at)) return "a bare &" + place(at);
    if (text[at] == '>') return "a bare >" + place(at);
    if (text[at] != '<') {
      ++at;
      continue;
    }
    if (is_html && text.substr(at).starts_with("<!doctype html>")) {
      at += 15;
      continue;
    }
    const std::size_t start = at;
    const bool closes = at + 1 < text.size() && text[at + 1] == '/';
    at += closes ? 2 : 1;
    std::string name;
    while (at < text.size() && (std::isalnum(static_cast<unsigned char>(text[at]))))
      name += text[at++];
    if (name.empty()) return "a bare <" + place(start);
    bool closes_itself = false;
    std::set<std::string> attributes;
    while (at < text.size() && text[at] != '>') {
      if (text[at] == ' ') {
        ++at;
      } else if (text[at] == '/') {
        closes_itself = true;
        ++at;
      } else {
        std::string attribute;
        while (at < text.size() &&
               (std::isalnum(static_cast<unsigned char>(text[at])) || text[at] == '-'))
          attribute += text[at++];
        if (attribute.empty()) return "no attribute" + place(at);
        if (!attributes.insert(attribute).second) return "a second " + attribute + place(start);
        if (at + 1 >= text.size() || text[at] != '=' || text[at + 1] != '"')
          return "an unquoted attribute" + place(start);
        const std::size_t end = text.find('"', at + 2);
        if (end == std::string_view::npos) return "an open attribute" + place(start);
        for (std::size_t i = at + 2; i < end; ++i) {
          if (text[i] == '<') return "< in an attribute" + place(start);
          if (text[i] == '&' && !is_entity(i)) return "a bare & in an attribute" + place(start);
        }
        at = end + 1;
      }
    }
    if (at >= text.size()) return "an open tag" + place(start);
    ++at;
    if (closes) {
      if (open.empty() || open.back() != name) return "</" + name + "> out of turn" + place(start);
      open.pop_back();
    } else if (!closes_itself && !(is_html && void_elements.contains(name))) {
      open.push_back(name);
      if (is_html && name == "style") {
        at = text.find("</style>", at);
        if (at == std::string_view::npos) return "an open <style>";
      }
    }
  }
  return open.empty() ? "" : "<" + open.back() + "> is never closed";
}

}  // namespace hourglass::report
