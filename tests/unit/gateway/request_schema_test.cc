#include "gateway/request_schema.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "gateway/http_error.h"
#include "server/base/errors.h"

namespace tao::gateway {
namespace {

using Kind = routing::SelectorTerm::Kind;

// The schema's text, or the error's status and token.
std::string Ask(std::vector<routing::SelectorTerm> terms) {
  std::vector<routing::Service> services(2);
  services[0].job_id = "job-1";
  services[0].network_arch = "cosmos-rl";
  services[1].job_id = "job-2";
  services[1].network_arch = "foreign";
  const absl::StatusOr<std::string> schema =
      RequestSchema(*routing::RouteTable::Build(std::move(services)), {std::move(terms)},
                    {{"cosmos-rl", "{rl}"}, {"tao-dataservices", "{ds}"}});
  if (schema.ok()) return *schema;
  return std::to_string(HttpStatusOf(schema.status())) + " " +
         std::string(base::RuleOf(*base::TokenOf(schema.status())).name);
}

TEST(RequestSchemaTest, IsThatOfTheArchOrOfTheServicesArch) {
  EXPECT_EQ(Ask({{Kind::kNetworkArch, "tao-dataservices", "path"}}), "{ds}") << "none runs";
  EXPECT_EQ(Ask({{Kind::kJobId, "job-1", "path"}}), "{rl}");
  EXPECT_EQ(Ask({{Kind::kJobId, "job-1", "path"}, {Kind::kNetworkArch, "cosmos-rl", "query"}}),
            "{rl}");
}

TEST(RequestSchemaTest, ErrorsSayWhatIsNotThere) {
  EXPECT_EQ(Ask({{Kind::kNetworkArch, "cosmos-lr", "path"}}), "404 bad_request");
  EXPECT_EQ(Ask({{Kind::kJobId, "job-3", "path"}}), "404 service_not_found");
  EXPECT_EQ(Ask({{Kind::kJobId, "job-2", "path"}}), "404 bad_request") << "another tool's arch";
  EXPECT_EQ(Ask({{Kind::kJobId, "job-1", "path"}, {Kind::kNetworkArch, "foreign", "query"}}),
            "400 selector_conflict");
}

}  // namespace
}  // namespace tao::gateway
