#include "vector_files.h"

#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <fstream>
#include <optional>
#include <span>

#include "json.h"
#include "nearlite/base/clock.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/hex.h"
#include "nearlite/store/connection.h"

namespace nearlite::cli {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little,
              "vectors are written as they lie in memory");

constexpr std::size_t kMaxDim = 65'536;
constexpr std::size_t kMaxHeader = 65'535;

/// The shortest decimals that give the same floats again.
std::string floats_text(std::span<const float> vector) {
  std::string text = "[";
  std::array<char, 32> number{};
  for (const float value : vector) {
    if (text.size() > 1) text += ',';
    text.append(number.data(),
                std::to_chars(number.data(), number.data() + number.size(), value).ptr);
  }
  return text + "]";
}

std::span<const float> vector_of(const TransferRecord& record, std::size_t index) {
  return std::span(record.vectors).subspan(index * record.dim, record.dim);
}

/// What tells where a vector belongs: all but the vector itself.
Json head_of(const std::string& store, const TransferRecord& record) {
  Json json = {{"store", store}, {"key", Json::parse(record.key.json, nullptr, false)}};
  if (!record.key.table.empty()) json["table"] = record.key.table;
  json["model"] = record.model;
  json["identity"] = record.identity;
  json["text_hash"] = hex_of(record.text_hash);
  json["embedded_at"] = record.embedded_at;
  return json;
}

class JsonlWriter : public VectorFileWriter {
 public:
  explicit JsonlWriter(const fs::path& file) : file_(file) {}
  void begin_store(const std::string& store, const std::string&) override { store_ = store; }
  void add(const TransferRecord& record) override {
    std::string line = json_text(head_of(store_, record));
    line.pop_back();
    line += ",\"passages\":[";
    for (std::size_t i = 0; i < record.passages.size(); ++i) {
      line += (i == 0 ? "{\"begin\":" : ",{\"begin\":") + std::to_string(record.passages[i].begin) +
              ",\"end\":" + std::to_string(record.passages[i].end) +
              ",\"vector\":" + floats_text(vector_of(record, i)) + "}";
    }
    file_.write(line + "]}\n");
  }
  void finish() override { file_.commit(); }

 private:
  AtomicFile file_;
  std::string store_;
};

std::string npy_header(std::size_t rows, std::size_t dim) {
  constexpr std::size_t kHeaderBytes = 128;
  std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows) +
                     ", " + std::to_string(dim) + "), }";
  text.resize(kHeaderBytes - 11, ' ');
  text += '\n';
  std::string header = "\x93NUMPY";
  header +=
      {'\x01', '\x00', static_cast<char>(text.size() & 0xFF), static_cast<char>(text.size() >> 8)};
  return header + text;
}

class NpyWriter : public VectorFileWriter {
 public:
  explicit NpyWriter(fs::path file) : path_(std::move(file)), keys_(keys_file_of(path_)) {}
  void begin_store(const std::string& store, const std::string&) override {
    if (!store_.empty())
      throw InvalidArgument("an npy file holds one store",
                            "choose one with --db, or --format jsonl");
    store_ = store;
  }
  void add(const TransferRecord& record) override {
    if (dim_ == 0) dim_ = record.dim;
    if (record.dim != dim_)
      throw InvalidArgument("the store has vectors of " + std::to_string(dim_) + " and of " +
                            std::to_string(record.dim) + " dimensions, an npy file holds one size");
    values_.insert(values_.end(), record.vectors.begin(), record.vectors.end());
    for (std::size_t i = 0; i < record.passages.size(); ++i) {
      Json head = head_of(store_, record);
      head["passage"] = i;
      head["begin"] = record.passages[i].begin;
      head["end"] = record.passages[i].end;
      keys_.write(json_text(head) + "\n");
    }
  }
  void finish() override {
    AtomicFile file(path_);
    file.write(npy_header(dim_ == 0 ? 0 : values_.size() / dim_, dim_));
    file.write(bytes_of(std::span<const float>(values_)));
    keys_.commit();
    file.commit();
  }

 private:
  fs::path path_;
  AtomicFile keys_;
  std::string store_;
  std::vector<float> values_;  // the header comes first and needs the number of rows
  std::size_t dim_ = 0;
};

/// The tables that the tool llm documents for its embeddings.
constexpr char kLlmTables[] = R"(
CREATE TABLE collections(id INTEGER PRIMARY KEY, name TEXT, model TEXT);
CREATE UNIQUE INDEX idx_collections_name ON collections(name);
CREATE TABLE embeddings(
  collection_id INTEGER REFERENCES collections(id), id TEXT, embedding BLOB, content TEXT, content_blob BLOB,
  content_hash BLOB, metadata TEXT, updated INTEGER, PRIMARY KEY (collection_id, id));
CREATE INDEX idx_embeddings_content_hash ON embeddings(content_hash);
)";

class SqliteWriter : public VectorFileWriter {
 public:
  explicit SqliteWriter(fs::path file) : path_(std::move(file)), unfinished_(path_) {
    if (stamp_of(path_))
      throw InvalidArgument(path_.string() + " exists already", "choose another name for --out");
    unfinished_ += ".unfinished";
    fs::remove(unfinished_);
    db_.emplace(Connection::open(unfinished_, true));
    db_->execute("PRAGMA synchronous = OFF; BEGIN");
    db_->execute(kLlmTables);
  }
  ~SqliteWriter() override {
    db_.reset();
    std::error_code ignored;
    fs::remove(unfinished_, ignored);
  }
  void begin_store(const std::string& store, const std::string& model) override {
    store_ = store;
    db_->prepare("INSERT INTO collections(name, model) VALUES (?1, ?2)")
        .run(std::string_view(store), std::string_view(model));
    collection_ = db_->last_insert_rowid();
  }
  void add(const TransferRecord& record) override {
    const auto time = std::chrono::duration_cast<std::chrono::seconds>(
        parse_rfc3339(record.embedded_at).time_since_epoch());
    for (std::size_t i = 0; i < record.passages.size(); ++i) {
      Json metadata = head_of(store_, record);
      metadata["passage"] = i;
      metadata["begin"] = record.passages[i].begin;
      metadata["end"] = record.passages[i].end;
      const std::string id = record.key.display() + (i == 0 ? "" : "#" + std::to_string(i));
      const std::string text = json_text(metadata);
      Statement insert = db_->prepare(
          "INSERT INTO embeddings(collection_id, id, embedding, metadata, updated) VALUES (?1, ?2, "
          "?3, ?4, ?5)");
      insert.run(collection_, std::string_view(id), bytes_of(vector_of(record, i)),
                 std::string_view(text), static_cast<std::int64_t>(time.count()));
    }
  }
  void finish() override {
    db_->execute("COMMIT; PRAGMA synchronous = FULL");
    db_.reset();
    fs::rename(unfinished_, path_);
    sync_folder(path_.parent_path().empty() ? "." : path_.parent_path());
  }

 private:
  fs::path path_;
  fs::path unfinished_;
  std::optional<Connection> db_;
  std::string store_;
  std::int64_t collection_ = 0;
};

[[noreturn]] void refuse(const fs::path& file, std::size_t line, const std::string& what) {
  throw CorruptData(file.string() + ":" + std::to_string(line) + ": " + what);
}

/// One JSON object per line.
class LineReader {
 public:
  explicit LineReader(fs::path file) : path_(std::move(file)), stream_(path_, std::ios::binary) {
    if (!stamp_of(path_)) throw NotFound("there is no file " + path_.string());
    if (!stream_) throw Unavailable("cannot read " + path_.string());
  }
  std::optional<Json> next() {
    std::string line;
    while (std::getline(stream_, line)) {
      ++line_;
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      Json json = Json::parse(line, nullptr, false);
      if (!json.is_object() || !json.contains("key")) fail("a JSON object with \"key\" is wanted");
      return json;
    }
    return std::nullopt;
  }
  [[noreturn]] void fail(const std::string& what) const { refuse(path_, line_, what); }

 private:
  fs::path path_;
  std::ifstream stream_;
  std::size_t line_ = 0;
};

std::string text_in(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::size_t count_in(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_number_unsigned() ? found->get<std::size_t>() : 0;
}

TransferRecord record_of(const Json& json, const LineReader& lines) {
  TransferRecord record;
  record.key.json = json_text(json["key"]);
  record.key.table = text_in(json, "table");
  try {
    record.key.values();
  } catch (const InvalidArgument& error) {
    lines.fail(error.what());
  }
  record.model = text_in(json, "model");
  record.identity = text_in(json, "identity");
  record.embedded_at = text_in(json, "embedded_at");
  const std::string hash = text_in(json, "text_hash");
  const auto [end, error] =
      std::from_chars(hash.data(), hash.data() + hash.size(), record.text_hash, 16);
  if (!hash.empty() && (error != std::errc() || end != hash.data() + hash.size()))
    lines.fail("\"text_hash\" must be 16 hex digits");
  return record;
}

void add_vector(TransferRecord& record, const Json& list, const LineReader& lines) {
  if (!list.is_array() || list.empty() || list.size() > kMaxDim)
    lines.fail("\"vector\" must be a list of 1 to 65536 numbers");
  if (record.dim == 0) record.dim = list.size();
  if (record.dim != list.size()) lines.fail("the vectors of a record differ in size");
  for (const Json& value : list) {
    if (!value.is_number()) lines.fail("\"vector\" must hold numbers");
    record.vectors.push_back(value.get<float>());
  }
}

TransferSource jsonl_source(const fs::path& file) {
  return [lines = std::make_shared<LineReader>(file)](TransferRecord& record) {
    const auto json = lines->next();
    if (!json) return false;
    record = record_of(*json, *lines);
    if (json->contains("vector")) {
      add_vector(record, (*json)["vector"], *lines);
      return true;
    }
    if (!json->contains("passages") || !(*json)["passages"].is_array())
      lines->fail("\"vector\" or \"passages\" is wanted");
    for (const Json& passage : (*json)["passages"]) {
      if (!passage.is_object() || !passage.contains("vector"))
        lines->fail("a passage has no vector");
      record.passages.push_back({count_in(passage, "begin"), count_in(passage, "end")});
      add_vector(record, passage["vector"], *lines);
    }
    return true;
  };
}

/// A two-dimensional array of little-endian float32 in C order, as numpy writes it.
struct NpyFile {
  explicit NpyFile(const fs::path& file) : mapped(file) {
    const auto bytes = mapped.bytes();
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()),
                                std::min(bytes.size(), kMaxHeader + 12));
    const auto fail = [&](const std::string& what) {
      throw CorruptData(file.string() + ": " + what +
                        "; wanted is an .npy file with a "
                        "two-dimensional array of float32 ('<f4') in C order");
    };
    if (!text.starts_with("\x93NUMPY") || text.size() < 12) fail("not an .npy file");
    const bool first = text[6] == 1;
    const auto byte = [&](std::size_t i) {
      return static_cast<std::size_t>(static_cast<unsigned char>(text[i]));
    };
    const std::size_t begin = first ? 10 : 12;
    const std::size_t length =
        byte(8) | byte(9) << 8 | (first ? 0 : byte(10) << 16 | byte(11) << 24);
    if (length > kMaxHeader || begin + length > bytes.size()) fail("its header is cut off");
    const std::string header(text.substr(begin, std::min(length, text.size() - begin)));
    if (header.find("'<f4'") == std::string::npos) fail("its values are not '<f4'");
    if (header.find("'fortran_order': False") == std::string::npos) fail("it is in Fortran order");
    if (!read_shape(header)) fail("its shape is not (rows, dimensions)");
    data = bytes.subspan(begin + length);
    if (dim > kMaxDim || (dim == 0 && rows > 0)) fail("it has vectors of " + std::to_string(dim));
    if (dim > 0 &&
        (data.size() / sizeof(float) / dim < rows || data.size() != rows * dim * sizeof(float)))
      fail("it has " + std::to_string(data.size()) + " bytes of data for " + std::to_string(rows) +
           " x " + std::to_string(dim) + " values");
  }
  /// 'shape': (rows, dim)
  bool read_shape(const std::string& header) {
    constexpr std::string_view kName = "'shape':";
    const std::size_t at = header.find(kName);
    if (at == std::string::npos) return false;
    const char* next = header.data() + at + kName.size();
    const char* const end = header.data() + header.size();
    const auto skip = [&](char wanted) {
      while (next < end && *next == ' ') ++next;
      if (next == end || *next != wanted) return false;
      for (++next; next < end && *next == ' ';) ++next;
      return true;
    };
    const auto number = [&](std::size_t& value) {
      const auto [after, error] = std::from_chars(next, end, value);
      const bool read = error == std::errc() && after != next;
      next = after;
      return read;
    };
    if (!skip('(') || !number(rows) || !skip(',') || !number(dim)) return false;
    if (next < end && *next == ',') skip(',');
    return skip(')');
  }

  MappedFile mapped;
  std::span<const std::byte> data;
  std::size_t rows = 0;
  std::size_t dim = 0;
};

/// Rows of one record follow one another; without "passage" each line is a record.
class NpySource {
 public:
  explicit NpySource(const fs::path& file)
      : npy_(std::make_shared<NpyFile>(file)),
        lines_(std::make_shared<LineReader>(keys_file_of(file))),
        next_(lines_->next()) {}

  bool operator()(TransferRecord& record) {
    if (!next_) {
      if (row_ != npy_->rows)
        lines_->fail("there are " + std::to_string(npy_->rows) + " vectors, and keys for " +
                     std::to_string(row_));
      return false;
    }
    record = record_of(*next_, *lines_);
    record.dim = npy_->dim;
    const Json first = *next_;
    do {
      if (row_ == npy_->rows)
        lines_->fail("there are more keys than vectors (" + std::to_string(npy_->rows) + ")");
      if (next_->contains("passage"))
        record.passages.push_back({count_in(*next_, "begin"), count_in(*next_, "end")});
      const auto bytes =
          npy_->data.subspan(row_++ * npy_->dim * sizeof(float), npy_->dim * sizeof(float));
      const std::size_t at = record.vectors.size();
      record.vectors.resize(at + npy_->dim);
      std::memcpy(record.vectors.data() + at, bytes.data(), bytes.size());
      next_ = lines_->next();
    } while (next_ && count_in(*next_, "passage") > 0 && (*next_)["key"] == first["key"] &&
             text_in(*next_, "table") == text_in(first, "table"));
    return true;
  }

 private:
  std::shared_ptr<NpyFile> npy_;
  std::shared_ptr<LineReader> lines_;
  std::optional<Json> next_;
  std::size_t row_ = 0;
};

}  // namespace

fs::path keys_file_of(const fs::path& npy) {
  return fs::path(npy).replace_extension(".keys.jsonl");
}

std::unique_ptr<VectorFileWriter> open_vector_writer(const std::string& format,
                                                     const fs::path& file) {
  if (format == "npy") return std::make_unique<NpyWriter>(file);
  if (format == "sqlite") return std::make_unique<SqliteWriter>(file);
  return std::make_unique<JsonlWriter>(file);
}

TransferSource open_vector_reader(const std::string& format, const fs::path& file) {
  if (format == "npy") return NpySource(file);
  return jsonl_source(file);
}

}  // namespace nearlite::cli
