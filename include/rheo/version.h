#pragma once

#include "rheo/export.h"

namespace rheo {

/// "0.1.0"
RHEO_API const char* version();

}  // namespace rheo
