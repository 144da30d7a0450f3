#include "server/api/request_schema.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>

#include <cmath>

#include "server/base/closest_name.h"
#include "server/base/errors.h"
#include "server/base/strings.h"
#include "server/catalog/sampling.h"

namespace tao::api {
namespace {

using catalog::FieldType;

pb::SamplingType ToProto(FieldType type) {
  switch (type) {
    case FieldType::kInt:
      return pb::SAMPLING_TYPE_INT;
    case FieldType::kFloat:
      return pb::SAMPLING_TYPE_FLOAT;
    case FieldType::kNumber:
      return pb::SAMPLING_TYPE_NUMBER;
    case FieldType::kString:
      return pb::SAMPLING_TYPE_STRING;
    case FieldType::kBool:
      return pb::SAMPLING_TYPE_BOOL;
  }
  return pb::SAMPLING_TYPE_UNSPECIFIED;
}

pb::SamplingField ToProto(const catalog::SamplingField& sampling) {
  const std::string& name = sampling.field->name;
  const FieldType type = sampling.field->type;
  const catalog::FieldRule& rule = *sampling.rule;
  pb::SamplingField field;
  field.set_name(name);
  field.set_type(ToProto(type));
  field.set_help(sampling.help);
  *field.mutable_default_value() = ToSamplingValue(name, type, rule.default_text);
  if (!rule.container_default.empty()) {
    *field.mutable_container_default() = ToSamplingValue(name, type, rule.container_default);
  }
  if (rule.range.minimum.has_value()) field.set_minimum(*rule.range.minimum);
  if (rule.range.above.has_value()) field.set_above(*rule.range.above);
  if (rule.range.maximum.has_value()) field.set_maximum(*rule.range.maximum);
  return field;
}

pb::MediaRules::Need ToProto(catalog::MediaRule rule) {
  switch (rule) {
    case catalog::MediaRule::kRequired:
      return pb::MediaRules::NEED_REQUIRED;
    case catalog::MediaRule::kOptional:
      return pb::MediaRules::NEED_OPTIONAL;
    case catalog::MediaRule::kByModel:
      return pb::MediaRules::NEED_BY_MODEL;
  }
  return pb::MediaRules::NEED_UNSPECIFIED;
}

pb::MediaRules::Answer ToProto(catalog::AnswerKind kind) {
  switch (kind) {
    case catalog::AnswerKind::kText:
      return pb::MediaRules::ANSWER_TEXT;
    case catalog::AnswerKind::kVideoDataUri:
      return pb::MediaRules::ANSWER_VIDEO_DATA_URI;
    case catalog::AnswerKind::kByModel:
      return pb::MediaRules::ANSWER_BY_MODEL;
  }
  return pb::MediaRules::ANSWER_UNSPECIFIED;
}

pb::MediaRules ToProto(const catalog::ArchConstraints& rules) {
  pb::MediaRules media;
  media.set_need(ToProto(rules.media));
  media.set_takes_data(rules.data_uris);
  media.mutable_image_extensions()->Assign(rules.images.begin(), rules.images.end());
  media.mutable_video_extensions()->Assign(rules.videos.begin(), rules.videos.end());
  media.mutable_mime_types()->Assign(rules.mime_types.begin(), rules.mime_types.end());
  media.set_answer(ToProto(rules.answer));
  return media;
}

absl::Status UnknownArch(const std::string& named, std::string_view whose,
                         const catalog::Catalog& catalog) {
  const std::vector<std::string> known = catalog.arch_names();
  return base::WithDetails(
      absl::NotFoundError(absl::StrFormat(
          "no request schema is known for network_arch %s%s%s; there is one for %s",
          base::Quoted(named), whose, base::DidYouMean(named, known), base::JoinedList(known))),
      {.param = "network_arch", .reason = "ARCH_NOT_FOUND"});
}

}  // namespace

pb::SamplingValue ToSamplingValue(const std::string& name, FieldType type,
                                  const std::string& text) {
  pb::SamplingValue value;
  value.set_name(name);
  int64_t whole = 0;
  double number = 0;
  if (text.empty()) {
    value.set_left_out(true);
  } else if (type == FieldType::kString) {
    value.set_string_value(text);
  } else if (type == FieldType::kBool) {
    value.set_bool_value(text == "true");
  } else if (type != FieldType::kFloat && absl::SimpleAtoi(text, &whole)) {
    value.set_int_value(whole);
  } else if (absl::SimpleAtod(text, &number)) {
    value.set_float_value(number);
  }
  return value;
}

pb::GetRequestSchemaResponse SchemaOf(const catalog::Catalog& catalog,
                                      const std::string& network_arch) {
  const catalog::RequestSchema& request = catalog.request();
  pb::GetRequestSchemaResponse schema;
  schema.set_network_arch(network_arch);
  for (const catalog::SamplingField& field :
       catalog::SamplingFieldsOf(request.chat, network_arch)) {
    *schema.add_sampling() = ToProto(field);
  }
  if (const auto rules = request.archs.find(network_arch); rules != request.archs.end()) {
    *schema.mutable_media() = ToProto(rules->second);
  }
  schema.mutable_roles()->Assign(request.chat.roles.begin(), request.chat.roles.end());
  schema.mutable_client_timeout()->set_seconds(request.chat.client_timeout_s);
  return schema;
}

absl::StatusOr<pb::GetRequestSchemaResponse> GetRequestSchema(
    const pb::GetRequestSchemaRequest& request, const catalog::Catalog& catalog,
    const routing::RouteTable& table) {
  std::string named, whose;
  switch (request.subject_case()) {
    case pb::GetRequestSchemaRequest::kJobId: {
      const routing::Service* const service = table.Find(request.job_id());
      if (service == nullptr) {
        return base::TokenError(
            base::ErrorToken::kServiceNotFound,
            absl::StrFormat("no service has the job_id %s; List shows those that there are, and a "
                            "network_arch has a schema without any",
                            base::Quoted(request.job_id())),
            {.param = "job_id"});
      }
      named = service->network_arch;
      whose = absl::StrFormat(", of service %s", service->job_id);
      break;
    }
    case pb::GetRequestSchemaRequest::kNetworkArch:
      named = request.network_arch();
      break;
    case pb::GetRequestSchemaRequest::SUBJECT_NOT_SET:
      return base::WithDetails(
          absl::InvalidArgumentError("name a job_id or a network_arch"),
          {.violations = {{"subject", "one of job_id and network_arch is needed"}}});
  }
  const catalog::Arch* const arch = catalog.FindArch(named);
  if (arch == nullptr) return UnknownArch(named, whose, catalog);
  return SchemaOf(catalog, arch->name);
}

}  // namespace tao::api
