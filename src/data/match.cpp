#include "src/data/match.h"

#include "src/check.h"

namespace rheo {

void require_match(const char* who, const ModelConfig& c, const Dataset& data) {
  if (c.is_vector()) {
    require(data.is_points(), who, ": a model of vectors takes points [N, ", c.channels,
            "]; got images of ", data.height(), "x", data.width(), "x", data.channels());
    require(data.dims() == c.dims(), who, ": vectors must have D = ", c.dims(), " values; got ",
            data.dims());
    return;
  }
  require(!data.is_points(), who, ": images must be ", c.height, "x", c.width, "x", c.channels,
          "; got vectors of ", data.dims(), " values");
  require(data.height() == c.height && data.width() == c.width && data.channels() == c.channels,
          who, ": images must be ", c.height, "x", c.width, "x", c.channels, "; got ",
          data.height(), "x", data.width(), "x", data.channels());
}

}  // namespace rheo
