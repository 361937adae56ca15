#pragma once

#include <exception>
#include <string>
#include <utility>

namespace nearlite::server {

/// An answer that is an error, with a text that may be shown to anybody: no paths, no SQL.
class ApiError : public std::exception {
 public:
  ApiError(int status, std::string code, std::string message, std::string param = {})
      : status_(status),
        code_(std::move(code)),
        message_(std::move(message)),
        param_(std::move(param)) {}
  const char* what() const noexcept override { return message_.c_str(); }
  int status() const noexcept { return status_; }
  const std::string& code() const noexcept { return code_; }    // stable: "unknown_field"
  const std::string& param() const noexcept { return param_; }  // the field that is wrong, or ""

 private:
  int status_;
  std::string code_;
  std::string message_;
  std::string param_;
};

}  // namespace nearlite::server
