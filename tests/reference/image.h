#pragma once

#include <cstddef>
#include <vector>

namespace rheo::reference {

using Values = std::vector<double>;

/// One image or state: row-major [height, width, channels].
struct Image {
  int height = 0;
  int width = 0;
  int channels = 0;
  Values values;

  Image(int h, int w, int c);
  double& at(int i, int j, int c) { return values[index(i, j, c)]; }
  double at(int i, int j, int c) const { return values[index(i, j, c)]; }

 private:
  std::size_t index(int i, int j, int c) const;
};

/// 2x2 pixels into channels: 4c + 2dy + dx holds channel c of pixel (2i + dy, 2j + dx).
Image squeeze(const Image& x);
Image unsqueeze(const Image& y);

/// Of the channels.
Image first_half(const Image& x);
Image second_half(const Image& x);
Image join(const Image& a, const Image& b);

void relu(Image& x);

}  // namespace rheo::reference
