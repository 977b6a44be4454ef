#include "lines_bytes.h"

#include <random>

namespace flightline {

namespace {

uint64_t draw() {
    std::random_device device;
    return static_cast<uint64_t>(device()) << 32 | device();
}

bool is_tail(uint8_t byte) { return (byte & 0xC0) == 0x80; }

}  // namespace

const uint64_t hash_seed[2] = {draw(), draw()};

const uint64_t powers_of_ten[20] = {
    1u,
    10u,
    100u,
    1000u,
    10000u,
    100000u,
    1000000u,
    10000000u,
    100000000u,
    1000000000u,
    10000000000u,
    100000000000u,
    1000000000000u,
    10000000000000u,
    100000000000000u,
    1000000000000000u,
    10000000000000000u,
    100000000000000000u,
    1000000000000000000u,
    10000000000000000000u,
};

size_t utf8_valid_prefix(const char* text, size_t size) {
    const auto* p = reinterpret_cast<const uint8_t*>(text);
    size_t i = 0;
    while (i < size) {
        if (i + 8 <= size && (load64(text + i) & 0x8080808080808080u) == 0) {
            i += 8;
            continue;
        }
        const uint8_t first = p[i];
        const size_t left = size - i;
        if (first < 0x80) {
            i += 1;
        } else if (first >= 0xC2 && first <= 0xDF) {
            if (left < 2 || !is_tail(p[i + 1])) return i;
            i += 2;
        } else if ((first & 0xF0) == 0xE0) {
            if (left < 3 || !is_tail(p[i + 1]) || !is_tail(p[i + 2])) return i;
            if (first == 0xE0 && p[i + 1] < 0xA0) return i;  // longer than needed
            if (first == 0xED && p[i + 1] > 0x9F) return i;  // a surrogate
            i += 3;
        } else if (first >= 0xF0 && first <= 0xF4) {
            if (left < 4 || !is_tail(p[i + 1]) || !is_tail(p[i + 2]) || !is_tail(p[i + 3])) return i;
            if (first == 0xF0 && p[i + 1] < 0x90) return i;  // longer than needed
            if (first == 0xF4 && p[i + 1] > 0x8F) return i;  // beyond U+10FFFF
            i += 4;
        } else {
            return i;
        }
    }
    return size;
}

size_t count_newlines(const char* p, const char* end) {
    size_t count = 0;
    while (p < end) {
        const void* hit = std::memchr(p, '\n', static_cast<size_t>(end - p));
        if (hit == nullptr) break;
        ++count;
        p = static_cast<const char*>(hit) + 1;
    }
    return count;
}

}  // namespace flightline
