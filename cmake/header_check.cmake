# Adds the object library `target`: one source for each header, which includes that header and
# nothing else, so that a header that leans on another's includes does not build.
# rheo_check_headers(<target> <folder of the include path> <header relative to it>...)
function(rheo_check_headers target include_folder)
  set(sources "")
  foreach(header IN LISTS ARGN)
    string(MAKE_C_IDENTIFIER "${header}" name)
    set(source "${CMAKE_CURRENT_BINARY_DIR}/${target}/${name}.cpp")
    file(CONFIGURE OUTPUT "${source}" CONTENT "#include \"@header@\"\n" @ONLY)
    list(APPEND sources "${source}")
  endforeach()
  if(NOT sources)
    message(FATAL_ERROR "rheo_check_headers(${target}): no header given")
  endif()
  add_library(${target} OBJECT ${sources})
  target_include_directories(${target} PRIVATE "${include_folder}")
  target_compile_features(${target} PRIVATE cxx_std_20)
  target_link_libraries(${target} PRIVATE rheo_warnings)
endfunction()

# Every public header, with nothing but include/ in sight.
function(rheo_check_public_headers)
  file(GLOB headers CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/include"
       "${PROJECT_SOURCE_DIR}/include/rheo/*.h")
  rheo_check_headers(rheo_public_headers "${PROJECT_SOURCE_DIR}/include" ${headers})
endfunction()
