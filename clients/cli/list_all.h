#pragma once

// All pages of List as one answer, for the commands that need the whole.

#include <grpcpp/support/status.h>

#include "clients/cli/connection.h"

namespace tao::cli {

// Appends to `all`, whose next_page_token stays empty. `latest` is the last page's.
grpc::Status ListAll(Session& session, pb::ListResponse& all);

}  // namespace tao::cli
