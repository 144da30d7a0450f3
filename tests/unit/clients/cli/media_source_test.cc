#include "clients/cli/media_source.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace tao::cli {
namespace {

using testing::HasSubstr;

class MediaSourceTest : public testing::Test {
 protected:
  MediaSourceTest() {
    std::string name = testing::TempDir() + "/media.XXXXXX";
    folder_ = ::mkdtemp(name.data());
    takes_.mutable_media()->set_takes_data(true);
    refuses_.set_network_arch("cosmos-rl");
    refuses_.mutable_media()->set_takes_data(false);
  }
  ~MediaSourceTest() override { std::filesystem::remove_all(folder_); }

  std::string File(const std::string& name, const std::string& content) {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << content;
    return folder_ + "/" + name;
  }

  std::string folder_;
  pb::GetRequestSchemaResponse takes_, refuses_;
};

TEST_F(MediaSourceTest, AFileTravelsAsBytesWithItsType) {
  const auto media =
      ReadMedia(File("a.PNG", std::string("\x89P\0NG", 5)), MediaKind::kImage, takes_);
  ASSERT_TRUE(media.ok()) << media.status();
  EXPECT_EQ(media->data(), std::string("\x89P\0NG", 5));
  EXPECT_EQ(media->mime_type(), "image/png");
}

TEST_F(MediaSourceTest, UrlsAndPathsInTheContainerStayWhatTheyAre) {
  for (const char* name :
       {"https://x/a.png", "data:image/png;base64,AAAA", "s3://b/a.png", "/models/there/a.png"}) {
    const auto media = ReadMedia(name, MediaKind::kImage, takes_);
    ASSERT_TRUE(media.ok()) << media.status();
    EXPECT_EQ(media->url(), name);
  }
}

TEST_F(MediaSourceTest, AnArchThatTakesNoBytesIsGivenPaths) {
  const std::string file = File("a.png", "x");
  EXPECT_EQ(ReadMedia(file, MediaKind::kImage, refuses_)->url(), file);
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder_);
  const absl::Status refused = ReadMedia("a.png", MediaKind::kImage, refuses_).status();
  std::filesystem::current_path(before);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("the container of cosmos-rl takes no files from a client (no data: URIs); "
                        "give an http(s) URL"));
}

TEST_F(MediaSourceTest, WhatCannotBeSentIsRefusedWithTheReason) {
  const auto why = [&](const std::string& name, MediaKind kind) {
    return std::string(ReadMedia(name, kind, takes_).status().message());
  };
  EXPECT_THAT(why("none.png", MediaKind::kImage), HasSubstr("neither a file here, nor a URL"));
  EXPECT_THAT(why(folder_, MediaKind::kImage), HasSubstr("is no file"));
  EXPECT_THAT(why(File("a.txt", "x"), MediaKind::kImage), HasSubstr("no extension that tells"));
  EXPECT_THAT(why(File("a.png", "x"), MediaKind::kVideo), HasSubstr("--video"));
  EXPECT_THAT(why(File("e.png", ""), MediaKind::kImage), HasSubstr("is empty"));
  const std::string large = File("l.mp4", "x");
  std::filesystem::resize_file(large, kMaxMediaBytes + 1);  // a hole: no room is taken
  EXPECT_THAT(why(large, MediaKind::kVideo), HasSubstr("at most 250 are sent"));
}

TEST_F(MediaSourceTest, TheTypeIsSpeltAsTheArchSpellsIt) {
  pb::MediaRules rules;
  EXPECT_EQ(MimeTypeOf("a.mkv", MediaKind::kVideo, rules), "video/x-matroska");
  rules.add_mime_types("video/mkv");
  rules.add_mime_types("video/mov");
  EXPECT_EQ(MimeTypeOf("a.mkv", MediaKind::kVideo, rules), "video/mkv");
  EXPECT_EQ(MimeTypeOf("a.mov", MediaKind::kVideo, rules), "video/mov");
  EXPECT_EQ(MimeTypeOf("a.jpeg", MediaKind::kImage, rules), "image/jpeg");
  EXPECT_EQ(MimeTypeOf("noextension", MediaKind::kImage, rules), "");
}

}  // namespace
}  // namespace tao::cli
