#pragma once

/// Marks what librheo.so exports; everything else is hidden.
#define RHEO_API __attribute__((visibility("default")))
