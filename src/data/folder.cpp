#include "src/data/folder.h"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "rheo/image.h"
#include "src/check.h"
#include "src/data/fit.h"
#include "src/io/shown.h"

namespace rheo {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kReportEvery = 256;  // images

bool ends_as_image(const std::string& name) {
  std::string lower = name;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower.ends_with(".png") || lower.ends_with(".jpg") || lower.ends_with(".jpeg");
}

/// Names in a folder but hidden ones, sorted: the order of visits decides which of two links to
/// one folder counts.
std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::string name = entry->path().filename().string();
    if (!name.starts_with('.')) names.push_back(std::move(name));
  }
  require_file(!error, folder, ": cannot be read: ", error.message());
  std::sort(names.begin(), names.end());
  return names;
}

class Lister {
 public:
  explicit Lister(const std::string& root) : root_(root) { enter(""); }

  Listing take() {
    std::sort(listing_.images.begin(), listing_.images.end());
    return std::move(listing_);
  }

 private:
  /// `prefix` is empty or ends in a slash.
  void enter(const std::string& prefix) {
    struct stat status {};
    const std::string folder = root_ + "/" + prefix;
    if (::stat(folder.c_str(), &status) == 0 &&
        !seen_.insert({status.st_dev, status.st_ino}).second) {
      return;
    }
    for (const std::string& name : names_in(folder)) {
      std::error_code error;
      const std::string path = prefix + name;
      if (fs::is_directory(root_ + "/" + path, error)) {
        if (prefix.empty()) listing_.folders.push_back(name);
        enter(path + "/");
      } else if (ends_as_image(name)) {
        listing_.images.push_back(path);
      }
    }
  }

  const std::string& root_;
  std::set<std::pair<dev_t, ino_t>> seen_;
  Listing listing_;
};

/// Empty for a file that lies in no sub-folder.
std::string top_folder(const std::string& path) {
  const std::size_t slash = path.find('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

/// A sub-folder without images is refused: skipped, it would shift the labels of those behind it.
void label_by_folder(const Listing& listing, const std::string& folder, LoadedImages& loaded) {
  std::set<std::string> used;
  for (const std::string& path : listing.images) used.insert(top_folder(path));
  if (used.size() == 1 && used.contains("")) return;
  const std::vector<std::string>& names = listing.folders;
  for (const std::string& name : names) {
    require_file(used.contains(name), folder, ": each sub-folder is a class and must hold an ",
                 "image; got none in ", shown(name));
  }
  for (const std::string& path : listing.images) {
    const std::string top = top_folder(path);
    require_file(!top.empty(), folder, ": images must lie all in sub-folders, their classes, or ",
                 "none of them; got ", shown(path), " beside sub-folders");
    const auto found = std::lower_bound(names.begin(), names.end(), top);
    loaded.labels.push_back(static_cast<int>(found - names.begin()));
  }
  loaded.class_names = names;
}

/// Puts images of one size together; grey ones become colour once there is a colour one.
class Collector {
 public:
  Collector(const DatasetOptions& options, std::int64_t count)
      : size_{options.height, options.width},
        fit_(options.fit),
        max_pixels_(options.max_pixels),
        count_(count) {}

  void add(const std::string& path) {
    Pixels image = read_image(path, max_pixels_);
    require_file(image.shape[3] != 4, path, ": images must have no alpha channel; flatten it");
    if (size_.height == 0) size_.height = image.shape[1];
    if (size_.width == 0) size_.width = image.shape[2];
    image = fitted(std::move(image), size_, fit_, path);
    if (image.shape[3] > channels_) begin(image.shape[3]);
    append(data_, image.data, channels_ / image.shape[3]);
  }

  Pixels take() { return {{count_, size_.height, size_.width, channels_}, std::move(data_)}; }

 private:
  /// From here on with so many channels; what was grey is repeated.
  void begin(std::int64_t channels) {
    std::vector<std::uint8_t> data;
    data.reserve(static_cast<std::size_t>(count_ * size_.height * size_.width * channels));
    append(data, data_, channels);
    data_ = std::move(data);
    channels_ = channels;
  }

  static void append(std::vector<std::uint8_t>& to, const std::vector<std::uint8_t>& from,
                     std::int64_t times) {
    if (times == 1) {
      to.insert(to.end(), from.begin(), from.end());
      return;
    }
    for (const std::uint8_t value : from)
      to.insert(to.end(), static_cast<std::size_t>(times), value);
  }

  Size size_;
  Fit fit_;
  std::int64_t max_pixels_;
  std::int64_t count_;
  std::int64_t channels_ = 0;
  std::vector<std::uint8_t> data_;
};

}  // namespace

Listing list_images(const std::string& folder) {
  return Lister(folder).take();
}

LoadedImages read_folder(const std::string& folder, const DatasetOptions& options,
                         const Progress& progress) {
  const Listing listing = list_images(folder);
  const std::vector<std::string>& paths = listing.images;
  require_file(!paths.empty(), folder, ": must hold PNG or JPEG files, or data_batch_*.bin; got ",
               "none (IDX and .npy files are named themselves)");
  LoadedImages loaded;
  if (options.labels.empty()) label_by_folder(listing, folder, loaded);
  const auto count = static_cast<std::int64_t>(paths.size());
  Collector collector(options, count);
  for (std::int64_t i = 0; i < count; ++i) {
    if (progress && i % kReportEvery == 0) progress(i, count);
    collector.add(folder + "/" + paths[static_cast<std::size_t>(i)]);
  }
  if (progress) progress(count, count);
  loaded.images = collector.take();
  return loaded;
}

}  // namespace rheo
