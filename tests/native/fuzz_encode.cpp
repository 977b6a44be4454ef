// Encodes random batches of every type under sanitizers: fuzz_encode SECONDS SEED
//
// Batches are built here, buffer by buffer, each in memory of exactly its size, so that a read beyond an end is seen. Every row of
// JSON must be one well-formed value, every line of CSV must have as many cells as the schema, and cutting a batch into pieces
// anywhere must give the same text.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "encode/rows.h"

#define REQUIRE(condition)                                                       \
    do {                                                                         \
        if (!(condition)) {                                                      \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            std::abort();                                                        \
        }                                                                        \
    } while (false)

namespace {

using namespace flightline::encode;

std::mt19937_64 random_bits;

int64_t below(int64_t limit) { return static_cast<int64_t>(random_bits() % static_cast<uint64_t>(limit)); }

// An array with its type, and all that they point to.
struct Made {
    std::string format, name;
    std::vector<std::unique_ptr<Made>> children;
    std::unique_ptr<Made> dictionary;
    std::vector<std::vector<char>> memory;
    std::vector<const void*> buffers;
    std::vector<ArrowSchema*> schemas;
    std::vector<ArrowArray*> arrays;
    ArrowSchema schema{};
    ArrowArray array{};

    void buffer(std::vector<char> bytes) {
        bytes.shrink_to_fit();
        memory.push_back(std::move(bytes));
    }

    void finish(int64_t length, int64_t offset) {
        for (const auto& bytes : memory) buffers.push_back(bytes.empty() ? nullptr : bytes.data());
        for (const auto& child : children) {
            schemas.push_back(&child->schema);
            arrays.push_back(&child->array);
        }
        schema.format = format.c_str();
        schema.name = name.c_str();
        schema.n_children = array.n_children = static_cast<int64_t>(children.size());
        schema.children = schemas.data();
        array.children = arrays.data();
        if (dictionary) {
            schema.dictionary = &dictionary->schema;
            array.dictionary = &dictionary->array;
        }
        array.length = length;
        array.offset = offset;
        array.n_buffers = static_cast<int64_t>(buffers.size());
        array.buffers = buffers.data();
    }
};

std::vector<char> bits(int64_t count) {
    std::vector<char> bytes(static_cast<size_t>((count + 7) / 8));
    for (char& byte : bytes) byte = static_cast<char>(random_bits());
    return bytes;
}

std::vector<char> numbers(int64_t count, int64_t width) {
    std::vector<char> bytes(static_cast<size_t>(count * width));
    for (int64_t item = 0; item < count; ++item) {
        const int64_t kind = below(4);
        const uint64_t value = kind == 0 ? 0 : kind == 1 ? random_bits() : kind == 2 ? ~uint64_t(0) : random_bits() % 1000;
        for (int64_t byte = 0; byte < width; ++byte)
            bytes[static_cast<size_t>(item * width + byte)] = static_cast<char>(kind == 1 ? random_bits() : byte < 8 ? value >> (8 * byte) : 0);
    }
    return bytes;
}

template <typename T>
std::vector<char> offsets(int64_t count, int64_t& total) {
    std::vector<T> ends{static_cast<T>(below(3))};
    for (int64_t item = 0; item < count; ++item) ends.push_back(static_cast<T>(ends.back() + below(below(8) == 0 ? 60 : 9)));
    total = static_cast<int64_t>(ends.back());
    const char* begin = reinterpret_cast<const char*>(ends.data());
    return {begin, begin + ends.size() * sizeof(T)};
}

std::vector<char> letters(int64_t count) {
    static const char some[] = "abc \"\\\n\r\t\x01,|{}[]:\xc3\xa9";
    std::vector<char> text;
    while (static_cast<int64_t>(text.size()) < count) {
        const char letter = some[below(sizeof some - 1)];
        text.push_back(letter == '\xc3' || letter == '\xa9' ? 'e' : letter);
    }
    return text;
}

const char* const FORMATS[] = {"n",   "b",   "c",   "C",   "s",    "S",          "i",            "I",        "l",         "L",        "e",
                               "f",   "g",   "u",   "U",   "z",    "Z",          "w:5",          "vu",       "vz",        "tdD",      "tdm",
                               "tts", "ttm", "ttu", "ttn", "tss:", "tsm:",       "tsu:",         "tsn:",     "tsn:UTC",   "tss:Z",    "tsn:+05:30",
                               "tDs", "tDm", "tDu", "tDn", "tiM",  "tiD",        "tin",          "d:10,2,32", "d:10,-3,64", "d:38,10",  "d:76,20,256",
                               "+l",  "+L",  "+s",  "+m",  "+w:3", "dictionary", "tsn:Mars/Dune"};

std::unique_ptr<Made> made(const std::string& wanted, int64_t rows, int depth);

std::unique_ptr<Made> any(int64_t rows, int depth) {
    for (;;) {
        const std::string format = FORMATS[below(sizeof FORMATS / sizeof *FORMATS)];
        if (depth < 3 || (format[0] != '+' && format != "dictionary")) return made(format, rows, depth);
    }
}

// A column of so many rows, behind an offset of its own.
std::unique_ptr<Made> made(const std::string& wanted, int64_t rows, int depth) {
    auto it = std::make_unique<Made>();
    const int64_t offset = below(4), count = rows + offset;
    it->format = wanted;
    it->name = below(5) == 0 ? "odd \"name\",\n" : "v" + std::to_string(below(100));
    if (wanted == "n") {
        it->finish(rows, offset);
        return it;
    }
    it->buffer(below(3) == 0 ? std::vector<char>() : bits(count));
    const char kind = wanted[0];
    int64_t total = 0;
    if (wanted == "dictionary") {
        it->dictionary = any(5, depth + 1);
        it->format = "c";
        std::vector<char> places(static_cast<size_t>(count));
        for (char& place : places) place = static_cast<char>(below(5));
        it->buffer(std::move(places));
    } else if (wanted == "b") {
        it->buffer(bits(count));
    } else if (kind == 'u' || kind == 'z' || kind == 'U' || kind == 'Z') {
        it->buffer(kind == 'u' || kind == 'z' ? offsets<int32_t>(count, total) : offsets<int64_t>(count, total));
        it->buffer(letters(total));
    } else if (kind == 'w') {
        it->buffer(letters(count * 5));
    } else if (kind == 'v') {
        std::vector<char> views, text = letters(400);
        for (int64_t item = 0; item < count; ++item) {
            const auto size = static_cast<int32_t>(below(30));
            const int32_t parts[4] = {size, 0x20202020, 0, static_cast<int32_t>(below(370))};
            std::string view(reinterpret_cast<const char*>(parts), 16);
            if (size <= 12) view.replace(4, 12, "            ");
            views.insert(views.end(), view.begin(), view.end());
        }
        it->buffer(std::move(views));
        it->buffer(std::move(text));
        it->buffer(std::vector<char>(8));
    } else if (kind == '+') {
        if (wanted == "+s") {
            for (int64_t field = below(4); field >= 0; --field) it->children.push_back(any(count, depth + 1));
        } else if (wanted == "+w:3") {
            it->children.push_back(any(count * 3, depth + 1));
        } else {
            it->buffer(wanted == "+L" ? offsets<int64_t>(count, total) : offsets<int32_t>(count, total));
            if (wanted == "+m") {
                auto pairs = std::make_unique<Made>();
                pairs->format = "+s";
                pairs->buffer({});
                const int64_t shift = below(3);
                for (int side = 0; side < 2; ++side) {
                    pairs->children.push_back(side == 0 ? made("u", total + shift, 3) : any(total + shift, depth + 1));
                    if (side == 0) pairs->children[0]->buffers[0] = nullptr;
                }
                pairs->finish(total, shift);
                it->children.push_back(std::move(pairs));
            } else {
                it->children.push_back(any(total, depth + 1));
            }
        }
    } else {
        const bool narrow = wanted == "c" || wanted == "C", half = wanted == "s" || wanted == "S" || wanted == "e";
        const bool word = wanted == "i" || wanted == "I" || wanted == "f" || wanted == "tdD" || wanted == "tts" || wanted == "ttm" || wanted == "tiM";
        const bool wide = wanted == "tin" || wanted == "d:38,10";
        const int64_t width = narrow ? 1 : half ? 2 : word || wanted == "d:10,2,32" ? 4 : wide ? 16 : wanted == "d:76,20,256" ? 32 : 8;
        it->buffer(numbers(count, width));
    }
    it->finish(rows, offset);
    return it;
}

// One JSON value; returns where it ends.
const char* value(const char* at, const char* end);

const char* text(const char* at, const char* end) {
    REQUIRE(at < end && *at == '"');
    for (++at; at < end && *at != '"'; ++at) {
        REQUIRE(static_cast<unsigned char>(*at) >= 0x20);
        if (*at == '\\') ++at;
    }
    REQUIRE(at < end);
    return at + 1;
}

const char* members(const char* at, const char* end, char closing) {
    for (++at; at < end && *at != closing;) {
        if (closing == '}') {
            at = text(at, end);
            REQUIRE(at < end && *at == ':');
            ++at;
        }
        at = value(at, end);
        REQUIRE(at < end && (*at == ',' || *at == closing));
        if (*at == ',') {
            ++at;
            REQUIRE(at < end && *at != closing);
        }
    }
    REQUIRE(at < end);
    return at + 1;
}

const char* value(const char* at, const char* end) {
    REQUIRE(at < end);
    if (*at == '{') return members(at, end, '}');
    if (*at == '[') return members(at, end, ']');
    if (*at == '"') return text(at, end);
    const char* const begin = at;
    while (at < end && (std::isalnum(static_cast<unsigned char>(*at)) || *at == '-' || *at == '.')) ++at;
    const std::string word(begin, at);
    if (word == "null" || word == "true" || word == "false") return at;
    char* stop = nullptr;
    const double number = std::strtod(word.c_str(), &stop);
    REQUIRE(*stop == 0 && !word.empty() && std::isfinite(number));
    return at;
}

int64_t lines_of_csv(const std::string& all, int64_t cells) {
    int64_t lines = 0, found = 1;
    bool quoted = false;
    for (const char c : all) {
        if (c == '"') quoted = !quoted;
        if (quoted) continue;
        if (c == ',') ++found;
        if (c != '\n') continue;
        REQUIRE(found == cells);
        found = 1;
        ++lines;
    }
    REQUIRE(!quoted);
    return lines;
}

int64_t zone_offset(const std::string& zone, int64_t moment) {
    REQUIRE(zone == "Mars/Dune");
    return (moment / 5'000'000) % 2 == 0 ? 3'600 : -5'400;
}

std::string encoded(const Made& batch, Form form, bool in_parts) {
    Encoder encoder(batch.schema, form, zone_offset);
    std::string all;
    for (int64_t row = 0, part = 0; row < batch.array.length || part == 0; ++part) {
        Text out;
        if (in_parts && below(3) > 0) {
            std::memset(out.room(PIECE_BYTES - 1), ' ', PIECE_BYTES - 1);  // a piece that is full after a row
            out.wrote(PIECE_BYTES - 1);
            const size_t filled = out.size();
            row = encoder.encode(batch.array, row, out);
            all.append(out.view(filled));
        } else {
            row = encoder.encode(batch.array, row, out);
            all.append(out.view());
        }
    }
    Text last;
    encoder.end(last);
    return all.append(last.view());
}

}  // namespace

int main(int, char** arguments) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(std::atof(arguments[1]));
    random_bits.seed(std::strtoull(arguments[2], nullptr, 10));
    int64_t batches = 0, bytes = 0;
    while (std::chrono::steady_clock::now() < until) {
        const int64_t rows = below(20);
        Made batch;
        batch.format = "+s";
        batch.buffer({});
        const int64_t shift = below(3);
        for (int64_t column = below(6); column >= 0; --column) batch.children.push_back(any(rows + shift, 0));
        batch.finish(rows, shift);
        for (const Form form : {Form::JSON, Form::JSON_LINES, Form::CSV}) {
            const std::string whole = encoded(batch, form, false);
            REQUIRE(whole == encoded(batch, form, true));
            bytes += static_cast<int64_t>(whole.size());
            const char *at = whole.data(), *const end = at + whole.size();
            if (form == Form::CSV) {
                REQUIRE(lines_of_csv(whole, batch.schema.n_children) == rows + 1);
            } else if (form == Form::JSON) {
                REQUIRE(value(at, end) == end);
            } else {
                int64_t lines = 0;
                for (; at != end; ++lines, ++at) {
                    at = value(at, end);
                    REQUIRE(at < end && *at == '\n');
                }
                REQUIRE(lines == rows);
            }
        }
        Encoder cells(batch.schema, Form::CELLS, zone_offset);
        cells.bind(batch.array);
        for (size_t column = 0; column < cells.column_count(); ++column) {
            for (int64_t row = 0; row < rows; ++row) {
                Text out;
                cells.cell(column, batch.array.offset + row, out);
            }
        }
        ++batches;
    }
    std::printf("%lld batches, %lld bytes\n", static_cast<long long>(batches), static_cast<long long>(bytes));
    return 0;
}
