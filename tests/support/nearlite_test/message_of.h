#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <string>

namespace nearlite {

/// What the error of the expected type says that `function` throws; a failure of the test if it
/// throws another or none.
template <typename ErrorType, typename Function>
std::string message_of(Function function) {
  try {
    function();
  } catch (const ErrorType& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another error: " << error.what();
    return "";
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace nearlite
