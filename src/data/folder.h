#pragma once

#include <string>
#include <vector>

#include "rheo/dataset.h"
#include "src/data/loaded.h"

namespace rheo {

/// What lies below a folder, relative to it, sorted by bytes.
struct Listing {
  std::vector<std::string> images;   ///< Paths that end in .png, .jpg or .jpeg, in any case.
  std::vector<std::string> folders;  ///< Names of the folders right below.
};

/// Links are followed, but no folder is entered twice; hidden files and folders are left out.
/// @throws Error bad_file for a folder that cannot be read.
Listing list_images(const std::string& folder);

/// All images of a folder in the order of list_images; see Dataset::open. Where sub-folders hold
/// images, the top one is the class, else there are no labels. With options.labels set, folders
/// mean nothing. @throws Error bad_file naming the image.
LoadedImages read_folder(const std::string& folder, const DatasetOptions& options,
                         const Progress& progress);

}  // namespace rheo
