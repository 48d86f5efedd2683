#include "host/report/pixels.hpp"

#include <png.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <stdexcept>
#include <unordered_map>

namespace hourglass::report {
namespace {

struct PngForm {
  int color_type = PNG_COLOR_TYPE_RGB;
  int bit_depth = 8;
  int bytes_per_pixel = 3;
  std::vector<png_color> palette;
  std::vector<std::uint8_t> rows;  // unpacked: one byte a sample
};

std::size_t pixel_count(const Pixels& pixels) {
  return static_cast<std::size_t>(pixels.width) * static_cast<std::size_t>(pixels.height);
}

int bits_for(std::size_t colors) {
  return colors <= 2 ? 1 : colors <= 4 ? 2 : colors <= 16 ? 4 : 8;
}

PngForm choose_form(const Pixels& pixels) {
  PngForm form;
  if (pixels.channels == 4) {
    form.color_type = PNG_COLOR_TYPE_RGBA;
    form.bytes_per_pixel = 4;
    form.rows = pixels.values;
    return form;
  }
  const std::size_t count = pixel_count(pixels);
  bool is_grey = true;
  std::unordered_map<std::uint32_t, std::uint8_t> index_of;
  std::vector<std::uint8_t> indices;
  indices.reserve(count);
  bool fits_palette = true;
  for (std::size_t i = 0; i < count && (fits_palette || is_grey); ++i) {
    const std::uint8_t* p = &pixels.values[3 * i];
    is_grey = is_grey && p[0] == p[1] && p[1] == p[2];
    if (!fits_palette) continue;
    const std::uint32_t key = static_cast<std::uint32_t>(p[0] << 16 | p[1] << 8 | p[2]);
    auto found = index_of.find(key);
    if (found == index_of.end()) {
      if (index_of.size() == 256) {
        fits_palette = false;
        continue;
      }
      found = index_of.emplace(key, static_cast<std::uint8_t>(index_of.size())).first;
      form.palette.push_back({p[0], p[1], p[2]});
    }
    indices.push_back(found->second);
  }
  if (is_grey) {
    form.color_type = PNG_COLOR_TYPE_GRAY;
    form.bytes_per_pixel = 1;
    form.palette.clear();
    form.rows.resize(count);
    for (std::size_t i = 0; i < count; ++i)
      form.rows[i] = pixels.values[3 * i];
  } else if (fits_palette) {
    form.color_type = PNG_COLOR_TYPE_PALETTE;
    form.bit_depth = bits_for(form.palette.size());
    form.bytes_per_pixel = 1;
    form.rows = std::move(indices);
  } else {
    form.palette.clear();
    form.rows = pixels.values;
  }
  return form;
}

struct PngSink {
  std::string bytes;
  std::string error;
};

void write_png_bytes(png_structp png, png_bytep data, std::size_t size) {
  static_cast<PngSink*>(png_get_io_ptr(png))
      ->bytes.append(reinterpret_cast<const char*>(data), size);
}

[[noreturn]] void fail_png(png_structp png, png_const_charp message) {
  static_cast<PngSink*>(png_get_error_ptr(png))->error = message;
  png_longjmp(png, 1);
}

void ignore_warning(png_structp, png_const_charp) {}

// Nothing here that has a destructor: libpng leaves it by longjmp.
bool write_png(const PngForm& form, png_bytepp rows, std::uint32_t width, std::uint32_t height,
               PngSink& sink) {
  png_structp png =
      png_create_write_struct(PNG_LIBPNG_VER_STRING, &sink, &fail_png, &ignore_warning);
  if (png == nullptr) return false;
  png_infop info = png_create_info_struct(png);
  if (info == nullptr || setjmp(png_jmpbuf(png))) {
    png_destroy_write_struct(&png, &info);
    return false;
  }
  png_set_write_fn(png, &sink, &write_png_bytes, nullptr);
  png_set_compression_level(png, 7);
  // Filters pay on photographs and smooth edges; flat colours and indices compress better without.
  png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_NONE);
  png_set_IHDR(png, info, width, height, form.bit_depth, form.color_type, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (!form.palette.empty())
    png_set_PLTE(png, info, form.palette.data(), static_cast<int>(form.palette.size()));
  png_write_info(png, info);
  png_set_packing(png);
  png_write_image(png, rows);
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  return true;
}

}  // namespace

Pixels::Pixels(int w, int h, Color fill) : width(w), height(h) {
  values.resize(3 * pixel_count(*this));
  for (std::size_t i = 0; i < values.size(); i += 3) {
    values[i] = fill.red;
    values[i + 1] = fill.green;
    values[i + 2] = fill.blue;
  }
}

void Pixels::set(int x, int y, Color color) {
  const auto i =
      static_cast<std::size_t>(channels) *
      (static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x));
  values[i] = color.red;
  values[i + 1] = color.green;
  values[i + 2] = color.blue;
  if (channels == 4) values[i + 3] = 255;
}

Color Pixels::at(int x, int y) const {
  const auto i =
      static_cast<std::size_t>(channels) *
      (static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x));
  return {values[i], values[i + 1], values[i + 2]};
}

std::string encode_png(const Pixels& pixels) {
  if (pixels.width <= 0 || pixels.height <= 0 || (pixels.channels != 3 && pixels.channels != 4) ||
      pixels.values.size() != pixel_count(pixels) * static_cast<std::size_t>(pixels.channels))
    throw std::logic_error("encode_png: the pixels do not fill their width and height");
  PngForm form = choose_form(pixels);
  const auto stride = static_cast<std::size_t>(pixels.width * form.bytes_per_pixel);
  std::vector<png_bytep> rows(static_cast<std::size_t>(pixels.height));
  for (std::size_t y = 0; y < rows.size(); ++y)
    rows[y] = form.rows.data() + y * stride;
  PngSink sink;
  if (!write_png(form, rows.data(), static_cast<std::uint32_t>(pixels.width),
                 static_cast<std::uint32_t>(pixels.height), sink))
    throw std::runtime_error("encode_png: libpng: " +
                             (sink.error.empty() ? std::string("out of memory") : sink.error));
  return std::move(sink.bytes);
}

std::string png_data_uri(std::string_view png) {
  static constexpr char digits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string uri = "data:image/png;base64,";
  uri.reserve(uri.size() + (png.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < png.size(); i += 3) {
    const auto byte = [&](std::size_t at) -> unsigned {
      return at < png.size() ? static_cast<std::uint8_t>(png[at]) : 0U;
    };
    const unsigned triple = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    uri += digits[triple >> 18];
    uri += digits[triple >> 12 & 63];
    uri += i + 1 < png.size() ? digits[triple >> 6 & 63] : '=';
    uri += i + 2 < png.size() ? digits[triple & 63] : '=';
  }
  return uri;
}

}  // namespace hourglass::report
