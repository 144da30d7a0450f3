#include "server/catalog/sampling.h"

#include <absl/strings/ascii.h>

namespace tao::catalog {
namespace {

// "number of output frames" -> "Number of output frames."
std::string Sentence(std::string text) {
  if (text.empty()) return text;
  text[0] = absl::ascii_toupper(static_cast<unsigned char>(text[0]));
  if (text.back() != '.') text += '.';
  return text;
}

}  // namespace

std::vector<SamplingField> SamplingFieldsOf(const ChatBody& chat, const std::string& network_arch) {
  std::vector<SamplingField> applicable;
  for (const RequestField& field : chat.fields) {
    const FieldRule& rule = field.RuleFor(network_arch);
    if (rule.use != FieldUse::kApplies) continue;
    applicable.push_back(
        {&field, &rule, Sentence(rule.meaning.empty() ? field.help : rule.meaning)});
  }
  return applicable;
}

}  // namespace tao::catalog
