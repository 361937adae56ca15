#include "nearlite/model/weights.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "nearlite/model/strict_json.h"

namespace nearlite {
namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kShardIndex = "model.safetensors.index.json";

float float_of_half(std::uint16_t half) {
  const std::uint32_t sign = (half & 0x8000U) << 16U;
  const std::uint32_t exponent = (half >> 10U) & 0x1fU;
  const std::uint32_t fraction = half & 0x3ffU;
  if (exponent == 0) {  // zero or denormal: exact as a product
    const float value = static_cast<float>(fraction) * 0x1p-24F;
    return sign != 0 ? -value : value;
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000U | (fraction << 13U));
  return std::bit_cast<float>(sign | ((exponent + 112) << 23U) | (fraction << 13U));
}

float float_of_bfloat(std::uint16_t bfloat) {
  return std::bit_cast<float>(std::uint32_t{bfloat} << 16U);
}

/// Whether all are finite, without a branch per value (an all-ones exponent is a NaN or infinity).
bool all_finite(std::span<const float> values) {
  std::uint32_t bad = 0;
  for (const float value : values) {
    bad |= static_cast<std::uint32_t>((std::bit_cast<std::uint32_t>(value) & 0x7f800000U) ==
                                      0x7f800000U);
  }
  return bad == 0;
}

void require_finite(std::span<const float> values, const std::string& name,
                    const std::filesystem::path& folder) {
  if (!all_finite(values)) {
    throw CorruptData(folder.string() + ": tensor '" + name + "' holds a NaN or an infinity",
                      "get the model again: nearlite model pull");
  }
}

/// Also false where we may not look: opening it says why.
bool is_there(const std::filesystem::path& file) {
  std::error_code ignored;
  return std::filesystem::exists(file, ignored);
}

/// The files that the index of a sharded checkpoint names. A shard is a plain name beside the
/// index: nothing that leads out of the folder.
std::vector<std::string> shard_names(const std::filesystem::path& index) {
  const nlohmann::json parsed = parse_strict_json(read_file(index), index.string());
  if (!parsed.is_object() || !parsed.contains("weight_map") || !parsed["weight_map"].is_object()) {
    throw CorruptData(index.string() + " has no \"weight_map\"");
  }
  std::set<std::string> names;
  for (const auto& [tensor, file] : parsed["weight_map"].items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    if (name.empty() || name.find('/') != std::string::npos ||
        name.find('\\') != std::string::npos || name.find('\0') != std::string::npos ||
        !name.ends_with(".safetensors")) {
      throw CorruptData(index.string() + ": " + file.dump().substr(0, 80) +
                        " is not the name of a safetensors file in the same folder");
    }
    names.insert(name);
  }
  return {names.begin(), names.end()};
}

}  // namespace

std::string shape_text(const std::vector<std::size_t>& shape) {
  std::vector<std::string> parts;
  for (const std::size_t size : shape) parts.push_back(std::to_string(size));
  return "[" + join_names(parts) + "]";
}

std::vector<std::string> Weights::file_names(const std::filesystem::path& folder) {
  if (is_there(folder / kSingleFile)) return {kSingleFile};
  if (!is_there(folder / kShardIndex)) return {};
  std::vector<std::string> names = shard_names(folder / kShardIndex);
  names.emplace_back(kShardIndex);
  return names;
}

Weights::Weights(const std::filesystem::path& folder) : folder_(folder) {
  for (const std::string& name : file_names(folder)) {
    if (name == kShardIndex) continue;
    if (!is_there(folder / name)) {
      throw NotFound((folder / name).string() + " is named by " + kShardIndex + " but is not there",
                     "get the model again: nearlite model pull");
    }
    files_.push_back(std::make_unique<const SafetensorsFile>(folder / name));
    for (const auto& [tensor, view] : files_.back()->tensors()) {
      if (!tensors_.emplace(tensor, &view).second) {
        throw CorruptData(folder.string() + ": tensor '" + tensor + "' is in two files");
      }
    }
  }
  if (!files_.empty()) return;
  if (is_there(folder / "pytorch_model.bin")) {
    throw NotFound(folder.string() +
                       " has its weights only as pytorch_model.bin: pickle is never "
                       "loaded; convert to safetensors",
                   "save the model again with safe_serialization=True, or take a revision that has "
                   "model.safetensors");
  }
  throw NotFound(folder.string() + " has neither " + kSingleFile + " nor " + kShardIndex);
}

std::set<std::string> Weights::names_of_all() const {
  std::set<std::string> names;
  for (const auto& file : files_) names.insert(file->names().begin(), file->names().end());
  return names;
}

const std::vector<std::size_t>& Weights::shape(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    throw CorruptData(folder_.string() + ": the weights have no tensor '" + name + "'");
  }
  return found->second->shape;
}

const TensorView& Weights::checked(const std::string& name,
                                   const std::vector<std::size_t>& shape) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    throw CorruptData(folder_.string() + ": the weights have no tensor '" + name + "' of shape " +
                      shape_text(shape));
  }
  if (found->second->shape != shape) {
    throw CorruptData(folder_.string() + ": tensor '" + name + "' has the shape " +
                      shape_text(found->second->shape) + ", the configuration wants " +
                      shape_text(shape));
  }
  return *found->second;
}

std::vector<float> Weights::read(const std::string& name,
                                 const std::vector<std::size_t>& shape) const {
  const TensorView& tensor = checked(name, shape);
  const std::size_t element_bytes = tensor.type == TensorType::kF32 ? 4 : 2;
  std::vector<float> values(tensor.bytes.size() / element_bytes);
  if (tensor.type == TensorType::kF32) {
    if (!values.empty()) std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  } else {
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::uint16_t bits = 0;
      std::memcpy(&bits, tensor.bytes.data() + 2 * i, sizeof bits);
      values[i] = tensor.type == TensorType::kF16 ? float_of_half(bits) : float_of_bfloat(bits);
    }
  }
  require_finite(values, name, folder_);
  return values;
}

std::optional<std::span<const float>> Weights::view(const std::string& name,
                                                    const std::vector<std::size_t>& shape) const {
  const TensorView& tensor = checked(name, shape);
  if (tensor.type != TensorType::kF32 ||
      reinterpret_cast<std::uintptr_t>(tensor.bytes.data()) % alignof(float) != 0) {
    return std::nullopt;
  }
  const std::span values(reinterpret_cast<const float*>(tensor.bytes.data()),
                         tensor.bytes.size() / sizeof(float));
  require_finite(values, name, folder_);
  return values;
}

TensorRows Weights::rows(const std::string& name, const std::vector<std::size_t>& shape) const {
  TensorRows rows;
  rows.tensor_ = &checked(name, shape);
  for (const auto& file : files_) {
    const auto found = file->tensors().find(name);
    if (found != file->tensors().end()) rows.file_ = file.get();
  }
  return rows;
}

void TensorRows::read(std::size_t row, std::span<float> to) const {
  if (tensor_->type == TensorType::kF32) {
    file_->copy(*tensor_, row * to.size_bytes(), std::as_writable_bytes(to));
    return;
  }
  // The halves go to the end of the floats that they become: each is read before it is written
  // over.
  const std::span halves = std::as_writable_bytes(to).subspan(to.size_bytes() / 2);
  file_->copy(*tensor_, row * halves.size(), halves);
  for (std::size_t i = 0; i < to.size(); ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, halves.data() + 2 * i, sizeof bits);
    to[i] = tensor_->type == TensorType::kF16 ? float_of_half(bits) : float_of_bfloat(bits);
  }
}

void Weights::release_pages() const noexcept {
  for (const auto& file : files_) file->release_pages();
}

}  // namespace nearlite
