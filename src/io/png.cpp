#include "src/io/png.h"

#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "src/check.h"
#include "src/io/image_limits.h"
#include "src/io/shown.h"
#include "src/io/sizes.h"

namespace rheo {
namespace {

constexpr png_alloc_size_t kMostChunkBytes = 8 << 20;

/// By number of channels less one.
constexpr int kTypes[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                          PNG_COLOR_TYPE_RGB_ALPHA};

/// What libpng's callbacks share with us. Plain data: libpng leaves by longjmp, past destructors.
struct Session {
  png_structp png;
  png_infop info;
  const std::uint8_t* at;  // of the file being read
  std::size_t left;
  std::vector<std::uint8_t>* out;  // the file being written
  std::jmp_buf jump;
  char message[200];
  bool no_memory;  // was got for libpng
};

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  auto* session = static_cast<Session*>(png_get_error_ptr(png));
  std::snprintf(session->message, sizeof session->message, "%s", message);
  std::longjmp(session->jump, 1);
}

/// libpng's own, but that it tells us where there is none.
void* allocate(png_structp png, png_alloc_size_t bytes) {
  void* memory = std::malloc(bytes);
  if (memory == nullptr) static_cast<Session*>(png_get_mem_ptr(png))->no_memory = true;
  return memory;
}

void release(png_structp, void* memory) {
  std::free(memory);
}

void read_bytes(png_structp png, png_bytep to, std::size_t count) {
  auto* session = static_cast<Session*>(png_get_io_ptr(png));
  if (count > session->left) png_error(png, "the file ends too early");
  std::memcpy(to, session->at, count);
  session->at += count;
  session->left -= count;
}

bool append_bytes(std::vector<std::uint8_t>& out, const std::uint8_t* bytes, std::size_t count) {
  try {
    out.insert(out.end(), bytes, bytes + count);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

void write_bytes(png_structp png, png_bytep bytes, std::size_t count) {
  auto* session = static_cast<Session*>(png_get_io_ptr(png));
  if (!append_bytes(*session->out, bytes, count)) png_error(png, "out of memory");
}

/// Frees what libpng allocated, however we leave.
class Reader {
 public:
  explicit Reader(const std::vector<std::uint8_t>& file) {
    session.at = file.data();
    session.left = file.size();
  }
  ~Reader() { png_destroy_read_struct(&session.png, &session.info, nullptr); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  Session session{};
};

class Writer {
 public:
  explicit Writer(std::vector<std::uint8_t>& out) { session.out = &out; }
  ~Writer() { png_destroy_write_struct(&session.png, &session.info); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  Session session{};
};

bool create_reader(Session& s) {
  if (setjmp(s.jump)) return false;
  s.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &s, on_error, on_error, &s, allocate,
                                   release);
  if (s.png) s.info = png_create_info_struct(s.png);
  return s.info;
}

bool create_writer(Session& s) {
  if (setjmp(s.jump)) return false;
  s.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &s, on_error, on_error);
  if (s.png) s.info = png_create_info_struct(s.png);
  return s.info;
}

bool read_header(Session& s) {
  if (setjmp(s.jump)) return false;
  png_set_read_fn(s.png, &s, read_bytes);
  // Those of the format: the limit that counts is on their product.
  png_set_user_limits(s.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_chunk_malloc_max(s.png, kMostChunkBytes);
  png_set_benign_errors(s.png, 0);
  png_set_crc_action(s.png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  // -1: every chunk that no pixel depends on. They are where damage is common and harmless.
  png_set_keep_unknown_chunks(s.png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_read_info(s.png, s.info);
  return true;
}

/// 8-bit grey, RGB or RGBA, whatever the file has.
bool set_transformations(Session& s) {
  if (setjmp(s.jump)) return false;
  png_set_expand(s.png);
  png_set_scale_16(s.png);
  const bool grey = !(png_get_color_type(s.png, s.info) & PNG_COLOR_MASK_COLOR);
  const bool alpha = (png_get_color_type(s.png, s.info) & PNG_COLOR_MASK_ALPHA) ||
                     png_get_valid(s.png, s.info, PNG_INFO_tRNS);
  if (grey && alpha) png_set_gray_to_rgb(s.png);
  png_set_interlace_handling(s.png);
  png_read_update_info(s.png, s.info);
  return true;
}

/// `rows` has a pointer for each row; reads to the end of the file, so that its loss shows.
bool read_rows(Session& s, png_bytepp rows) {
  if (setjmp(s.jump)) return false;
  png_read_image(s.png, rows);
  png_read_end(s.png, nullptr);
  return true;
}

bool write_rows(Session& s, png_bytepp rows, png_uint_32 height, png_uint_32 width, int type) {
  if (setjmp(s.jump)) return false;
  png_set_write_fn(s.png, &s, write_bytes, nullptr);
  png_set_IHDR(s.png, s.info, width, height, 8, type, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(s.png, s.info);
  png_write_image(s.png, rows);
  png_write_end(s.png, nullptr);
  return true;
}

std::vector<png_bytep> rows_of(std::uint8_t* data, std::int64_t height, std::int64_t stride) {
  std::vector<png_bytep> rows;
  for (std::int64_t y = 0; y < height; ++y) rows.push_back(data + y * stride);
  return rows;
}

[[noreturn]] void damaged(const std::string& path, const Session& s) {
  if (s.no_memory) fail(Errc::out_of_memory, path, ": not enough memory to read it");
  fail(Errc::bad_file, path, ": must be a whole PNG; ", shown(s.message, sizeof s.message));
}

}  // namespace

Pixels decode_png(const std::vector<std::uint8_t>& file, const std::string& path,
                  std::int64_t max_pixels) {
  Reader reader(file);
  Session& s = reader.session;
  if (!create_reader(s)) fail(Errc::out_of_memory, path, ": cannot start libpng; ", s.message);
  if (!read_header(s)) damaged(path, s);
  const std::int64_t height = png_get_image_height(s.png, s.info);
  const std::int64_t width = png_get_image_width(s.png, s.info);
  require_few_pixels(height, width, max_pixels, path);
  const std::uint64_t packed = png_get_rowbytes(s.png, s.info) * static_cast<std::uint64_t>(height);
  require_file(packed / kDeflateRatio <= file.size(), path, ": a PNG of ", file.size(),
               " bytes cannot hold ", height, "x", width, " pixels");
  if (!set_transformations(s)) damaged(path, s);
  const std::int64_t channels = png_get_channels(s.png, s.info);
  Pixels image{{1, height, width, channels}, {}};
  image.data.resize(static_cast<std::size_t>(height * width * channels));
  std::vector<png_bytep> rows = rows_of(image.data.data(), height, width * channels);
  if (!read_rows(s, rows.data())) damaged(path, s);
  return image;
}

std::vector<std::uint8_t> encode_png(const Pixels& image) {
  const std::int64_t height = image.shape[1], width = image.shape[2], channels = image.shape[3];
  std::vector<std::uint8_t> out;
  Writer writer(out);
  Session& s = writer.session;
  // libpng takes rows that it may change, and changes none.
  auto rows = rows_of(const_cast<std::uint8_t*>(image.data.data()), height, width * channels);
  // With the sizes checked by the caller, memory is all that can be missing.
  if (!create_writer(s) || !write_rows(s, rows.data(), static_cast<png_uint_32>(height),
                                       static_cast<png_uint_32>(width), kTypes[channels - 1])) {
    fail(Errc::out_of_memory, "write_png: cannot encode the image; ", s.message);
  }
  return out;
}

}  // namespace rheo
