#pragma once

#include <string>

#include "nearlite/base/error.h"

namespace nearlite::vector_service {

/// What every error of the facades is, beside its kind: catch it to catch them all.
class VectorServiceError {
 public:
  virtual ~VectorServiceError() = default;

 protected:
  VectorServiceError() = default;
  VectorServiceError(const VectorServiceError&) = default;
  VectorServiceError& operator=(const VectorServiceError&) = default;
};

/// The question is blank or no text.
class MalformedPromptError : public InvalidArgument, public VectorServiceError {
 public:
  using InvalidArgument::InvalidArgument;
};

/// A facade was put together wrongly.
class RetrieverConfigurationError : public InvalidArgument, public VectorServiceError {
 public:
  using InvalidArgument::InvalidArgument;
};

/// What the facade works with is busy for others; it was tried twice.
class RateLimitError : public Unavailable, public VectorServiceError {
 public:
  using Unavailable::Unavailable;
};

/// What the facade works with failed.
class ServiceFailure : public Unavailable, public VectorServiceError {
 public:
  using Unavailable::Unavailable;
};

}  // namespace nearlite::vector_service
