#include "lineschema.h"

#include <mutex>
#include <stdexcept>

namespace flightline {

namespace {

std::atomic<uint32_t> next_table_id{1};

}  // namespace

Table::Table(uint32_t id_, std::string name_, std::vector<std::string> tags_, std::vector<Field> fields_, std::shared_ptr<SeriesIndex> index_)
    : id(id_), name(std::move(name_)), tags(std::move(tags_)), fields(std::move(fields_)), index(std::move(index_)) {
    int32_t number = 0;
    for (const std::string& tag : tags) {
        if (columns.find(tag) != NameMap::NONE) throw std::invalid_argument("column '" + tag + "' occurs twice");
        columns.insert(tag, number++);
    }
    for (const Field& field : fields) {
        if (columns.find(field.name) != NameMap::NONE) throw std::invalid_argument("column '" + field.name + "' occurs twice");
        columns.insert(field.name, number++);
    }
}

size_t Table::memory_bytes() const {
    size_t total = sizeof(*this) + name.capacity() + columns.memory_bytes() + tags.capacity() * sizeof(std::string) + fields.capacity() * sizeof(Field);
    for (const std::string& tag : tags) total += tag.capacity();
    for (const Field& field : fields) total += field.name.capacity();
    return total;
}

LineSchema::~LineSchema() = default;

void LineSchema::put_table(std::string name, std::vector<std::string> tags, std::vector<Field> fields, std::shared_ptr<SeriesIndex> index) {
    if (index->tag_count() < static_cast<int>(tags.size())) throw std::invalid_argument("the index of table '" + name + "' has fewer tags than the table");
    std::unique_lock lock(mutex_);
    const int32_t at = names_.find(name);
    const std::shared_ptr<const Table> before = at == NameMap::NONE ? nullptr : tables_[static_cast<size_t>(at)];
    const bool same = before != nullptr && before->index == index;
    auto table = std::make_shared<Table>(same ? before->id : next_table_id++, std::move(name), std::move(tags), std::move(fields), std::move(index));
    if (at != NameMap::NONE) {
        tables_[static_cast<size_t>(at)] = std::move(table);
        return;
    }
    spellings_.push_back(std::make_unique<std::string>(table->name));
    tables_.push_back(std::move(table));
    names_.insert(*spellings_.back(), static_cast<int32_t>(tables_.size()) - 1);
}

void LineSchema::drop_table(std::string_view name) {
    std::unique_lock lock(mutex_);
    const int32_t at = names_.find(name);
    if (at != NameMap::NONE) tables_[static_cast<size_t>(at)] = nullptr;
}

std::shared_ptr<const Table> LineSchema::find(std::string_view name) const {
    std::shared_lock lock(mutex_);
    const int32_t at = names_.find(name);
    return at == NameMap::NONE ? nullptr : tables_[static_cast<size_t>(at)];
}

size_t LineSchema::memory_bytes() const {
    std::shared_lock lock(mutex_);
    size_t total = sizeof(*this) + names_.memory_bytes() + tables_.capacity() * sizeof(tables_[0]);
    for (const auto& spelling : spellings_) total += sizeof(std::string) + spelling->capacity() + sizeof(void*);
    for (const auto& table : tables_) total += table == nullptr ? 0 : table->memory_bytes();
    return total;
}

}  // namespace flightline
