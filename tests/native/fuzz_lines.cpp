// Mutates line protocol for a given time and reads it: fuzz_lines SECONDS SEED CORPUS...
//
// Built with the address and undefined-behaviour sanitizers and with FLIGHTLINE_SMALL_LIMITS. Each body lies in memory of exactly its
// size, so that one byte too far is seen. Each is read cold, cold with blank lines behind it (where the fast reader comes to its last
// line too), and warm: all must say the same (P1-P5, G3), and every promise of a result is checked (C1-C3). A body found wanting is
// written to standard error when the process aborts (which the sanitizers do with abort_on_error=1).
#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <random>

#include "drive.h"
#include "lines_grammar.h"

namespace {

using namespace drive;

const char* const SEEDS[] = {
    "cpu,host=server01,region=us-west usage_user=58i,usage_system=2i,usage_idle=24.5 1451606400000000000\n",
    "cpu,host=server02,region=us-west usage_user=1i,usage_idle=99.25 1451606400000000000\ncpu,region=us-west,host=server02 g=1 5\n",
    "m f=1,g=2i,h=3u,s=\"a string\",b=true 1\nm s=\"with \\\"quotes\\\" and \\\\\" 2\r\nm b=F\r\n",
    "m,t\\ a\\=g=v\\,al\\ ue f\\ ield=1e5,g=-1.5E-7 -17\n",
    "m f=\"two\nlines\" 1\n\n# a comment\n  m f=\"x\"\n",
    "m\\,n f=123456789012345678901234567890,g=1e400 1\nm\\\\n f=9007199254740993.5 12345678901234567890\n",
    "\xc3\xa9,\xc3\xbc=\xe6\x97\xa5 \xc3\x9f=\"\xf0\x9f\x8e\x88\" 1\nm f=\"\xff\" 1\n",
    "a f=1 1\nb f=1 1\nc f=1 1\na f=2 2\nb f=2 2\nc f=2 2\na,x=1 f=1\n",
    "m time=1\nm,time=a f=1\nm,t=a,t=b f=1\nm f=1,f=2\nm,f=a f=1\nm f=t\n",
    "n x=1i,a_rather_long_name_of_a_field_so_that_it_does_not_fit=2i,y=\"z\" 1\nn y=\"q\",x=7i 2\n",
};

const char* const TOKENS[] = {
    ",", "=", " ", "\n", "\\", "\"", "\r\n", "\t", "#", "-", ".", "e", "i", "u", "t", "F", "1", "0", "\\\"", "\\\\", "\\\n", "\\ ", "\\,",
    "time", "true", "\0", "\x80", "\xff", "\xc3", "\xe6\x97", "9223372036854775808i", "18446744073709551615u", "1e309", "5e-324", "0.1",
    "m,t=a f=1 1\n", " f=\"", "\"\n", ",t="};

class Mutator {
  public:
    explicit Mutator(uint64_t seed) : random_(seed) {}

    size_t below(size_t limit) { return limit == 0 ? 0 : random_() % limit; }

    std::string mutate(std::string text, const std::vector<std::string>& corpus) {
        for (size_t i = 1 + below(6); i > 0; --i) change(text, corpus);
        if (text.size() > 20000) text.resize(20000);
        return text;
    }

  private:
    void change(std::string& text, const std::vector<std::string>& corpus) {
        const size_t at = below(text.size() + 1), size = below(std::min<size_t>(text.size() - at, 40) + 1);
        switch (below(8)) {
            case 0:
                if (at < text.size()) text[at] = static_cast<char>(random_());
                break;
            case 1:
                text.erase(at, size);
                break;
            case 2:
            case 3: {
                const char* token = TOKENS[below(std::size(TOKENS))];
                text.insert(at, token, std::max<size_t>(1, std::strlen(token)));
                break;
            }
            case 4:
                text.insert(below(text.size() + 1), text.substr(at, size));
                break;
            case 5: {
                const std::string& other = corpus[below(corpus.size())];
                const size_t from = below(other.size() + 1);
                text.insert(at, other.substr(from, below(200)));
                break;
            }
            case 6:
                text += corpus[below(corpus.size())];
                break;
            default:
                for (size_t i = below(20); i > 0; --i) text.insert(at, text.substr(at, size));
        }
    }

    std::mt19937_64 random_;
};

// Bodies that come to the limits of one batch: a field of its own in every line, and much text.
std::vector<std::string> large_seeds() {
    std::string sparse, text;
    for (int i = 0; i < 60; ++i) {
        sparse += "m,t=" + std::to_string(i % 3) + " f" + std::to_string(i) + "=1 1\n";
        text += "m s=\"" + std::string(static_cast<size_t>(i * 7), 'x') + "\",f=1i 1\n";
    }
    return {sparse, text};
}

size_t in_parts = 0;

uint64_t read(Database& database, const std::string& body, const ParseOptions& options, bool& flawless) {
    const std::unique_ptr<char[]> exact(new char[body.size()]);
    std::memcpy(exact.get(), body.data(), body.size());
    ParseResult result = parse_lines(database.schema, exact.get(), body.size(), options);
    uint64_t digest = check_errors(result);
    flawless = result.errors.empty();
    std::map<std::string, uint64_t> digests;
    std::set<std::string> names;
    for (const auto& table : result.tables) {
        in_parts += !names.insert(table->name).second;
        REQUIRE(database.admit(*table));
        digests[table->name] = check_rows(*table, *database.index(table->name), digests[table->name]);
    }
    for (const auto& [name, of] : digests) digest = mix(mix(digest, name), &of, 8);
    return digest;
}

// Does every line have its newline, so that more of them behind the body change nothing?
bool is_closed(const std::string& body) {
    const char *p = body.data(), *const end = p + body.size();
    while (p < end) {
        if (*p == ' ' || *p == '\t' || *p == '\n') {
            ++p;
        } else if (*p == '\r' && p + 1 < end && p[1] == '\n') {
            p += 2;
        } else {
            p = *p == '#' ? std::find(p, end, '\n') : line_end(p, end);
            if (p == end) return false;
        }
    }
    return true;
}

void try_body(const std::string& body, Mutator& mutator, std::unique_ptr<Database>& lasting) {
    ParseOptions options;
    options.precision = static_cast<Precision>(mutator.below(5));
    options.now_ns = 1700000000123456789;
    options.stop_at_first_error = mutator.below(8) == 0;
    if (mutator.below(4) == 0) options.tables_left = static_cast<int64_t>(mutator.below(3));
    const bool extend_tags = mutator.below(2) == 0;
    const int64_t column_limit = mutator.below(4) == 0 ? 4 : 0;

    Database cold(extend_tags, column_limit), tailed(extend_tags, column_limit);
    bool flawless = false;
    const uint64_t expected = read(cold, body, options, flawless);
    if (is_closed(body)) {
        const std::string longer = body + std::string(120, '\n');
        REQUIRE(read(tailed, longer, options, flawless) == expected);
        if (flawless) {
            REQUIRE(read(cold, longer, options, flawless) == expected);
            REQUIRE(read(tailed, longer, options, flawless) == expected);
        }
    }
    options.tables_left = -1;
    read(*lasting, body, options, flawless);
    if (mutator.below(200) == 0) lasting = std::make_unique<Database>(extend_tags, column_limit);
}

std::string current;

void show_current() {
    std::fprintf(stderr, "the body, %zu bytes:\n", current.size());
    for (const char c : current) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= ' ' && byte < 127 && c != '\\') {
            std::fputc(c, stderr);
        } else {
            std::fprintf(stderr, "\\x%02x", byte);
        }
    }
    std::fputc('\n', stderr);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(static_cast<int64_t>(std::atof(argv[1]) * 1000));
    Mutator mutator(std::strtoull(argv[2], nullptr, 10));
    std::vector<std::string> corpus(std::begin(SEEDS), std::end(SEEDS));
    for (std::string& seed : large_seeds()) corpus.push_back(std::move(seed));
    for (int i = 3; i < argc; ++i) {
        std::ifstream file(argv[i], std::ios::binary);
        corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    auto lasting = std::make_unique<Database>(false, 0);
    size_t count = 0;
    std::signal(SIGABRT, [](int) { show_current(); });
    for (; std::chrono::steady_clock::now() < until; ++count) {
        current = count < corpus.size() ? corpus[count] : mutator.mutate(corpus[mutator.below(corpus.size())], corpus);
        try_body(current, mutator, lasting);
        if (mutator.below(50) == 0 && corpus.size() < 500) corpus.push_back(current);
    }
    std::printf("%zu bodies, %zu tables in parts\n", count, in_parts);
    return 0;
}
