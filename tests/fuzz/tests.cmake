# Read with the project's own compiler, whatever libFuzzer needs.
add_executable(rheo_fuzz_replay replay.cpp)
target_link_libraries(rheo_fuzz_replay PRIVATE rheo_fuzz_readers rheo_warnings)
add_test(NAME fuzz.corpus COMMAND rheo_fuzz_replay ${CMAKE_CURRENT_SOURCE_DIR}/corpus)

add_test(NAME fuzz.hostile
         COMMAND ${RHEO_TEST_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/hostile_test.py
                 $<TARGET_FILE:rheo_program>)

add_test(NAME fuzz.planted
         COMMAND ${RHEO_TEST_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/planted_test.py
                 ${CMAKE_CURRENT_BINARY_DIR}/planted $<TARGET_FILE:rheo_fuzz_replay>)
set_tests_properties(fuzz.planted PROPERTIES SKIP_RETURN_CODE 77)
