#include "server/platforms/brev/brev_cli.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_format.h>

#include <cstdlib>

#include "server/base/status.h"
#include "server/base/strings.h"

namespace tao::platforms {
namespace {

constexpr size_t kMaxListBytes = 16 << 20;

std::string WordsOf(const io::SubprocessResult& result) { return result.err + "\n" + result.out; }

}  // namespace

absl::StatusOr<io::SubprocessResult> BrevCli::Run(std::vector<std::string> arguments,
                                                  absl::Duration limit,
                                                  const base::CancelToken* cancel) const {
  io::SubprocessOptions options;
  options.argv = std::move(arguments);
  options.argv.insert(options.argv.begin(), program_);
  options.unset_env = secret_names_;  // it does not read BREV_API_TOKEN either
  options.env = {{"BREV_NO_ANALYTICS", "1"}};
  // Without one it starts an agent, which nobody ends.
  const char* const agent = std::getenv("SSH_AUTH_SOCK");
  if (agent == nullptr || *agent == '\0') options.env["SSH_AUTH_SOCK"] = "/dev/null";
  options.umask = 077;  // it writes credentials with all that the umask leaves
  options.max_output_bytes = kMaxListBytes;
  options.timeout = limit;
  options.cancel = cancel;
  // stdin is /dev/null: of a pipe it would read the names of instances.
  absl::StatusOr<io::SubprocessResult> result = io::RunSubprocess(options);
  if (!absl::IsNotFound(result.status())) return result;
  return absl::FailedPreconditionError(absl::StrFormat(
      "platform brev needs the program %s, and it is not in the server's PATH. Install it "
      "(https://docs.nvidia.com/brev), and run brev login as the user of the server",
      base::Quoted(program_)));
}

absl::StatusOr<std::string> BrevCli::Version(absl::Duration limit) const {
  ASSIGN_OR_RETURN(const io::SubprocessResult result, Run({"--version"}, limit, nullptr));
  if (result.exit_code != 0) return BrevError("brev --version failed", WordsOf(result));
  return std::string(absl::StripAsciiWhitespace(result.out));
}

absl::StatusOr<std::vector<BrevInstance>> BrevCli::List(absl::Duration limit,
                                                        const base::CancelToken* cancel) const {
  const absl::Time end = absl::Now() + limit;
  ASSIGN_OR_RETURN(io::SubprocessResult result, Run({"ls", "--json"}, limit, cancel));
  if (result.exit_code != 0 && absl::Now() < end) {
    // Its login is renewed by the first call that finds it old, and that call fails.
    ASSIGN_OR_RETURN(result, Run({"ls", "--json"}, end - absl::Now(), cancel));
  }
  if (result.exit_code != 0) return BrevError("brev could not list its instances", WordsOf(result));
  return ParseInstances(result.out);
}

absl::Status BrevCli::Refresh(absl::Duration limit, const base::CancelToken* cancel) const {
  const base::MutexLock lock(refresh_mutex_);
  ASSIGN_OR_RETURN(const io::SubprocessResult result, Run({"refresh"}, limit, cancel));
  if (result.exit_code == 0) return absl::OkStatus();
  return BrevError("brev refresh failed, which writes ssh's configuration", WordsOf(result));
}

absl::StatusOr<std::vector<BrevType>> BrevCli::Types(absl::Duration limit,
                                                     const base::CancelToken* cancel) const {
  ASSIGN_OR_RETURN(const io::SubprocessResult result, Run({"search", "--json"}, limit, cancel));
  if (result.exit_code != 0) {
    return BrevError("brev could not list its instance types", WordsOf(result));
  }
  return ParseTypes(result.out);
}

absl::StatusOr<std::set<std::string>> BrevCli::CreateFlags(absl::Duration limit,
                                                           const base::CancelToken* cancel) const {
  ASSIGN_OR_RETURN(const io::SubprocessResult result, Run({"create", "--help"}, limit, cancel));
  if (result.exit_code != 0) return BrevError("brev create --help failed", WordsOf(result));
  return ParseFlags(WordsOf(result));
}

absl::Status BrevCli::Create(const BrevCreate& create, absl::Duration limit,
                             const base::CancelToken* cancel) const {
  const absl::Time end = absl::Now() + limit;
  ASSIGN_OR_RETURN(const std::set<std::string> flags, CreateFlags(limit, cancel));
  ASSIGN_OR_RETURN(std::vector<std::string> arguments, RenderCreate(create, flags));
  ASSIGN_OR_RETURN(const io::SubprocessResult result,
                   Run(std::move(arguments), end - absl::Now(), cancel));
  if (result.exit_code == 0) return absl::OkStatus();
  return BrevError(
      absl::StrFormat("brev could not make instance %s of type %s", create.name, create.types),
      WordsOf(result));
}

absl::Status BrevCli::Delete(const std::string& id, absl::Duration limit,
                             const base::CancelToken* cancel) const {
  ASSIGN_OR_RETURN(const io::SubprocessResult result, Run({"delete", id}, limit, cancel));
  if (result.exit_code == 0 || BrevFailureOf(WordsOf(result)) == BrevFailure::kNotFound) {
    return absl::OkStatus();
  }
  return BrevError(absl::StrFormat("brev could not delete instance %s", id), WordsOf(result));
}

}  // namespace tao::platforms
