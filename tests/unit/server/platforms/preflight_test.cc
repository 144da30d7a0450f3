#include "server/platforms/preflight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/errors.h"
#include "tests/fakes/fake_platform.h"

namespace tao::platforms {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Outcome = CheckItem::Outcome;

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

TEST(ToStatusTest, NothingMissingIsOk) {
  EXPECT_TRUE(ToStatus({}).ok());
  EXPECT_TRUE(ToStatus({{"a", Outcome::kOk, "x"}, {"b", Outcome::kWarning, "old"}}).ok());
}

TEST(ToStatusTest, EverythingMissingIsSaidAtOnce) {
  const absl::Status status = ToStatus({{"a", Outcome::kMissing, "install a"},
                                        {"b", Outcome::kUnknown, "b did not answer"},
                                        {"c", Outcome::kMissing, "set C"}});
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_EQ(MessageOf(status), "install a; set C");
}

TEST(ToStatusTest, WhatCouldNotBeAskedIsNotMissing) {
  const absl::Status status = ToStatus({{"b", Outcome::kUnknown, "b did not answer"}});
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(MessageOf(status), "b did not answer");
}

TEST(ItemOfTest, ErrorsThatAreAnAnswerAreMissing) {
  EXPECT_EQ(ItemOf("a", absl::OkStatus(), "found").outcome, Outcome::kOk);
  EXPECT_EQ(ItemOf("a", absl::OkStatus(), "found").message, "found");
  EXPECT_EQ(ItemOf("a", absl::FailedPreconditionError("no"), "").outcome, Outcome::kMissing);
  EXPECT_EQ(ItemOf("a", absl::UnavailableError("down"), "").outcome, Outcome::kUnknown);
  EXPECT_EQ(ItemOf("a", absl::DeadlineExceededError("slow"), "").outcome, Outcome::kUnknown);
}

class OptionPlatform : public fakes::FakePlatform {
 public:
  const PlatformTraits& traits() const override {
    static constexpr PlatformOption kOptions[] = {{"partition", "which one"}, {"account", "whose"}};
    static constexpr PlatformTraits kTraits = {
        .name = "opt", .execution_backend = "opt", .options = kOptions};
    return kTraits;
  }
};

TEST(CheckOptionsTest, KnownNamesPass) {
  EXPECT_TRUE(CheckOptions(OptionPlatform(), {}).ok());
  EXPECT_TRUE(CheckOptions(OptionPlatform(), {{"partition", "gpu"}}).ok());
}

TEST(CheckOptionsTest, AnUnknownNameIsRefusedWithTheOneThatIsMeant) {
  const absl::Status status =
      CheckOptions(OptionPlatform(), {{"partitoin", "gpu"}, {"account", "a"}, {"zzz", "1"}});
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(MessageOf(status),
              AllOf(HasSubstr("did you mean \"partition\"?"), HasSubstr("partition and account")));
  const std::vector<base::FieldViolation> violations = base::DetailsOf(status).violations;
  ASSERT_EQ(violations.size(), 2U);
  EXPECT_EQ(violations[0].field, "platform_options.partitoin");
  EXPECT_EQ(violations[1].field, "platform_options.zzz");
}

TEST(CheckOptionsTest, APlatformWithoutOptionsSaysSo) {
  const absl::Status status = CheckOptions(fakes::FakePlatform(), {{"partition", "gpu"}});
  EXPECT_THAT(MessageOf(status), HasSubstr("takes none"));
}

}  // namespace
}  // namespace tao::platforms
