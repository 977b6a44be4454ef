#include "lineschema.h"

#include <atomic>
#include <mutex>
#include <stdexcept>

namespace flightline {

namespace {

std::atomic<uint32_t> next_table_id{1};

}  // namespace

Table::Table(uint32_t id_, std::string name_, std::vector<std::string> tags_, std::vector<Field> fields_,
             std::shared_ptr<SeriesIndex> index_)
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
    size_t total = sizeof(*this) + name.capacity() + columns.memory_bytes() + tags.capacity() * sizeof(std::string) +
                   fields.capacity() * sizeof(Field);
    for (const std::string& tag : tags) total += tag.capacity();
    for (const Field& field : fields) total += field.name.capacity();
    return total;
}

void LineSchema::put_table(std::string name, std::vector<std::string> tags, std::vector<Field> fields, std::shared_ptr<SeriesIndex> index) {
    if (index->tag_count() < static_cast<int>(tags.size())) {
        throw std::invalid_argument("the index of table '" + name + "' has fewer tags than the table");
    }
    std::unique_lock lock(mutex_);
    const auto before = tables_.find(name);
    const bool widened = before != tables_.end() && before->second->index == index;
    const uint32_t id = widened ? before->second->id : next_table_id++;
    auto table = std::make_shared<const Table>(id, std::move(name), std::move(tags), std::move(fields), std::move(index));
    if (before != tables_.end()) tables_.erase(before);
    tables_.emplace(table->name, table);
}

void LineSchema::drop_table(std::string_view name) {
    std::unique_lock lock(mutex_);
    tables_.erase(name);
}

std::shared_ptr<const Table> LineSchema::find(std::string_view name) const {
    std::shared_lock lock(mutex_);
    const auto found = tables_.find(name);
    return found == tables_.end() ? nullptr : found->second;
}

size_t LineSchema::memory_bytes() const {
    std::shared_lock lock(mutex_);
    const size_t entry = sizeof(decltype(tables_)::value_type) + 2 * sizeof(void*);
    size_t total = sizeof(*this) + tables_.bucket_count() * sizeof(void*) + tables_.size() * entry;
    for (const auto& [name, table] : tables_) total += table->memory_bytes();
    return total;
}

}  // namespace flightline
