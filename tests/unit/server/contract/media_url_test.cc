#include "server/contract/media_url.h"

#include <gtest/gtest.h>

namespace tao::contract {
namespace {

using Kind = MediaUrl::Kind;

struct UrlCase {
  std::string url;
  Kind kind;
  std::string scheme, extension;
};

TEST(MediaUrlTest, KindSchemeAndExtensionAtEverySplit) {
  const std::string deep = "/" + std::string(400, 'd') + "/";
  const UrlCase cases[] = {
      {"", Kind::kEmpty, "", ""},
      {"/data/a.jpg", Kind::kPath, "", "jpg"},
      {"a.JPG", Kind::kPath, "", "jpg"},
      {"/data/a", Kind::kPath, "", ""},
      {"/data.d/a", Kind::kPath, "", ""},
      {"/data/what?.png", Kind::kPath, "", "png"},
      {"/data/", Kind::kPath, "", ""},
      {"d", Kind::kPath, "", ""},
      {"data", Kind::kPath, "", ""},
      {"data/a.png", Kind::kPath, "", "png"},
      {"://a.png", Kind::kPath, "", "png"},
      {"http://example.org", Kind::kHttp, "http://", ""},
      {"https://example.org/a.tar.gz", Kind::kHttp, "https://", "gz"},
      {"HTTPS://example.org/A.PNG", Kind::kHttp, "https://", "png"},
      {"https://example.org/a.png?b=c.gif", Kind::kHttp, "https://", "png"},
      {"https://example.org/a.png#c.gif", Kind::kHttp, "https://", "png"},
      {"https://example.org?file=/a.png", Kind::kHttp, "https://", ""},
      {"https://example.org/api/v1.2", Kind::kHttp, "https://", ""},
      {"https://example.org/a.b-c", Kind::kHttp, "https://", ""},
      {"https://example.org/a.mp4", Kind::kHttp, "https://", "mp4"},
      {"https://example.org/a.averyveryverylongone", Kind::kHttp, "https://", ""},
      {"s3://bucket/a.jpg", Kind::kScheme, "s3://", "jpg"},
      {"file:///a.jpg", Kind::kScheme, "file://", "jpg"},
      {"http://example.org" + deep + "a.webp", Kind::kHttp, "http://", "webp"},
      {deep + "a.webp", Kind::kPath, "", "webp"},
  };
  for (const UrlCase& each : cases) {
    for (size_t cut = 0; cut <= each.url.size(); ++cut) {
      MediaUrl url;
      EXPECT_EQ(url.Feed(each.url.substr(0, cut)), cut);
      EXPECT_EQ(url.Feed(each.url.substr(cut)), each.url.size() - cut);
      url.Finish();
      ASSERT_EQ(url.kind(), each.kind) << each.url << " cut at " << cut;
      ASSERT_EQ(url.scheme(), each.scheme) << each.url << " cut at " << cut;
      ASSERT_EQ(url.extension(), each.extension) << each.url << " cut at " << cut;
    }
  }
}

TEST(MediaUrlTest, DataUriAtEverySplit) {
  const struct {
    std::string head, media_type;
    bool is_base64;
  } cases[] = {
      {"data:image/png;base64,", "image/png", true},
      {"DATA:Image/PNG;Base64,", "image/png", true},
      {"data:image/png;charset=utf-8;base64,", "image/png", true},
      {"data:image/png;base64;charset=utf-8,", "image/png", false},
      {"data:image/png,", "image/png", false},
      {"data:;base64,", "", true},
      {"data:,", "", false},
      {"data:" + std::string(400, 'x') + ";base64,", std::string(295, 'x'), false},
  };
  for (const auto& each : cases) {
    const std::string text = each.head + "QUJD";
    for (size_t cut = 0; cut <= text.size(); ++cut) {
      MediaUrl url;
      const size_t before = url.Feed(text.substr(0, cut)) + url.Feed(text.substr(cut));
      url.Finish();
      ASSERT_EQ(url.kind(), Kind::kData) << text << " cut at " << cut;
      ASSERT_EQ(before, each.head.size()) << text << " cut at " << cut;
      ASSERT_EQ(url.media_type(), each.media_type) << text << " cut at " << cut;
      ASSERT_EQ(url.is_base64(), each.is_base64) << text << " cut at " << cut;
      if (each.is_base64) {
        ASSERT_EQ(url.payload().Finish(), Base64Framing::Fault::kNone);
      }
      ASSERT_EQ(url.extension(), "");
    }
  }
}

}  // namespace
}  // namespace tao::contract
