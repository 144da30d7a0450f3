# Compiler settings that every target shares: C++20, warnings as errors, ccache and mold when they
# are installed, and the sanitizer that the preset names in TAO_SANITIZER (empty, asan or tsan).

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

set(TAO_SANITIZER "" CACHE STRING "Sanitizer to build with: empty, asan or tsan")
set_property(CACHE TAO_SANITIZER PROPERTY STRINGS "" asan tsan)

find_program(TAO_CCACHE ccache)
if(TAO_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Precompiled headers need the two sloppiness settings; base_dir lets two checkouts share objects.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${TAO_CCACHE})
endif()

find_program(TAO_MOLD mold)
if(TAO_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wno-unused-parameter
                    -Wnon-virtual-dtor -Woverloaded-virtual -Werror
                    # Designated initialisers name what they set; the rest has its default.
                    -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports these from inside the standard library's own inlined string code (GCC PR105651).
  add_compile_options(-Wno-restrict -Wno-stringop-overflow)
endif()

if(TAO_SANITIZER STREQUAL "asan")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all
                      -fno-omit-frame-pointer -Wno-maybe-uninitialized)
  add_link_options(-fsanitize=address,undefined)
elseif(TAO_SANITIZER STREQUAL "tsan")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer -Wno-tsan)
  add_link_options(-fsanitize=thread)
elseif(TAO_SANITIZER)
  message(FATAL_ERROR "TAO_SANITIZER is \"${TAO_SANITIZER}\"; it must be empty, asan or tsan")
endif()

# Fuzz targets are built with clang, in a build of their own (preset fuzz): only their libraries compile.
option(TAO_FUZZ "Build the libFuzzer targets of tests/fuzz (needs clang)" OFF)
if(TAO_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "TAO_FUZZ needs clang (libFuzzer is its): use the preset fuzz")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()
