#pragma once

#include <stdexcept>
#include <string>

namespace nearlite {

/// Base of everything that nearlite throws. `what()` is one line: what was found, what was wanted,
/// where. `hint()` says what to do about it; it may be empty.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, std::string hint = {})
      : std::runtime_error(message), hint_(std::move(hint)) {}

  /// The name of the class, as programs see it in `{"error": {"type": ...}}`.
  virtual const char* type() const noexcept = 0;
  /// The exit code of a program that ends with this error.
  virtual int exit_code() const noexcept = 0;
  const std::string& hint() const noexcept { return hint_; }

 private:
  std::string hint_;
};

/// The caller can fix it: a wrong option, size or name form.
class InvalidArgument : public Error {
 public:
  using Error::Error;
  const char* type() const noexcept override { return "InvalidArgument"; }
  int exit_code() const noexcept override { return 2; }
};

/// No such model, database, store, table, column, key or index.
class NotFound : public Error {
 public:
  using Error::Error;
  const char* type() const noexcept override { return "NotFound"; }
  int exit_code() const noexcept override { return 3; }
};

/// A file is not what it claims to be.
class CorruptData : public Error {
 public:
  using Error::Error;
  const char* type() const noexcept override { return "CorruptData"; }
  int exit_code() const noexcept override { return 3; }
};

/// SQLite refused; carries its extended result code.
class StoreError : public Error {
 public:
  StoreError(const std::string& message, int sqlite_code, std::string hint = {})
      : Error(message, std::move(hint)), sqlite_code_(sqlite_code) {}
  const char* type() const noexcept override { return "StoreError"; }
  int exit_code() const noexcept override { return 4; }
  int sqlite_code() const noexcept { return sqlite_code_; }

 private:
  int sqlite_code_;
};

/// Busy, full, not permitted or out of time: the same call may work later.
class Unavailable : public Error {
 public:
  using Error::Error;
  const char* type() const noexcept override { return "Unavailable"; }
  int exit_code() const noexcept override { return 4; }
};

/// Throws the error that fits an errno value: ENOENT -> NotFound, ENOSPC, EACCES, ... ->
/// Unavailable. `action` reads like "cannot open x.db"; the text of the errno is appended.
[[noreturn]] void throw_errno(const std::string& action, int error_number);

}  // namespace nearlite
