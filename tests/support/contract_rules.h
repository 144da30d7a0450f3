#pragma once

// Every rule of references/request.yaml as a request that breaks it, and the finding that its
// sender gets: the same from the check itself, over HTTP and over gRPC.

#include <string>
#include <string_view>
#include <vector>

namespace tao::contract {

struct RuleCase {
  std::string name;  // of the test
  std::string arch;
  std::string body;  // without `model`
  std::string param, found, right;
};

// A request that fits `arch`, with `members` as well.
inline std::string BodyWith(std::string_view arch, std::string_view members) {
  const std::string content =
      arch == "cosmos-rl"
          ? R"([{"type":"text","text":"What is it?"},)"
            R"({"type":"image_url","image_url":{"url":"https://example.org/a.jpg"}}])"
          : R"("A cat.")";
  return R"({"messages":[{"role":"user","content":)" + content + "}]" +
         (members.empty() ? "" : ",") + std::string(members) + "}";
}

inline std::string BodyOfItems(std::string_view items) {
  return R"({"messages":[{"role":"user","content":[)" + std::string(items) + "]}]}";
}

inline std::string ImageBody(std::string_view url) {
  return BodyOfItems(R"({"type":"image_url","image_url":{"url":")" + std::string(url) + R"("}})");
}

inline std::string VideoBody(std::string_view url) {
  return BodyOfItems(R"({"type":"video_url","video_url":{"url":")" + std::string(url) + R"("}})");
}

inline std::vector<RuleCase> RuleCases() {
  const std::string rl = "cosmos-rl", predict = "cosmos-predict2.5", services = "tao-dataservices";
  const std::string image_path = "messages[0].content[0].image_url.url";
  const std::string video_path = "messages[0].content[0].video_url.url";
  const std::string roles =
      "one of OpenAI's roles: developer, system, user, assistant, tool and function";
  const std::string rl_sources = "an http(s):// URL or a path in the container";
  const std::string sources = "a data: URI, " + rl_sources;
  const std::string rl_images = "an image: jpg, jpeg, png, bmp and tiff";
  const std::string predict_images = "an image: image/jpeg, image/jpg, image/png and image/webp";
  const std::string base64 =
      "base64 (A to Z, a to z, 0 to 9, + and /), padded with = to a multiple of 4 characters";
  const std::string types = "text, image_url or video_url";
  const std::string image_item = R"({"type":"image_url","image_url":{"url":"/a.jpg"}})";
  return {
      // Sampling fields: type.
      {"MaxTokensIsAString", rl, BodyWith(rl, R"("max_tokens":"64")"), "max_tokens",
       R"(the string "64")", "a whole number of at least 1"},
      {"MaxTokensIsNotWhole", services, BodyWith(services, R"("max_tokens":64.5)"), "max_tokens",
       "64.5", "a whole number of at least 1"},
      {"MaxTokensHasAnExponent", services, BodyWith(services, R"("max_tokens":1e3)"), "max_tokens",
       "1e3", "a whole number of at least 1"},
      {"MaxTokensIsTooLong", services, BodyWith(services, R"("max_tokens":9223372036854775808)"),
       "max_tokens", "9223372036854775808", "a whole number of at least 1"},
      {"TemperatureIsNull", rl, BodyWith(rl, R"("temperature":null)"), "temperature", "null",
       "a number from 0 to 2"},
      {"TopPIsTrue", rl, BodyWith(rl, R"("top_p":true)"), "top_p", "true",
       "a number of more than 0 and at most 1"},
      {"SeedIsAList", predict, BodyWith(predict, R"("seed":[1])"), "seed", "a list",
       "a whole number"},
      {"GuidanceIsAnObject", predict, BodyWith(predict, R"("guidance":{"a":1})"), "guidance",
       "an object", "a number from 0 to 7"},
      {"NegativePromptIsANumber", predict, BodyWith(predict, R"("negative_prompt":7)"),
       "negative_prompt", "7", "a string"},
      // Range.
      {"MaxTokensIsZero", services, BodyWith(services, R"("max_tokens":0)"), "max_tokens", "0",
       "a whole number of at least 1"},
      {"TemperatureIsTooHigh", rl, BodyWith(rl, R"("temperature":2.01)"), "temperature", "2.01",
       "a number from 0 to 2"},
      {"TemperatureIsInfinite", services, BodyWith(services, R"("temperature":1e999)"),
       "temperature", "1e999", "a number"},
      {"TopPIsZero", rl, BodyWith(rl, R"("top_p":0)"), "top_p", "0",
       "a number of more than 0 and at most 1"},
      {"TopPIsAboveOne", services, BodyWith(services, R"("top_p":1.5)"), "top_p", "1.5",
       "a number of more than 0 and at most 1"},
      {"GuidanceIsTooHigh", predict, BodyWith(predict, R"("guidance":7.5)"), "guidance", "7.5",
       "a number from 0 to 7"},
      {"NumStepsIsZero", predict, BodyWith(predict, R"("num_steps":0)"), "num_steps", "0",
       "a whole number of at least 1"},
      // Foreign fields.
      {"GuidanceIsForeign", rl, BodyWith(rl, R"("guidance":7)"), "guidance", "7",
       "no guidance for cosmos-rl (it is a field of cosmos-predict2.5)"},
      {"NumStepsIsForeign", services, BodyWith(services, R"("num_steps":35)"), "num_steps", "35",
       "no num_steps for tao-dataservices (it is a field of cosmos-predict2.5)"},
      {"SeedIsForeign", rl, BodyWith(rl, R"("seed":0)"), "seed", "0",
       "no seed for cosmos-rl (it is a field of cosmos-predict2.5 and tao-dataservices)"},
      {"NegativePromptIsForeign", rl, BodyWith(rl, R"("negative_prompt":"dogs")"),
       "negative_prompt", R"(the string "dogs")",
       "no negative_prompt for cosmos-rl (it is a field of cosmos-predict2.5)"},
      {"AFieldTwice", rl, BodyWith(rl, R"("top_p":0.5,"top_p":0.6)"), "top_p",
       "the member a second time", "one of them"},
      // Messages.
      {"NoMessages", services, R"({"stream":false})", "messages", "nothing", "a list of messages"},
      {"MessagesIsAString", services, R"({"messages":"Hello"})", "messages",
       R"(the string "Hello")", "a list of messages"},
      {"NoUserMessage", services, R"({"messages":[{"role":"system","content":"Be brief."}]})",
       "messages", "no message of role user", "at least one, which the container answers"},
      {"AMessageIsAString", services, R"({"messages":[{"role":"user","content":"Hi"},"Hello"]})",
       "messages[1]", R"(the string "Hello")", "an object with role and content"},
      {"MessagesTwice", services,
       R"({"messages":[{"role":"user","content":"Hi"}],"messages":[{"role":"user","content":"Ho"}]})",
       "messages", "the member a second time", "one of them"},
      {"NoRole", services, R"({"messages":[{"role":"user","content":"Hi"},{"content":"Ho"}]})",
       "messages[1].role", "nothing", roles},
      {"AnUnknownRole", services,
       R"({"messages":[{"role":"user","content":"Hi"},{"role":"robot","content":"Ho"}]})",
       "messages[1].role", R"("robot")", roles},
      {"ARoleIsNoText", services,
       R"({"messages":[{"role":"user","content":"Hi"},{"role":1,"content":"Ho"}]})",
       "messages[1].role", "1", roles},
      {"NoContent", services, R"({"messages":[{"role":"user"}]})", "messages[0].content", "nothing",
       "a text, or a list of content items"},
      {"ContentIsNull", services, R"({"messages":[{"role":"user","content":null}]})",
       "messages[0].content", "null", "a text, or a list of content items"},
      {"ContentIsAnObject", services,
       R"({"messages":[{"content":{"type":"text","text":"Hi"},"role":"user"}]})",
       "messages[0].content", "an object", "a text, or a list of content items"},
      {"ContentIsEmpty", services, R"({"messages":[{"role":"user","content":[]}]})",
       "messages[0].content", "an empty list", "a text, or a list of content items"},
      // Content items.
      {"AnItemIsAString", services, BodyOfItems(R"("Hi")"), "messages[0].content[0]",
       R"(the string "Hi")", "an object of type " + types},
      {"NoType", services, BodyOfItems(R"({"text":"Hi"})"), "messages[0].content[0].type",
       "nothing", types},
      {"AnUnknownItem", services,
       BodyOfItems(R"({"type":"text","text":"Hi"},{"type":"input_audio","input_audio":{}})"),
       "messages[0].content[1].type", R"("input_audio")", types},
      {"NoText", services, BodyOfItems(R"({"type":"text"})"), "messages[0].content[0].text",
       "nothing", "a text"},
      {"NoImage", services, BodyOfItems(R"({"type":"image_url","text":"x"})"),
       "messages[0].content[0].image_url", "nothing", "an object with a url"},
      {"TextIsAList", services, BodyOfItems(R"({"type":"text","text":["Hi"]})"),
       "messages[0].content[0].text", "a list", "a text"},
      {"ImageIsAString", services, BodyOfItems(R"({"type":"image_url","image_url":"/a.png"})"),
       "messages[0].content[0].image_url", R"(the string "/a.png")", "an object with a url"},
      {"NoUrl", services, BodyOfItems(R"({"image_url":{"detail":"low"},"type":"image_url"})"),
       image_path, "nothing", "the URL of the media, as a text"},
      {"UrlIsNull", services, BodyOfItems(R"({"type":"image_url","image_url":{"url":null}})"),
       image_path, "null", "the URL of the media, as a text"},
      {"UrlIsEmpty", services, ImageBody(""), image_path, "an empty text", sources},
      // Media.
      {"NoMedia", rl, R"({"messages":[{"role":"user","content":"What is it?"}]})",
       "messages[0].content", "no image and no video",
       "an image or a video in the first user message of every request to cosmos-rl"},
      {"MediaInAnotherMessage", rl,
       R"({"messages":[{"role":"user","content":"What is it?"},{"role":"user","content":[)" +
           image_item + "]}]}",
       "messages[0].content", "no image and no video",
       "an image or a video in the first user message of every request to cosmos-rl"},
      {"S3", rl, ImageBody("s3://bucket/a.jpg"), image_path,
       R"("s3://bucket/a.jpg", which containers do not read)", rl_sources},
      {"Gs", predict, VideoBody("gs://bucket/a.mp4"), video_path,
       R"("gs://bucket/a.mp4", which containers do not read)", sources},
      {"Az", services, ImageBody("az://bucket/a.jpg"), image_path,
       R"("az://bucket/a.jpg", which containers do not read)", sources},
      {"Cs", services, ImageBody("cs://bucket/a.jpg"), image_path,
       R"("cs://bucket/a.jpg", which containers do not read)", sources},
      {"AwsInCapitals", services, ImageBody("AWS://bucket/a.jpg"), image_path,
       R"("AWS://bucket/a.jpg", which containers do not read)", sources},
      {"Ftp", services, ImageBody("ftp://example.org/a.jpg"), image_path,
       R"("ftp://example.org/a.jpg")", sources},
      {"DataUriRefused", rl, ImageBody("data:image/png;base64,iVBORw0KGgo="), image_path,
       "a data: URI", rl_sources},
      {"ExtensionOfAUrl", rl, ImageBody("https://example.org/a.gif?size=1.jpg"), image_path,
       "a .gif file", rl_images},
      {"ExtensionOfAPath", predict, VideoBody("/data/clip.AVI"), video_path, "a .avi file",
       "a video: mp4"},
      {"VideoAsImage", rl, ImageBody("/data/clip.mp4"), image_path, "a .mp4 file, which is a video",
       rl_images},
      {"ImageAsVideo", services, VideoBody("http://example.org/a.png#x"), video_path,
       "a .png file, which is an image", "a video: mp4, avi, webm, mkv and mov"},
      {"MediaType", predict, ImageBody("data:image/gif;base64,R0lGODlh"), image_path,
       R"(media type "image/gif")", predict_images},
      {"MediaTypeOfTheOtherKind", predict, ImageBody("data:video/mp4;base64,AAAAIGZ0"), image_path,
       R"(media type "video/mp4")", predict_images},
      {"NoMediaType", predict, ImageBody("data:;base64,AAAAIGZ0"), image_path, "no media type",
       predict_images},
      {"NotBase64", predict, ImageBody("data:image/png,abc"), image_path, R"("data:image/png")",
       "data:TYPE;base64,DATA with a TYPE of image/jpeg, image/jpg, image/png and image/webp"},
      {"NoComma", predict, ImageBody("data:image/png;base64"), image_path,
       R"("data:image/png;base64")",
       "data:TYPE;base64,DATA with a TYPE of image/jpeg, image/jpg, image/png and image/webp"},
      {"Base64IsEmpty", predict, ImageBody("data:image/png;base64,"), image_path,
       "no data after the comma", base64},
      {"Base64IsCut", predict, ImageBody("data:image/png;base64,iVBORw0KGg"), image_path,
       "10 characters of data, no multiple of 4 (cut off, or no padding)", base64},
      {"Base64OfUrls", predict, ImageBody("data:image/png;base64,iVBO_w0KGgo="), image_path,
       R"("_" as character 5 of the data)", base64},
      {"Base64GoesOn", services, VideoBody("data:video/mp4;base64,AA==AAAA"), video_path,
       R"("A" after the padding, as character 5 of the data)", base64},
      {"Base64IsPaddedTooMuch", services, VideoBody("data:video/mp4;base64,AAAAA==="), video_path,
       "more than two characters of padding (=)", base64},
  };
}

}  // namespace tao::contract
