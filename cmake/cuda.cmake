# The CUDA backend, librheo_cuda.so, where there is a toolkit for it.
set(RHEO_CUDA AUTO CACHE STRING "Build the CUDA backend: ON, OFF, or AUTO where the toolkit is found")
set_property(CACHE RHEO_CUDA PROPERTY STRINGS AUTO ON OFF)
# The GPUs that have code of their own, and PTX for those that come.
set(RHEO_CUDA_ARCHITECTURES "80-real;86-real;89-real;90a-real;90-virtual" CACHE STRING
    "Architectures of the CUDA backend")

# Also for the emulated backend of the tests, which compiles the same files.
list(TRANSFORM RHEO_FAMILIES REPLACE ".+" "\\0.cu" OUTPUT_VARIABLE RHEO_CUDA_SOURCES)
list(APPEND RHEO_CUDA_SOURCES step_backward.cu weights_backward.cu products.cu backend.cpp context.cpp
     recording.cpp)
list(TRANSFORM RHEO_CUDA_SOURCES PREPEND ${PROJECT_SOURCE_DIR}/kernels/cuda/)

# The two libraries pass structs to one another: only those of one contract may meet.
file(GLOB contract CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/*.h ${PROJECT_SOURCE_DIR}/kernels/*.def)
set(contract_text "")
foreach(header IN LISTS contract)
  file(READ ${header} text)
  string(APPEND contract_text "${text}")
endforeach()
string(SHA256 contract_hash "${contract_text}")
string(SUBSTRING ${contract_hash} 0 16 contract_hash)
set(RHEO_CONTRACT "${PROJECT_VERSION} ${contract_hash}")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${contract})

set(rheo_cuda_built OFF)
if(RHEO_CUDA)
  find_package(CUDAToolkit 12.4 QUIET)
  if(CUDAToolkit_FOUND AND NOT CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
  endif()
  if(CUDAToolkit_FOUND)
    include(CheckLanguage)
    check_language(CUDA)
  endif()
  if(CUDAToolkit_FOUND AND TARGET CUDA::cublasLt AND CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    set(rheo_cuda_built ON)
    # What the host's compiler reads is the toolkit's, what kernels are linked with nvcc's.
    string(REGEX MATCH "^[0-9]+\\.[0-9]+" of_nvcc "${CMAKE_CUDA_COMPILER_VERSION}")
    string(REGEX MATCH "^[0-9]+\\.[0-9]+" of_toolkit "${CUDAToolkit_VERSION}")
    if(NOT of_nvcc STREQUAL of_toolkit)
      message(FATAL_ERROR "rheo: ${CMAKE_CUDA_COMPILER} is of CUDA ${CMAKE_CUDA_COMPILER_VERSION}, the "
                          "toolkit found is ${CUDAToolkit_VERSION}; set CUDAToolkit_ROOT to the one of nvcc")
    endif()
  elseif(RHEO_CUDA STREQUAL "ON")
    message(FATAL_ERROR "rheo: RHEO_CUDA=ON needs the CUDA toolkit 12.4 or newer with nvcc and "
                        "cuBLASLt; put nvcc on the PATH or set CUDAToolkit_ROOT")
  else()
    message(STATUS "rheo: no CUDA toolkit; building without the CUDA backend")
  endif()
endif()
