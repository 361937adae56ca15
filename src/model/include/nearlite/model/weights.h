#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "nearlite/base/files.h"

namespace nearlite {

enum class TensorType { kF32, kF16, kBf16 };

/// A tensor inside a mapped weight file; the bytes are not aligned to anything.
struct TensorView {
  TensorType type = TensorType::kF32;
  std::vector<std::size_t> shape;
  std::span<const std::byte> bytes;
};

/// The tensors of one safetensors file, checked before the first is looked at: the header is at
/// most 16 MiB, strict JSON without duplicate names, and the tensors lie in the file without gap or
/// overlap. Tensors of other types than F32, F16 and BF16 (position ids, for example) are left out.
/// Source: the format's own description, github.com/huggingface/safetensors.
class SafetensorsFile {
 public:
  /// Throws NotFound, Unavailable, or CorruptData that says what is wrong with which tensor.
  explicit SafetensorsFile(const std::filesystem::path& file);

  const std::map<std::string, TensorView>& tensors() const noexcept { return tensors_; }
  /// Of all tensors, those of other types included.
  const std::set<std::string>& names() const noexcept { return names_; }
  const std::filesystem::path& path() const noexcept { return path_; }
  /// Lets the kernel take the pages back; they are read again when needed.
  void release_pages() const noexcept;
  /// Copies a part of a tensor of this file, without mapping its pages. Throws CorruptData if the
  /// file was cut since, Unavailable if it cannot be read.
  void copy(const TensorView& tensor, std::size_t offset, std::span<std::byte> to) const;

 private:
  std::filesystem::path path_;
  MappedFile file_;
  std::map<std::string, TensorView> tensors_;
  std::set<std::string> names_;
};

/// The rows of a table of which few are read: each is copied from the file when it is wanted, so
/// that nothing of the table stays in memory. Valid while its Weights live; const use is safe from
/// several threads.
class TensorRows {
 public:
  /// Throws CorruptData if the file was cut since it was opened. Values are not looked at.
  void read(std::size_t row, std::span<float> to) const;

 private:
  friend class Weights;
  const SafetensorsFile* file_ = nullptr;
  const TensorView* tensor_ = nullptr;
};

/// All tensors of a model: one model.safetensors, or the shards that model.safetensors.index.json
/// names. Const use is safe from several threads; the files stay mapped while the object lives.
class Weights {
 public:
  /// Throws NotFound if the folder has no weights that can be read, CorruptData if they are
  /// damaged.
  explicit Weights(const std::filesystem::path& folder);

  /// The names of the weight files in a folder, relative to it, shards included; empty if there are
  /// none.
  static std::vector<std::string> file_names(const std::filesystem::path& folder);

  bool has(const std::string& name) const { return tensors_.contains(name); }
  /// Of all tensors, those included that cannot be read as floats.
  std::set<std::string> names_of_all() const;
  /// The tensor as floats, row-major. Throws CorruptData if it is missing, has another shape, or
  /// holds a NaN or infinity.
  std::vector<float> read(const std::string& name, const std::vector<std::size_t>& shape) const;
  /// The same without a copy, if the file has it as aligned F32; else nothing. Valid while this
  /// object lives.
  std::optional<std::span<const float>> view(const std::string& name,
                                             const std::vector<std::size_t>& shape) const;
  /// A table [rows, columns] to read single rows of.
  TensorRows rows(const std::string& name, const std::vector<std::size_t>& shape) const;
  /// The shape of a tensor. Throws CorruptData if it is missing.
  const std::vector<std::size_t>& shape(const std::string& name) const;
  /// Lets the kernel take the pages of all files back; they are read again when needed.
  void release_pages() const noexcept;

 private:
  const TensorView& checked(const std::string& name, const std::vector<std::size_t>& shape) const;

  std::filesystem::path folder_;
  std::vector<std::unique_ptr<const SafetensorsFile>> files_;
  std::map<std::string, const TensorView*> tensors_;
};

/// "[384, 1536]", for messages.
std::string shape_text(const std::vector<std::size_t>& shape);

}  // namespace nearlite
