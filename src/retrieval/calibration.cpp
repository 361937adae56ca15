#include "nearlite/retrieval/calibration.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string_view>

namespace nearlite {
namespace {

constexpr double kSide = 400;  // of the square, in pixels
constexpr double kLeft = 60;
constexpr double kTop = 20;
constexpr double kLargestDot = 9;
// Told apart also by people who see no red or green.
constexpr std::array<std::string_view, 6> kColors = {"#0072b2", "#d55e00", "#009e73",
                                                     "#cc79a7", "#56b4e9", "#e69f00"};

double x_of(double confidence) { return kLeft + kSide * confidence; }
double y_of(double relevant) { return kTop + kSide * (1 - relevant); }

template <typename... Values>
void put(std::string& svg, const char* format, Values... values) {
  std::array<char, 400> text{};
  std::snprintf(text.data(), text.size(), format, values...);
  svg += text.data();
  svg += '\n';
}

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    if (c == '&') {
      safe += "&amp;";
    } else if (c == '<') {
      safe += "&lt;";
    } else if (static_cast<unsigned char>(c) >= 0x20) {
      safe += c;
    }
  }
  return safe;
}

void put_axes(std::string& svg) {
  for (int tenth = 0; tenth <= 10; tenth += 2) {
    const double value = tenth / 10.0;
    put(svg, "<path d=\"M%.1f %.1fV%.1fM%.1f %.1fH%.1f\" stroke=\"#ddd\"/>", x_of(value), y_of(0),
        y_of(1), x_of(0), y_of(value), x_of(1));
    put(svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.1f</text>", x_of(value),
        y_of(0) + 18, value);
    put(svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.1f</text>", x_of(0) - 8,
        y_of(value) + 4, value);
  }
  put(svg, "<path d=\"M%.1f %.1fL%.1f %.1f\" stroke=\"#888\" stroke-dasharray=\"4 4\"/>", x_of(0),
      y_of(0), x_of(1), y_of(1));
  put(svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">confidence of the hit</text>",
      x_of(0.5), y_of(0) + 40);
  put(svg,
      "<text transform=\"translate(16 %.1f) rotate(-90)\" text-anchor=\"middle\">share of such "
      "hits that are relevant</text>",
      y_of(0.5));
}

void put_set(std::string& svg, const std::string& name, const Calibration& set, std::size_t place) {
  const std::string color(kColors[place % kColors.size()]);
  std::string path;
  for (const CalibrationBin& bin : set.bins) {
    if (bin.claims == 0) continue;
    std::array<char, 48> point{};
    std::snprintf(point.data(), point.size(), "%s%.1f %.1f", path.empty() ? "M" : "L",
                  x_of(bin.confidence), y_of(bin.relevant));
    path += point.data();
    const double share = static_cast<double>(bin.claims) / static_cast<double>(set.claims);
    put(svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\" fill-opacity=\"0.5\"/>",
        x_of(bin.confidence), y_of(bin.relevant), 2 + kLargestDot * std::sqrt(share),
        color.c_str());
  }
  svg += "<path d=\"" + path + "\" fill=\"none\" stroke=\"" + color + "\" stroke-width=\"2\"/>\n";
  const double y = kTop + 20 + 18 * static_cast<double>(place);
  put(svg, "<rect x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"12\" fill=\"%s\"/>", kLeft + 12,
      y - 10, color.c_str());
  std::array<char, 64> figures{};
  std::snprintf(figures.data(), figures.size(), ": error %.3f, %zu hits", set.error, set.claims);
  std::array<char, 64> place_text{};
  std::snprintf(place_text.data(), place_text.size(), "<text x=\"%.1f\" y=\"%.1f\">", kLeft + 30,
                y);
  svg += place_text.data() + escaped(name) + figures.data() + "</text>\n";
}

}  // namespace

Calibration calibration_of(std::span<const Claim> claims) {
  Calibration calibration;
  calibration.claims = claims.size();
  for (const Claim& claim : claims) {
    const double place = std::clamp(claim.confidence, 0.0, 1.0) * 10;
    CalibrationBin& bin =
        calibration.bins[std::min<std::size_t>(static_cast<std::size_t>(place), 9)];
    ++bin.claims;
    bin.confidence += claim.confidence;
    bin.relevant += claim.relevant ? 1 : 0;
  }
  for (CalibrationBin& bin : calibration.bins) {
    if (bin.claims == 0) continue;
    const auto count = static_cast<double>(bin.claims);
    bin.confidence /= count;
    bin.relevant /= count;
    calibration.error +=
        count / static_cast<double>(claims.size()) * std::abs(bin.confidence - bin.relevant);
  }
  return calibration;
}

std::string calibration_plot(std::span<const std::pair<std::string, Calibration>> sets) {
  std::string svg =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 490 475\" "
      "font-family=\"sans-serif\" "
      "font-size=\"12\">\n<rect width=\"490\" height=\"475\" fill=\"white\"/>\n";
  put_axes(svg);
  for (std::size_t i = 0; i < sets.size(); ++i) put_set(svg, sets[i].first, sets[i].second, i);
  return svg + "</svg>\n";
}

}  // namespace nearlite
