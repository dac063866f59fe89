#include "tests/reference/image.h"

#include <algorithm>

namespace rheo::reference {

Image::Image(int h, int w, int c) : height(h), width(w), channels(c) {
  values.resize(static_cast<std::size_t>(h) * w * c);
}

std::size_t Image::index(int i, int j, int c) const {
  return (static_cast<std::size_t>(i) * width + j) * channels + c;
}

Image squeeze(const Image& x) {
  Image y(x.height / 2, x.width / 2, 4 * x.channels);
  for (int i = 0; i < x.height; ++i)
    for (int j = 0; j < x.width; ++j)
      for (int c = 0; c < x.channels; ++c)
        y.at(i / 2, j / 2, 4 * c + 2 * (i % 2) + j % 2) = x.at(i, j, c);
  return y;
}

Image unsqueeze(const Image& y) {
  Image x(2 * y.height, 2 * y.width, y.channels / 4);
  for (int i = 0; i < x.height; ++i)
    for (int j = 0; j < x.width; ++j)
      for (int c = 0; c < x.channels; ++c)
        x.at(i, j, c) = y.at(i / 2, j / 2, 4 * c + 2 * (i % 2) + j % 2);
  return x;
}

namespace {

Image channels(const Image& x, int first, int many) {
  Image y(x.height, x.width, many);
  for (int i = 0; i < x.height; ++i)
    for (int j = 0; j < x.width; ++j)
      for (int c = 0; c < many; ++c) y.at(i, j, c) = x.at(i, j, first + c);
  return y;
}

}  // namespace

Image first_half(const Image& x) {
  return channels(x, 0, x.channels / 2);
}
Image second_half(const Image& x) {
  return channels(x, x.channels / 2, x.channels / 2);
}

Image join(const Image& a, const Image& b) {
  Image y(a.height, a.width, a.channels + b.channels);
  for (int i = 0; i < y.height; ++i)
    for (int j = 0; j < y.width; ++j)
      for (int c = 0; c < y.channels; ++c)
        y.at(i, j, c) = c < a.channels ? a.at(i, j, c) : b.at(i, j, c - a.channels);
  return y;
}

void relu(Image& x) {
  for (double& value : x.values) value = std::max(value, 0.0);
}

}  // namespace rheo::reference
