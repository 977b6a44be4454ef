#include "rows.h"

#include <stdexcept>

namespace flightline::encode {

namespace {

struct Specials {
    bool is[256] = {};
    constexpr Specials() { is[','] = is['"'] = is['\r'] = is['\n'] = true; }
};
constexpr Specials SPECIALS;

// E4. What was written since `begin` becomes a quoted cell where it has to be one.
void quote_if_needed(Text& out, size_t begin) {
    const std::string_view cell = out.view(begin);
    bool any = false;
    for (const char c : cell) any |= SPECIALS.is[static_cast<unsigned char>(c)];
    if (!any) return;
    std::string quoted = "\"";
    for (const char c : cell) {
        if (c == '"') quoted.push_back('"');
        quoted.push_back(c);
    }
    quoted.push_back('"');
    out.truncate(begin);
    out.put(quoted);
}

std::string header_of(const std::vector<std::unique_ptr<Column>>& columns) {
    Text out;
    for (size_t number = 0; number < columns.size(); ++number) {
        if (number > 0) out.put(',');
        const size_t begin = out.size();
        out.put(columns[number]->name());
        quote_if_needed(out, begin);
    }
    if (columns.size() == 1 && out.size() == 0) out.put("\"\"");
    out.put('\n');
    return std::string(out.view());
}

}  // namespace

Encoder::Encoder(const ArrowSchema& schema, Form form, ZoneOffset zone_offset)
    : form_(form), zone_offset_(std::move(zone_offset)) {
    if (std::strcmp(schema.format, "+s") != 0) throw std::invalid_argument("a schema is a struct");
    const bool json = form == Form::JSON || form == Form::JSON_LINES;
    for (int64_t number = 0; number < schema.n_children; ++number) {
        columns_.push_back(make_column(*schema.children[number], json, zone_offset_));
        Text key;
        key.put(',');
        put_json_string(key, columns_.back()->name());
        key.put(':');
        keys_.emplace_back(key.view());
    }
    if (form == Form::CSV) header_ = header_of(columns_);
}

void Encoder::bind(const ArrowArray& batch) {
    if (batch.n_children != static_cast<int64_t>(columns_.size())) throw std::invalid_argument("a batch of another schema");
    for (size_t number = 0; number < columns_.size(); ++number) {
        if (batch.children[number]->length < batch.offset + batch.length) throw std::invalid_argument("a column that is too short");
        columns_[number]->bind(*batch.children[number]);
    }
}

int64_t Encoder::encode(const ArrowArray& batch, int64_t row, Text& out) {
    if (row < 0 || row > batch.length) throw std::invalid_argument("no such row");
    bind(batch);
    out.put(header_);
    header_.clear();
    while (row < batch.length && out.size() < PIECE_BYTES) {
        const int64_t place = batch.offset + row++;
        if (form_ == Form::CSV) {
            put_line(out, place);
            continue;
        }
        if (form_ == Form::JSON) out.put(begun_ ? ',' : '[');
        begun_ = true;
        put_object(out, place);
        if (form_ == Form::JSON_LINES) out.put('\n');
    }
    return row;
}

void Encoder::end(Text& out) {
    if (form_ == Form::JSON) out.put(begun_ ? std::string_view("]") : std::string_view("[]"));
}

void Encoder::cell(size_t column, int64_t row, Text& out) const {
    if (!columns_[column]->is_null(row)) columns_[column]->put(out, row);
}

void Encoder::put_object(Text& out, int64_t row) const {
    const size_t begin = out.size();
    for (size_t number = 0; number < columns_.size(); ++number) {
        if (columns_[number]->is_null(row)) continue;  // E2
        out.put(keys_[number]);
        columns_[number]->put(out, row);
    }
    if (out.size() == begin) {
        out.put("{}");
        return;
    }
    out.data()[begin] = '{';  // in place of the first key's comma
    out.put('}');
}

void Encoder::put_line(Text& out, int64_t row) const {
    const size_t line = out.size();
    for (size_t number = 0; number < columns_.size(); ++number) {
        const Column& column = *columns_[number];
        if (number > 0) out.put(',');
        if (column.is_null(row)) continue;
        const size_t begin = out.size();
        column.put(out, row);
        if (column.may_need_quotes()) quote_if_needed(out, begin);
    }
    if (columns_.size() == 1 && out.size() == line) out.put("\"\"");
    out.put('\n');
}

}  // namespace flightline::encode
