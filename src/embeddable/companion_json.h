#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "nearlite/base/checksum.h"
#include "nearlite/base/files.h"
#include "nearlite/embeddable/record.h"
#include "nearlite/store/sidecar.h"

namespace nearlite {

/// What stands at the head of a companion JSON.
struct CompanionHead {
  std::int64_t generation = 0;
  std::string index_file;
  std::string index_sha256;
  std::string backend;
  std::string model;
  std::size_t dim = 0;
  std::size_t missing = 0;  // live vectors that the index file does not hold
  std::string written_at;
};

/// The text form of a key as the JSON and an index's readers know it: 7, abc; "1" in quotes for the
/// text 1, so that it differs from the number; telemetry:7; with a store name in front when the
/// files hold several stores.
std::string companion_id(const RecordKey& key, const std::string& store_prefix);

/// Writes the layout of docs/formats/companion-json.md, streaming: memory does not grow with the
/// number of records. slots: those of the index file in order; ones that are not live any more are
/// written as null. Returns the digest.
std::string write_companion(AtomicFile& file, const CompanionHead& head, Sidecar& sidecar,
                            std::span<const std::int64_t> slots);

}  // namespace nearlite
