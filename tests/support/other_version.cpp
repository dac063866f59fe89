// A librheo_cuda.so that no librheo.so is of one version with.

extern "C" __attribute__((visibility("default"))) const void* rheo_cuda_backend(const char*) {
  return nullptr;
}
