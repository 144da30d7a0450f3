#pragma once

// Early-return macros for functions that return absl::Status or absl::StatusOr. For plain functions
// only: a coroutine writes `if (!x.ok()) co_return x.status();`.

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <utility>

#define TAO_STATUS_CONCAT_INNER(a, b) a##b
#define TAO_STATUS_CONCAT(a, b) TAO_STATUS_CONCAT_INNER(a, b)

// Returns the status of `expression` from this function unless it is OK.
#define RETURN_IF_ERROR(expression)                              \
  do {                                                           \
    if (absl::Status tao_status = (expression); !tao_status.ok()) \
      return tao_status;                                         \
  } while (false)

// ASSIGN_OR_RETURN(const Port port, Port::Parse(text)): the value, or an early return of its status.
#define ASSIGN_OR_RETURN(declaration, expression) \
  TAO_ASSIGN_OR_RETURN(TAO_STATUS_CONCAT(tao_status_or_, __LINE__), declaration, expression)

#define TAO_ASSIGN_OR_RETURN(result, declaration, expression) \
  auto result = (expression);                                 \
  if (!result.ok()) return std::move(result).status();        \
  declaration = *std::move(result)
