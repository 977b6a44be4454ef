#include "lines_body.h"

#include <algorithm>

namespace flightline {

BodyTable::BodyTable(std::string name_, std::shared_ptr<const Table> known)
    : name(std::move(name_)),
      table(std::move(known)),
      index(table == nullptr ? nullptr : table->index),
      id(table == nullptr ? 0 : table->id),
      is_plain(name.find_first_of(",\\ ") == std::string::npos),
      added_tags_(std::make_shared<std::vector<std::string>>()),
      field_count_(table == nullptr ? 0 : static_cast<int32_t>(table->fields.size())) {
    begin_part();
}

BodyColumn* BodyTable::find(std::string_view column_name) {
    const uint64_t hash = hash_bytes(column_name);
    const int32_t here = names_.find(column_name, hash);
    if (here != NameMap::NONE) return columns_[static_cast<size_t>(here)].get();
    const int32_t known = table == nullptr ? NameMap::NONE : table->columns.find(column_name, hash);
    if (known == NameMap::NONE) return nullptr;
    const auto tags = static_cast<int32_t>(table->tags.size());
    if (known < tags) return add({std::string(column_name), true, FieldType::STRING, known}, hash);
    return add({std::string(column_name), false, table->fields[static_cast<size_t>(known - tags)].type, known - tags}, hash);
}

void BodyTable::add_tag(std::string_view tag_name) {
    add({std::string(tag_name), true, FieldType::STRING, static_cast<int32_t>(tag_count())}, hash_bytes(tag_name));
    added_tags_->emplace_back(tag_name);
    part->new_tags.emplace_back(tag_name);
}

BodyColumn* BodyTable::add_field(std::string_view field_name, FieldType type) {
    part->new_fields.push_back({std::string(field_name), type});
    return add({std::string(field_name), false, type, field_count_++}, hash_bytes(field_name));
}

BodyColumn* BodyTable::add(BodyColumn column, uint64_t hash) {
    columns_.push_back(std::make_unique<BodyColumn>(std::move(column)));
    BodyColumn* added = columns_.back().get();
    names_.insert(added->name, hash, static_cast<int32_t>(columns_.size()) - 1);
    return added;
}

Column* BodyTable::make_column(BodyColumn& of) {
    part->columns.push_back(std::make_unique<Column>(of.name, of.type, of.position, capacity_));
    in_part_.push_back(&of);
    of.column = part->columns.back().get();
    return of.column;
}

bool BodyTable::grow(double share, int64_t rest, int64_t sparse_left) {
    const int64_t rows = part->rows;
    const int64_t most = (SPARSE_RATIO * bytes + sparse_left) / width();
    const int64_t least = rows + rows / 4 + 1;  // so that growing stays linear
    if (most < least) return false;
    int64_t capacity = rows * 4;
    if (rows >= 64) {
        // as many again as the rest would hold if it went on like this, but not more than the rest justifies
        const auto more = static_cast<int64_t>(static_cast<double>(rows) * share * 1.05) + 16;
        capacity = std::max(rows * 2, rows + std::min(more, rest * 4 / width()));
    }
    capacity = std::max(least, std::min(capacity, most));
    part->series.grow(static_cast<size_t>(capacity) * 4);
    part->times.grow(static_cast<size_t>(capacity) * 8);
    for (auto& column : part->columns) column->reserve(capacity);
    capacity_ = capacity;
    return true;
}

int64_t BodyTable::begin_part() {
    int64_t taken = 0;
    if (part != nullptr) {
        taken = std::max<int64_t>(0, part->rows * width() - SPARSE_RATIO * bytes);
        for (BodyColumn* column : in_part_) column->column = nullptr;
        in_part_.clear();
    }
    part = std::make_shared<TableRows>(name, table == nullptr && part_number == 0, table, added_tags_);
    part->series.grow(FIRST_ROWS * 4);
    part->times.grow(FIRST_ROWS * 8);
    ++part_number;
    capacity_ = FIRST_ROWS;
    bytes = 0;
    expected_count = 0;
    return taken;
}

}  // namespace flightline
