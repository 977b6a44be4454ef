// Parses in several threads while series, spellings, tags and columns are added: race_series SECONDS SEED
//
// Built with the thread sanitizer. Readers never wait (S3, T1-T3); each remembers which number a series had and finds it unchanged (S1).
#include <chrono>
#include <random>
#include <thread>

#include "../../engine/native/series_postings.h"
#include "drive.h"

namespace {

using namespace drive;

void write_bodies(Database& database, uint64_t seed, std::chrono::steady_clock::time_point until, std::atomic<int64_t>& bodies) {
    std::mt19937_64 random(seed);
    std::map<std::string, int32_t> numbers;
    while (std::chrono::steady_clock::now() < until) {
        std::string body;
        std::vector<std::string> hosts;
        const uint64_t start = random() % 5000;
        for (uint64_t i = 0; i < 40; ++i) {
            hosts.push_back("h" + std::to_string((start + i * 7) % 6000));
            const std::string host = "host=" + hosts.back(), region = "region=r" + std::to_string(start % 7);
            body += random() % 2 == 0 ? "cpu," + host + "," + region : "cpu," + region + "," + host;
            if (random() % 500 == 0) body += ",extra" + std::to_string(random() % 5) + "=x";
            body += " f=1i";
            if (random() % 500 == 0) body += ",g" + std::to_string(random() % 20) + "=2.5";
            body += " 1\n";
        }
        body += std::string(120, '\n');
        ParseResult result = parse_lines(database.schema, body.data(), body.size(), ParseOptions());
        check_errors(result);
        for (const auto& table : result.tables) {
            if (!database.admit(*table)) continue;
            const std::shared_ptr<SeriesIndex> index = database.index(table->name);
            check_rows(*table, *index, 0);
            const auto* series = reinterpret_cast<const int32_t*>(table->series.data());
            for (int64_t row = 0; row < table->rows; ++row) {
                std::string key;
                for (int tag = 0; tag < index->tag_count(); ++tag) {
                    const int32_t code = index->code(tag, series[row]);
                    if (code >= 0) key += std::to_string(tag) + "=" + std::string(index->value(tag, code)) + ",";
                }
                REQUIRE(numbers.emplace(key, series[row]).first->second == series[row]);
            }
            const std::lock_guard guard(database.lock);
            index->arrive(series, reinterpret_cast<const int64_t*>(table->times.data()), table->rows);
        }
        ++bodies;
    }
}

void look_around(Database& database, std::chrono::steady_clock::time_point until) {
    while (std::chrono::steady_clock::now() < until) {
        const std::shared_ptr<SeriesIndex> index = database.index("cpu");
        if (index == nullptr) continue;
        const int64_t size = index->size();
        for (int64_t series = 0; series < size; series += 17) {
            for (int tag = 0; tag < index->tag_count(); ++tag) REQUIRE(index->code(tag, series) < index->code_count(tag));
            index->newest(series);
        }
        const int32_t codes[] = {0, NULL_CODE};
        for (const int32_t series : series_with(*index, 0, codes, index->code_count(0) > 0 ? 2 : 0)) {
            REQUIRE(index->code(0, series) <= 0);
        }
        REQUIRE(index->memory_bytes() > 0);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(static_cast<int64_t>(std::atof(argv[1]) * 1000));
    const uint64_t seed = std::strtoull(argv[2], nullptr, 10);
    Database database(true, 0);
    std::atomic<int64_t> bodies{0};
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < 3; ++i) threads.emplace_back([&, i] { write_bodies(database, seed + i, until, bodies); });
    threads.emplace_back([&] { look_around(database, until); });
    for (std::thread& thread : threads) thread.join();
    std::printf("%lld bodies, %lld series\n", static_cast<long long>(bodies.load()), static_cast<long long>(database.index("cpu")->size()));
    return 0;
}
