// Limits of one body. A build with FLIGHTLINE_SMALL_LIMITS (the fuzzer's) reaches them with short bodies.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flightline {

#ifndef FLIGHTLINE_SMALL_LIMITS
constexpr size_t NAME_LIMIT = 1048576;               // bytes of a name, a tag value or a string, escapes resolved
constexpr int64_t TEXT_LIMIT = INT32_MAX;            // bytes of a string column in one batch
constexpr int64_t SPARSE_BYTES = int64_t{32} << 20;  // bytes that cells may take in a body, besides
constexpr int64_t SPARSE_RATIO = 64;                 // so many per byte of a table's lines
#else
constexpr size_t NAME_LIMIT = 1000;
constexpr int64_t TEXT_LIMIT = 4096;
constexpr int64_t SPARSE_BYTES = 4096;
constexpr int64_t SPARSE_RATIO = 8;
#endif

static_assert(static_cast<int64_t>(NAME_LIMIT) * 2 < TEXT_LIMIT, "any string fits into an empty column");

}  // namespace flightline
