// Renders line protocol for the benchmarks: ten million lines a second, so that a run never waits for its data.
//
// Pure: the same arguments give the same bytes. Every function writes `ends[i]`, the offset just past line i, and
// returns the number of lines. The caller sizes the buffers (scripts/bench_lib/data.py); nothing is allocated here.

#include <cstdint>
#include <cstring>
#include <initializer_list>

namespace {

char* put(char* out, const char* text, size_t length) {
    std::memcpy(out, text, length);
    return out + length;
}

template <size_t N>
char* put(char* out, const char (&text)[N]) {
    return put(out, text, N - 1);
}

char* put_number(char* out, uint64_t value) {
    char digits[20];
    int count = 0;
    do {
        digits[count++] = static_cast<char>('0' + value % 10);
        value /= 10;
    } while (value != 0);
    while (count > 0) *out++ = digits[--count];
    return out;
}

char* put_hundredths(char* out, uint64_t value) {
    out = put_number(out, value / 100);
    *out++ = '.';
    *out++ = static_cast<char>('0' + value / 10 % 10);
    *out++ = static_cast<char>('0' + value % 10);
    return out;
}

// splitmix64: a well mixed number from any three, so that each row stands for itself.
uint64_t mix(uint64_t a, uint64_t b, uint64_t c) {
    uint64_t z = a * 0x9E3779B97F4A7C15u + b * 0xC2B2AE3D27D4EB4Fu + c * 0x165667B19E3779F9u + 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

constexpr int CPU_FIELDS = 10;
const char* const CPU_FIELD_TEXT[CPU_FIELDS] = {
    " usage_user=", ",usage_system=", ",usage_idle=", ",usage_nice=", ",usage_iowait=",
    ",usage_irq=", ",usage_softirq=", ",usage_steal=", ",usage_guest=", ",usage_guest_nice="};

constexpr uint64_t LATE_TICKS = 60;
const char* const STATES[] = {"ok", "idle", "starting up", "warn: filter \\\"B\\\"", "failed, retry"};

char* put_iot_row(char* out, uint64_t seed, uint64_t tables, uint64_t device, uint64_t tick, int64_t time_ns) {
    const uint64_t table = device % tables;
    const uint64_t luck = mix(seed, device, tick);
    out = put(out, "iot_");
    *out++ = static_cast<char>('0' + table / 10 % 10);
    *out++ = static_cast<char>('0' + table % 10);
    out = put_number(put(out, ",device=dev-"), device);
    out = put_number(put(out, ",site=site\\ "), mix(seed, device, ~0u) % 40);
    if (table % 3 != 2) out = put_number(put(out, ",firmware=2.4."), device % 7);
    out = put_number(put(out, " sequence="), tick);
    *out++ = 'i';
    for (uint64_t field = 0; field < 2 + table % 5; field++) {
        if ((luck >> (8 + field)) % 10 == 0) continue;
        const uint64_t level = 1500 + 700 * field + 40 * ((tick / 20 + device) % 50) + mix(luck, field, 1) % 60;
        out = put_number(put(out, ",reading_"), field);
        out = put_hundredths(put(out, "="), level);
    }
    if (luck % 4 != 0) out = luck % 64 == 1 ? put(out, ",online=f") : put(out, ",online=true");
    if (table % 2 == 0 && luck % 8 < 3) {
        const char* state = STATES[mix(luck, 7, 7) % 5];
        out = put(put(put(out, ",state=\""), state, std::strlen(state)), "\"");
    }
    *out++ = ' ';
    out = put_number(out, static_cast<uint64_t>(time_ns));
    *out++ = '\n';
    return out;
}

bool comes_late(uint64_t seed, uint64_t device, uint64_t tick) { return mix(seed + 1, device, tick) % 50 == 0; }

}  // namespace

extern "C" {

// TSBS cpu-only: all hosts of one timestamp, then the next. heads[head_ends[h-1]..head_ends[h]) is measurement and tags
// of host h; values has ten numbers a row, row-major, from `first_row` on.
int64_t render_cpu(const char* heads, const int64_t* head_ends, int64_t hosts, const uint8_t* values, int64_t first_row,
                   int64_t rows, int64_t start_ns, int64_t step_ns, char* out, int64_t* ends) {
    const char* const begin = out;
    for (int64_t i = 0; i < rows; i++) {
        const int64_t row = first_row + i;
        const int64_t host = row % hosts;
        const int64_t from = host == 0 ? 0 : head_ends[host - 1];
        out = put(out, heads + from, static_cast<size_t>(head_ends[host] - from));
        for (int field = 0; field < CPU_FIELDS; field++) {
            out = put(out, CPU_FIELD_TEXT[field], std::strlen(CPU_FIELD_TEXT[field]));
            out = put_number(out, values[i * CPU_FIELDS + field]);
            *out++ = 'i';
        }
        *out++ = ' ';
        out = put_number(out, static_cast<uint64_t>(start_ns + row / hosts * step_ns));
        *out++ = '\n';
        ends[i] = out - begin;
    }
    return rows;
}

// A mixed stream: devices spread over tables, missing fields, and one row in fifty that arrives LATE_TICKS ticks late.
// Times are off the beat by whole milliseconds, which every server keeps; a table's rows all have the same tags, since a
// server may take the tags of the first for good. checks[i] is the field `sequence`, which every row has. Writes at most
// 2 * devices lines a tick.
int64_t render_iot(uint64_t seed, int64_t tables, int64_t devices, int64_t first_tick, int64_t ticks, int64_t start_ns,
                   int64_t step_ns, char* out, int64_t* ends, int64_t* checks) {
    const char* const begin = out;
    int64_t count = 0;
    for (int64_t now = first_tick; now < first_tick + ticks; now++) {
        for (int64_t device = 0; device < devices; device++) {
            for (const int64_t tick : {now, now - static_cast<int64_t>(LATE_TICKS)}) {
                if (tick < 0 || comes_late(seed, device, tick) != (tick != now)) continue;
                const int64_t jitter = static_cast<int64_t>(mix(seed, device, tick + 3) % 1000) * 1000000;
                out = put_iot_row(out, seed, tables, device, tick, start_ns + tick * step_ns + jitter);
                checks[count] = tick;
                ends[count++] = out - begin;
            }
        }
    }
    return count;
}

}  // extern "C"
