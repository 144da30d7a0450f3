# The two kinds of target in this tree, so that a folder's CMakeLists.txt is a list of names.
include(GoogleTest)

# tao_library(NAME SOURCES a.cc ... [DEPS target ...])
# One folder, one static library. Headers are included from the top of the tree.
function(tao_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS})
endfunction()

# tao_test(NAME LABEL unit|component SOURCES a_test.cc ... [DEPS target ...] [NO_TSAN])
# One test program, every TEST of it a ctest test. NO_TSAN: links gRPC, which ThreadSanitizer cannot
# follow (docs/architecture.md, "Threads").
function(tao_test name)
  cmake_parse_arguments(ARG "NO_TSAN" "LABEL;TIMEOUT" "SOURCES;DEPS" ${ARGN})
  if(ARG_NO_TSAN AND TAO_SANITIZER STREQUAL "tsan")
    return()
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  if(TAO_SANITIZER STREQUAL "tsan")
    target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/tsan_suppressions.cc)
  endif()
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  target_precompile_headers(${name} PRIVATE <gtest/gtest.h> <string> <vector>)
  target_compile_definitions(${name} PRIVATE TAO_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                                             TAO_BINARY_DIR="${PROJECT_BINARY_DIR}")
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST NO_PRETTY_VALUES
                       PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT})
endfunction()
