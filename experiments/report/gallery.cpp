// A section's pictures: see gallery.h.
#include "experiments/report/gallery.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/png_reader.h"
#include "experiments/report/svg.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace versor {
namespace {

constexpr int64_t kGap = 2;  // pixels between the rows of an image (data/image_grid.h)

std::string bytes_of(const std::string& results, const Picture& p) {
  if (!p.png.empty()) return p.png;
  // a results folder from elsewhere must not put other files of this machine onto the page
  check(!p.file.starts_with('/') && p.file.find("..") == std::string::npos, "report",
        "the picture ", p.file, " is not below ", results);
  return read_file(results + "/" + p.file);
}

// Takes width and height from a PNG's header. False if it has no equal rows of originals and
// reconstructions.
bool measure(const std::string& png, Strips& strips) {
  if (!is_png(png)) return false;
  const PictureShape shape = png_shape(png, strips.picture->file);
  strips.width = shape.width;
  strips.height = shape.height;
  // One or two rows of square images; a second only if the first has not room for all.
  for (const int64_t rows : {2, 1}) {
    const int64_t pitch = (strips.height + kGap) / (2 * rows);
    const bool fits = pitch > kGap && (strips.height + kGap) % (2 * rows) == 0 &&
                      strips.width + kGap >= pitch && (strips.width + kGap) % pitch == 0;
    if (!fits || (rows == 2 && strips.picture->images <= (strips.width + kGap) / pitch)) continue;
    strips.rows = rows;
    return true;
  }
  return false;
}

std::string caption_html(const Picture& p) {
  return "<figcaption>" + html_escape(p.caption) + "</figcaption></figure>\n";
}

std::string plot_html(const Picture& p) {
  const std::vector<std::string> svgs = svgs_of(*p.plot);
  std::string html = "<figure>\n";
  if (p.plot->panels.empty()) return html + svgs.front() + caption_html(p);
  html += "<div class=\"panels\">\n";
  for (const std::string& svg : svgs) html += svg;
  return html + "</div>" + caption_html(p);
}

std::string whole_image(const Picture& p, const std::string& bytes) {
  const char* type = p.file.ends_with(".svg") ? "svg+xml" : "png";
  return fmt::format("<figure><img class=\"whole\" alt=\"{}\" src=\"data:image/{};base64,{}\">{}",
                     html_escape(p.caption), type, base64(bytes), caption_html(p));
}

// The images are stored once, and every strip shows a row of one.
std::string store_html(const std::vector<Strips>& group, const std::vector<std::string>& pngs) {
  std::string html = "<svg class=\"store\" width=\"0\" height=\"0\" aria-hidden=\"true\"><defs>\n";
  for (size_t i = 0; i < group.size(); ++i)
    html += fmt::format(
        "<image id=\"{}\" width=\"{}\" height=\"{}\" href=\"data:image/png;base64,{}\"/>\n",
        group[i].id, group[i].width, group[i].height, base64(pngs[i]));
  return html + "</defs></svg>\n";
}

std::string group_html(const std::vector<Strips>& group) {
  const int64_t rows = group.front().rows;
  const auto block = [&](int64_t row) {
    std::string html = fmt::format("<div class=\"strips\">\n<span>originals</span>{}",
                                   group.front().row(2 * row, "the original images"));
    for (const Strips& s : group)
      html += fmt::format("<span>{}</span>{}", html_escape(s.picture->label),
                          s.row(2 * row + 1, s.picture->label + ": " + s.picture->caption));
    return html + "</div>\n";
  };
  std::string html = "<figure>\n" + block(0);
  if (rows > 1) {
    html += "<details><summary>More images</summary>\n";
    for (int64_t row = 1; row < rows; ++row) html += block(row);
    html += "</details>\n";
  }
  return html + caption_html(*group.back().picture);
}

bool share_originals(const Strips& a, const Strips& b) {
  return a.picture->originals == b.picture->originals && a.rows == b.rows && a.width == b.width &&
         a.height == b.height;
}

}  // namespace

std::string Strips::row(int64_t row, const std::string& alt) const {
  const int64_t pitch = (height + kGap) / (2 * rows);
  return fmt::format(
      "<svg role=\"img\" aria-label=\"{}\" viewBox=\"0 {} {} {}\"><use href=\"#{}\"/></svg>\n",
      html_escape(alt), row * pitch, width, pitch - kGap, id);
}

std::string damage_html(const std::string& message) {
  return "<p class=\"damaged\" role=\"note\">Could not be read: " + html_escape(message) + "</p>\n";
}

std::string pictures_html(const std::string& results, const Section& section,
                          std::vector<std::string>& damaged, std::vector<Strips>& strips) {
  std::string html, plots;
  std::vector<Strips> group;
  std::vector<std::string> pngs;
  const auto end_group = [&] {
    if (!group.empty()) html += store_html(group, pngs) + group_html(group);
    group.clear();
    pngs.clear();
  };
  const auto end_plots = [&] {
    if (!plots.empty()) html += "<div class=\"plots\">\n" + plots + "</div>\n";
    plots.clear();
  };
  for (const Picture& p : section.pictures) {
    if (p.plot) {
      end_group();
      if (p.plot->panels.empty()) {
        plots += plot_html(p);
        continue;
      }
      end_plots();
      html += plot_html(p);
      continue;
    }
    end_plots();
    try {
      const std::string bytes = bytes_of(results, p);
      check(p.file.ends_with(".svg") || is_png(bytes), "report", p.file, " is no PNG file");
      Strips next{&p, fmt::format("image-{}-{}", html_escape(section.name), strips.size())};
      if (p.originals.empty() || !measure(bytes, next)) {
        end_group();
        html += whole_image(p, bytes);
        continue;
      }
      if (!group.empty() && !share_originals(group.back(), next)) end_group();
      strips.push_back(next);
      group.push_back(next);
      pngs.push_back(bytes);
    } catch (const Error& e) {
      damaged.push_back(e.what());
      html += damage_html(e.what());
    }
  }
  end_group();
  end_plots();
  return html;
}

std::string base64(const std::string& bytes) {
  constexpr const char* kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j)
      group = group << 8 | (j < n ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j) text += j <= n ? kDigits[group >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

}  // namespace versor
