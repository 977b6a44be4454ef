// Bytes: loads, hashing, UTF-8, digits. No allocation, no state but the hash seed.
//
// Every function reads only inside the range it is given; where one may read a fixed number of bytes, it says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "digits are parsed eight at a time in little-endian words");

namespace flightline {

#define FL_LIKELY(x) __builtin_expect(!!(x), 1)
#define FL_UNLIKELY(x) __builtin_expect(!!(x), 0)

inline uint64_t load64(const char* p) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    return word;
}

inline uint32_t load32(const char* p) {
    uint32_t word;
    std::memcpy(&word, p, 4);
    return word;
}

// ---- hashing: keyed by a seed drawn when the process starts, so nobody can send names that collide on purpose

extern const uint64_t hash_seed[2];

inline uint64_t fold(uint64_t a, uint64_t b) {
    __uint128_t product = static_cast<__uint128_t>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint64_t hash_bytes(const char* p, size_t size) {
    uint64_t h = hash_seed[0] ^ (size * 0x9e3779b97f4a7c15u);
    const uint64_t key = hash_seed[1];
    if (size > 32) {  // two chains of multiplications at once
        uint64_t other = h ^ 0xa0761d6478bd642fu;
        do {
            h = fold(load64(p) ^ h, load64(p + 8) ^ key);
            other = fold(load64(p + 16) ^ other, load64(p + 24) ^ key);
            p += 32;
            size -= 32;
        } while (size > 32);
        h ^= other;
    }
    if (size > 16) {
        h = fold(load64(p) ^ h, load64(p + 8) ^ key);
        p += 16;
        size -= 16;
    }
    uint64_t a = 0, b = 0;
    if (size >= 8) {
        a = load64(p);
        b = load64(p + size - 8);
    } else if (size >= 4) {
        a = load32(p);
        b = load32(p + size - 4);
    } else if (size > 0) {
        a = static_cast<uint8_t>(p[0]) | static_cast<uint64_t>(static_cast<uint8_t>(p[size / 2])) << 8 |
            static_cast<uint64_t>(static_cast<uint8_t>(p[size - 1])) << 16;
    }
    return fold(fold(a ^ h, b ^ key), 0xd6e8feb86659fd93u);
}

inline uint64_t hash_bytes(std::string_view text) { return hash_bytes(text.data(), text.size()); }

// ---- UTF-8

// The offset of the first byte that is not part of valid UTF-8, or `size`.
size_t utf8_valid_prefix(const char* p, size_t size);

inline bool is_ascii(const char* p, size_t size) {
    uint64_t seen = 0;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) seen |= load64(p + i);
    for (; i < size; ++i) seen |= static_cast<uint64_t>(static_cast<uint8_t>(p[i]));
    return (seen & 0x8080808080808080u) == 0;
}

inline bool is_utf8(const char* p, size_t size) { return is_ascii(p, size) || utf8_valid_prefix(p, size) == size; }

// `size` or less, so that no character is cut in two.
inline size_t utf8_cut(const char* p, size_t whole, size_t size) {
    if (whole <= size) return whole;
    size_t cut = size;
    while (cut > 0 && size - cut < 3 && (static_cast<uint8_t>(p[cut]) & 0xC0) == 0x80) --cut;
    return (static_cast<uint8_t>(p[cut]) & 0xC0) == 0x80 ? size : cut;
}

size_t count_newlines(const char* p, const char* end);

// ---- search in [p, end); where there is a `readable`, bytes up to it may be read

// The first `wanted`, or `end`.
inline const char* find_byte(const char* p, const char* end, const char* readable, char wanted) {
#if defined(__SSE2__)
    const __m128i pattern = _mm_set1_epi8(wanted);
    for (; p < end && readable - p >= 16; p += 16) {
        const int hits = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), pattern));
        if (hits == 0) continue;
        p += __builtin_ctz(static_cast<unsigned>(hits));
        return p < end ? p : end;
    }
#else
    static_cast<void>(readable);
#endif
    while (p < end && *p != wanted) ++p;
    return p < end ? p : end;
}

// The first space, backslash or control character, or `end`.
inline const char* plain_end(const char* p, const char* end) {
#if defined(__SSE2__)
    const __m128i backslash = _mm_set1_epi8('\\'), space = _mm_set1_epi8(' ');
    for (; end - p >= 16; p += 16) {
        const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(block, space), block);
        const int hits = _mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(block, backslash)));
        if (hits != 0) return p + __builtin_ctz(static_cast<unsigned>(hits));
    }
#endif
    while (p < end && static_cast<uint8_t>(*p) > ' ' && *p != '\\') ++p;
    return p;
}

// ---- digits, eight at a time

// How many of the eight bytes are digits before the first that is not (0 to 8).
inline unsigned leading_digits(uint64_t word) {
    uint64_t low = word ^ 0x3030303030303030u;
    uint64_t other = ((low + 0x7676767676767676u) | low) & 0x8080808080808080u;
    // low + 0x76 sets the top bit when low >= 10; a carry can only come from a byte that is no digit itself, below it
    return other == 0 ? 8 : static_cast<unsigned>(__builtin_ctzll(other)) >> 3;
}

// The number written by the first `count` (1 to 8) bytes, all digits.
inline uint64_t eight_digits(uint64_t word, unsigned count) {
    word = (word - 0x3030303030303030u) << ((8 - count) * 8);
    word = word * 10 + (word >> 8);
    return (((word & 0x000000FF000000FFu) * 0x000F424000000064u) + (((word >> 16) & 0x000000FF000000FFu) * 0x0000271000000001u)) >> 32;
}

extern const uint64_t powers_of_ten[20];

// Reads up to 24 bytes at `p`. Up to 19 digits go to `value`; returns how many digits there are (20 stands for more than 19).
inline unsigned read_digits(const char* p, uint64_t& value) {
    uint64_t word = load64(p);
    unsigned count = leading_digits(word);
    if (count < 8) {
        value = count == 0 ? 0 : eight_digits(word, count);
        return count;
    }
    uint64_t total = eight_digits(word, 8);
    word = load64(p + 8);
    count = leading_digits(word);
    if (count < 8) {
        value = count == 0 ? total : total * powers_of_ten[count] + eight_digits(word, count);
        return 8 + count;
    }
    total = total * 100000000 + eight_digits(word, 8);
    word = load64(p + 16);
    count = leading_digits(word);
    if (count > 3) return 20;
    value = count == 0 ? total : total * powers_of_ten[count] + eight_digits(word, count);
    return 16 + count;
}

inline bool is_digit(char c) { return static_cast<unsigned char>(c - '0') < 10; }

}  // namespace flightline
