#include "src/io/jpeg.h"

// jpeglib.h needs FILE and size_t from before it.
#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdio>
// clang-format off
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include "rheo/image.h"
#include "src/check.h"
#include "src/io/image_limits.h"
#include "src/io/shown.h"

namespace rheo {
namespace {

constexpr int kWhite = 255;
constexpr int kMostScans = 500;   // of a progressive file; each costs a pass over the image
constexpr int kFewestScans = 24;  // however large the image: twice what common writers make
constexpr std::int64_t kMostScanned = kFewestScans * kMaxPixels;
/// Each 8x8 block takes a bit at least, by Huffman's code.
constexpr std::int64_t kPixelsInByte = 8 * 64;

/// Plain data: libjpeg leaves by longjmp, past destructors.
struct Session {
  jpeg_decompress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg_progress_mgr progress;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

Session& session_of(j_common_ptr jpeg) {
  return *static_cast<Session*>(jpeg->client_data);
}

[[noreturn]] void on_error(j_common_ptr jpeg) {
  Session& session = session_of(jpeg);
  jpeg->err->format_message(jpeg, session.message);
  std::longjmp(session.jump, 1);
}

/// Levels from 0 up are chatter, -1 is corrupt data.
void on_message(j_common_ptr jpeg, int level) {
  if (level < 0) on_error(jpeg);
}

void on_output(j_common_ptr) {}

void on_progress(j_common_ptr jpeg) {
  Session& session = session_of(jpeg);
  const std::int64_t pixels = std::int64_t{session.jpeg.image_height} * session.jpeg.image_width;
  const int most =
      static_cast<int>(std::clamp<std::int64_t>(kMostScanned / pixels, kFewestScans, kMostScans));
  if (session.jpeg.input_scan_number <= most) return;
  std::snprintf(session.message, sizeof session.message, "it has more than %d scans", most);
  std::longjmp(session.jump, 1);
}

/// Frees what libjpeg allocated, however we leave.
class Reader {
 public:
  Reader() {
    session.jpeg.err = jpeg_std_error(&session.errors);
    session.jpeg.client_data = &session;
    session.errors.error_exit = on_error;
    session.errors.emit_message = on_message;
    session.errors.output_message = on_output;
    session.progress.progress_monitor = on_progress;
  }
  ~Reader() { jpeg_destroy_decompress(&session.jpeg); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  Session session{};
};

bool read_header(Session& s, const unsigned char* bytes, unsigned long count) {
  if (setjmp(s.jump)) return false;
  jpeg_create_decompress(&s.jpeg);
  s.jpeg.progress = &s.progress;
  jpeg_mem_src(&s.jpeg, bytes, count);
  jpeg_read_header(&s.jpeg, TRUE);
  return true;
}

/// Grey stays, four inks stay until `rgb_of`, all else becomes RGB.
bool start(Session& s) {
  if (setjmp(s.jump)) return false;
  const J_COLOR_SPACE space = s.jpeg.jpeg_color_space;
  const bool inks = space == JCS_CMYK || space == JCS_YCCK;
  s.jpeg.out_color_space = space == JCS_GRAYSCALE ? JCS_GRAYSCALE : inks ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(&s.jpeg);
  return true;
}

/// Reads to the end of the file, so that its loss shows.
bool read_rows(Session& s, unsigned char* data, std::size_t stride) {
  if (setjmp(s.jump)) return false;
  while (s.jpeg.output_scanline < s.jpeg.output_height) {
    JSAMPROW row = data + s.jpeg.output_scanline * stride;
    jpeg_read_scanlines(&s.jpeg, &row, 1);
  }
  jpeg_finish_decompress(&s.jpeg);
  return true;
}

/// Adobe's programs store the light that an ink lets through, others the ink.
Pixels rgb_of(const Pixels& cmyk, bool stored_as_light) {
  Pixels rgb{{1, cmyk.shape[1], cmyk.shape[2], 3}, {}};
  rgb.data.reserve(cmyk.data.size() / 4 * 3);
  for (std::size_t i = 0; i < cmyk.data.size(); i += 4) {
    const auto light = [&](std::size_t ink) {
      const int value = cmyk.data[i + ink];
      return stored_as_light ? value : kWhite - value;
    };
    for (std::size_t c = 0; c < 3; ++c) {
      rgb.data.push_back(static_cast<std::uint8_t>((light(c) * light(3) + kWhite / 2) / kWhite));
    }
  }
  return rgb;
}

[[noreturn]] void damaged(const std::string& path, const Session& s) {
  if (s.errors.msg_code == JERR_OUT_OF_MEMORY)
    fail(Errc::out_of_memory, path, ": not enough memory to read it");
  fail(Errc::bad_file, path, ": must be a whole JPEG; ", shown(s.message, sizeof s.message));
}

}  // namespace

Pixels decode_jpeg(const std::vector<std::uint8_t>& file, const std::string& path,
                   std::int64_t max_pixels) {
  Reader reader;
  Session& s = reader.session;
  if (!read_header(s, file.data(), file.size())) damaged(path, s);
  const std::int64_t height = s.jpeg.image_height, width = s.jpeg.image_width;
  require_few_pixels(height, width, max_pixels, path);
  const auto held = static_cast<std::int64_t>(file.size()) * kPixelsInByte;
  require_file(s.jpeg.arith_code || height * width <= held, path, ": a JPEG of ", file.size(),
               " bytes cannot hold ", height, "x", width, " pixels");
  if (!start(s)) damaged(path, s);
  const std::int64_t channels = s.jpeg.output_components;
  Pixels image{{1, height, width, channels}, {}};
  image.data.resize(static_cast<std::size_t>(height * width * channels));
  if (!read_rows(s, image.data.data(), static_cast<std::size_t>(width * channels))) {
    damaged(path, s);
  }
  return channels == 4 ? rgb_of(image, s.jpeg.saw_Adobe_marker) : image;
}

}  // namespace rheo
