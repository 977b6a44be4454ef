#include "series_arrow.h"

#include <stdexcept>
#include <string_view>

namespace flightline {

namespace {

constexpr int32_t NOT_ASKED = -3;

bool is_valid(const void* bitmap, int64_t i) {
    return bitmap == nullptr || (static_cast<const uint8_t*>(bitmap)[i >> 3] >> (i & 7) & 1) != 0;
}

// Strings of any layout, by position.
class Strings {
  public:
    Strings(const ArrowSchema& schema, const ArrowArray& array) : array_(array), format_(schema.format) {
        const bool known = format_ == "u" || format_ == "U" || format_ == "vu" || format_ == "n";
        if (!known) throw std::invalid_argument("a tag column must hold strings, not Arrow type '" + format_ + "'");
        kind_ = format_ == "u" ? Kind::SMALL : format_ == "U" ? Kind::LARGE : format_ == "vu" ? Kind::VIEW : Kind::NOTHING;
    }

    int64_t size() const { return array_.length; }

    // An empty view without data is null; so is the empty string, which no tag can hold.
    std::string_view at(int64_t i) const {
        if (kind_ == Kind::NOTHING) return {};
        i += array_.offset;
        if (!is_valid(array_.buffers[0], i)) return {};
        const char* data = static_cast<const char*>(array_.buffers[kind_ == Kind::VIEW ? 1 : 2]);
        if (kind_ == Kind::SMALL) {
            const auto* offsets = static_cast<const int32_t*>(array_.buffers[1]);
            return view(data + offsets[i], offsets[i + 1] - offsets[i]);
        }
        if (kind_ == Kind::LARGE) {
            const auto* offsets = static_cast<const int64_t*>(array_.buffers[1]);
            return view(data + offsets[i], offsets[i + 1] - offsets[i]);
        }
        const char* entry = data + i * 16;
        int32_t parts[4];
        std::memcpy(parts, entry, 16);
        if (parts[0] <= 12) return view(entry + 4, parts[0]);
        return view(static_cast<const char*>(array_.buffers[2 + parts[2]]) + parts[3], parts[0]);
    }

  private:
    enum class Kind { SMALL, LARGE, VIEW, NOTHING };

    static std::string_view view(const char* data, int64_t size) {
        return size == 0 ? std::string_view() : std::string_view(data, static_cast<size_t>(size));
    }

    const ArrowArray& array_;
    const std::string format_;
    Kind kind_;
};

int32_t intern(SeriesIndex& index, int tag, std::string_view value) { return value.data() == nullptr ? NULL_CODE : index.intern(tag, value); }

void plain_codes(SeriesIndex& index, int tag, const ArrowColumn& column, int64_t rows, int32_t* codes, int64_t step) {
    const Strings strings(*column.schema, *column.array);
    std::string_view last;
    int32_t code = NULL_CODE;
    for (int64_t i = 0; i < rows; ++i) {
        const std::string_view value = strings.at(i);
        if (value.data() == nullptr) {
            codes[i * step] = NULL_CODE;
            continue;
        }
        if (last.data() == nullptr || value != last) {
            code = index.intern(tag, value);
            last = value;
        }
        codes[i * step] = code;
    }
}

template <class Place>
void codes_of(SeriesIndex& index, int tag, const Strings& strings, const ArrowArray& array, int64_t rows, int32_t* codes, int64_t step) {
    const Place* const places = static_cast<const Place*>(array.buffers[1]) + array.offset;
    const void* const validity = array.buffers[0];
    const auto size = static_cast<uint64_t>(strings.size());
    std::vector<int32_t> known(size, NOT_ASKED);
    for (int64_t i = 0; i < rows; ++i) {
        int32_t& code = codes[i * step];
        if (!is_valid(validity, array.offset + i)) {
            code = NULL_CODE;
            continue;
        }
        const auto at = static_cast<uint64_t>(places[i]);  // what is below zero is far beyond the end
        if (FL_UNLIKELY(at >= size)) throw std::invalid_argument("a dictionary index is out of bounds");
        if (FL_UNLIKELY(known[at] == NOT_ASKED)) known[at] = intern(index, tag, strings.at(static_cast<int64_t>(at)));
        code = known[at];
    }
}

void dictionary_codes(SeriesIndex& index, int tag, const ArrowColumn& column, int64_t rows, int32_t* codes, int64_t step) {
    const ArrowArray& array = *column.array;
    const Strings strings(*column.schema->dictionary, *array.dictionary);
    const std::string_view format = column.schema->format;
    switch (format.size() == 1 ? format[0] : '?') {
        case 'c':
            return codes_of<int8_t>(index, tag, strings, array, rows, codes, step);
        case 'C':
            return codes_of<uint8_t>(index, tag, strings, array, rows, codes, step);
        case 's':
            return codes_of<int16_t>(index, tag, strings, array, rows, codes, step);
        case 'S':
            return codes_of<uint16_t>(index, tag, strings, array, rows, codes, step);
        case 'i':
            return codes_of<int32_t>(index, tag, strings, array, rows, codes, step);
        case 'I':
            return codes_of<uint32_t>(index, tag, strings, array, rows, codes, step);
        case 'l':
            return codes_of<int64_t>(index, tag, strings, array, rows, codes, step);
        case 'L':
            return codes_of<uint64_t>(index, tag, strings, array, rows, codes, step);
    }
    throw std::invalid_argument("a dictionary must be indexed by integers, not Arrow type '" + std::string(format) + "'");
}

// Of each series the last row that was asked for. Rows often come in rounds, of each series one: what followed it then, follows again.
class Rounds {
  public:
    explicit Rounds(int64_t rows) {
        size_t size = 16;
        while (size < static_cast<size_t>(rows) * 2) size *= 2;
        rows_.assign(size, NOBODY);
    }

    // The row of the series that was given before, if any; from now on this one.
    int64_t replace(int32_t number, int64_t row, const int32_t* numbers) {
        const size_t mask = rows_.size() - 1;
        size_t at = static_cast<size_t>(static_cast<uint32_t>(number) * uint64_t{0x9e3779b97f4a7c15u} >> 32) & mask;
        while (rows_[at] != NOBODY && numbers[rows_[at]] != number) at = (at + 1) & mask;
        const int64_t before = rows_[at];
        rows_[at] = static_cast<int32_t>(row);
        return before;
    }

    static constexpr int32_t NOBODY = -1;

  private:
    std::vector<int32_t> rows_;
};

void release_schema(ArrowSchema* schema);
void release_array(ArrowArray* array);

struct SchemaHolder {
    std::string format, name;
    std::vector<ArrowSchema> children;  // and then the dictionary, if there is one
    std::vector<ArrowSchema*> pointers;
};

struct ArrayHolder {
    std::shared_ptr<void> owner;
    std::vector<const void*> buffers;
    std::vector<ArrowArray> children;  // and then the dictionary, if there is one
    std::vector<ArrowArray*> pointers;
};

void release_schema(ArrowSchema* schema) {
    auto* holder = static_cast<SchemaHolder*>(schema->private_data);
    for (ArrowSchema& child : holder->children) {
        if (child.release != nullptr) child.release(&child);
    }
    schema->release = nullptr;
    delete holder;
}

void release_array(ArrowArray* array) {
    auto* holder = static_cast<ArrayHolder*>(array->private_data);
    for (ArrowArray& child : holder->children) {
        if (child.release != nullptr) child.release(&child);
    }
    array->release = nullptr;
    delete holder;
}

}  // namespace

void resolve_series(SeriesIndex& index, const std::vector<ArrowColumn>& columns, int64_t rows, int32_t* numbers) {
    std::vector<int32_t> tags;  // those that have a column
    for (size_t tag = 0; tag < columns.size(); ++tag) {
        if (columns[tag].schema == nullptr) continue;
        if (columns[tag].array->length != rows) throw std::invalid_argument("a tag column has another length than the rows");
        tags.push_back(static_cast<int32_t>(tag));
    }
    const auto count = static_cast<int64_t>(tags.size());
    const std::unique_ptr<int32_t[]> codes(new int32_t[static_cast<size_t>(rows * count)]);
    for (int64_t i = 0; i < count; ++i) {
        const int32_t tag = tags[static_cast<size_t>(i)];
        const ArrowColumn& column = columns[static_cast<size_t>(tag)];
        const auto read = column.schema->dictionary != nullptr ? dictionary_codes : plain_codes;
        read(index, tag, column, rows, codes.get() + i, count);
    }
    const size_t width = static_cast<size_t>(count) * sizeof(int32_t);
    std::vector<TagCode> key;
    Rounds rounds(rows);
    int64_t guess = Rounds::NOBODY;  // a row before this one, perhaps of the same series
    for (int64_t row = 0; row < rows; ++row) {
        const int32_t* const of_row = codes.get() + row * count;
        if (row > 0 && (width == 0 || std::memcmp(of_row, of_row - count, width) == 0)) {
            numbers[row] = numbers[row - 1];
            continue;
        }
        if (guess >= 0 && std::memcmp(of_row, codes.get() + guess * count, width) == 0) {
            numbers[row] = numbers[guess++];
            continue;
        }
        key.clear();
        for (int64_t i = 0; i < count; ++i) {
            if (of_row[i] >= 0) key.push_back({tags[static_cast<size_t>(i)], of_row[i]});
        }
        numbers[row] = index.get_or_add(key.data(), key.size());
        guess = rounds.replace(numbers[row], row, numbers);
        if (guess >= 0) ++guess;
    }
}

void export_schema(const ArrowNode& node, ArrowSchema& schema) {
    auto holder = std::make_unique<SchemaHolder>();
    holder->format = node.format;
    holder->name = node.name;
    holder->children.resize(node.children.size() + node.dictionary.size());
    for (size_t i = 0; i < node.children.size(); ++i) {
        export_schema(node.children[i], holder->children[i]);
        holder->pointers.push_back(&holder->children[i]);
    }
    if (!node.dictionary.empty()) export_schema(node.dictionary[0], holder->children.back());
    schema = {};
    schema.format = holder->format.c_str();
    schema.name = holder->name.c_str();
    schema.flags = node.flags;
    schema.n_children = static_cast<int64_t>(node.children.size());
    schema.children = holder->pointers.data();
    schema.dictionary = node.dictionary.empty() ? nullptr : &holder->children.back();
    schema.release = release_schema;
    schema.private_data = holder.release();
}

void export_array(const ArrowNode& node, const std::shared_ptr<void>& owner, ArrowArray& array) {
    auto holder = std::make_unique<ArrayHolder>();
    holder->owner = owner;
    holder->buffers = node.buffers;
    holder->children.resize(node.children.size() + node.dictionary.size());
    for (size_t i = 0; i < node.children.size(); ++i) {
        export_array(node.children[i], owner, holder->children[i]);
        holder->pointers.push_back(&holder->children[i]);
    }
    if (!node.dictionary.empty()) export_array(node.dictionary[0], owner, holder->children.back());
    array = {};
    array.length = node.length;
    array.null_count = node.null_count;
    array.n_buffers = static_cast<int64_t>(node.buffers.size());
    array.n_children = static_cast<int64_t>(node.children.size());
    array.buffers = holder->buffers.data();
    array.children = holder->pointers.data();
    array.dictionary = node.dictionary.empty() ? nullptr : &holder->children.back();
    array.release = release_array;
    array.private_data = holder.release();
}

// What an exported string array points at.
struct Texts {
    std::vector<int32_t> offsets;
    std::vector<char> text;
    std::vector<uint8_t> validity;
    int64_t nulls = 0;
};

template <typename CodeAt>
std::shared_ptr<Texts> copy_texts(const SeriesIndex& index, int tag, int64_t count, CodeAt code_at) {
    auto copy = std::make_shared<Texts>();
    copy->offsets.reserve(static_cast<size_t>(count) + 1);
    copy->offsets.push_back(0);
    copy->validity.assign(static_cast<size_t>((count + 7) / 8), 0);
    int64_t total = 0;
    for (int64_t i = 0; i < count; ++i) {
        const int32_t code = code_at(i);
        if (code >= 0) {
            total += static_cast<int64_t>(index.value(tag, code).size());
            copy->validity[static_cast<size_t>(i / 8)] |= static_cast<uint8_t>(1 << (i % 8));
        } else {
            ++copy->nulls;
        }
        if (total > INT32_MAX) throw std::length_error("the values of a tag take more than 2 GiB");
        copy->offsets.push_back(static_cast<int32_t>(total));
    }
    copy->text.resize(static_cast<size_t>(total) + 1);
    for (int64_t i = 0; i < count; ++i) {
        const int32_t code = code_at(i);
        if (code < 0) continue;
        const std::string_view value = index.value(tag, code);
        std::memcpy(copy->text.data() + copy->offsets[static_cast<size_t>(i)], value.data(), value.size());
    }
    return copy;
}

ArrowNode node_of(const Texts& texts) {
    ArrowNode node;
    node.format = "u";
    node.length = static_cast<int64_t>(texts.offsets.size()) - 1;
    node.null_count = texts.nulls;
    node.buffers = {texts.nulls == 0 ? nullptr : texts.validity.data(), texts.offsets.data(), texts.text.data()};
    return node;
}

void export_texts(const std::shared_ptr<Texts>& texts, ArrowSchema& schema, ArrowArray& array) {
    const ArrowNode node = node_of(*texts);
    export_schema(node, schema);
    export_array(node, texts, array);
}

// All values of a tag by code, kept for the next one who asks.
std::shared_ptr<Texts> texts_of(const SeriesIndex& index, int tag) {
    SeriesIndex::Exported& last = index.exported(tag);
    const std::lock_guard<std::mutex> held(last.lock);
    const int32_t count = index.code_count(tag);
    if (last.count != count) {
        last.texts = copy_texts(index, tag, count, [](int64_t code) { return static_cast<int32_t>(code); });
        last.count = count;
    }
    return std::static_pointer_cast<Texts>(last.texts);
}

void export_values(const SeriesIndex& index, int tag, ArrowSchema& schema, ArrowArray& array) {
    export_texts(texts_of(index, tag), schema, array);
}

// What an exported column of codes points at.
struct Codes {
    std::vector<int32_t> codes;
    std::vector<uint8_t> validity;
    std::shared_ptr<Texts> texts;
};

ArrowNode node_of(Codes& column, const SeriesIndex& index, int tag, const int32_t* series, int64_t rows) {
    column.codes.resize(static_cast<size_t>(rows));
    ArrowNode node;
    node.format = "i";
    node.flags = ARROW_NULLABLE;
    node.length = rows;
    for (int64_t i = 0; i < rows; ++i) {
        const bool again = i > 0 && series[i] == series[i - 1];  // rows of one series are mostly together
        const int32_t code = again ? column.codes[static_cast<size_t>(i - 1)] : index.code(tag, series[i]);
        column.codes[static_cast<size_t>(i)] = code;
        node.null_count += code < 0 ? 1 : 0;
    }
    if (node.null_count > 0) {
        column.validity.assign(static_cast<size_t>((rows + 7) / 8), 0);
        for (int64_t i = 0; i < rows; ++i) {
            int32_t& code = column.codes[static_cast<size_t>(i)];
            if (code >= 0) column.validity[static_cast<size_t>(i / 8)] |= static_cast<uint8_t>(1 << (i % 8));
            code = code < 0 ? 0 : code;
        }
    }
    column.texts = texts_of(index, tag);  // only now: whatever has a code by then has a text
    node.buffers = {column.validity.empty() ? nullptr : column.validity.data(), column.codes.data()};
    node.dictionary.push_back(node_of(*column.texts));
    return node;
}

void export_columns(const SeriesIndex& index, const std::vector<int32_t>& tags, const int32_t* series, int64_t rows,
                    ArrowSchema& schema, ArrowArray& array) {
    const auto columns = std::make_shared<std::vector<Codes>>(tags.size());
    ArrowNode node;
    node.format = "+s";
    node.length = rows;
    node.buffers = {nullptr};
    for (size_t i = 0; i < tags.size(); ++i) {
        node.children.push_back(node_of((*columns)[i], index, tags[i], series, rows));
        node.children.back().name = std::to_string(i);
    }
    export_schema(node, schema);
    export_array(node, columns, array);
}

void export_values_of(const SeriesIndex& index, int tag, const std::vector<int32_t>& series, ArrowSchema& schema, ArrowArray& array) {
    const auto code_at = [&](int64_t i) { return index.code(tag, series[static_cast<size_t>(i)]); };
    export_texts(copy_texts(index, tag, static_cast<int64_t>(series.size()), code_at), schema, array);
}

}  // namespace flightline
