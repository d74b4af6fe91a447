// The model that a trigger store was searched with.
#pragma once

#include <filesystem>
#include <memory>

#include "runtime/model.hpp"
#include "tools/options.hpp"
#include "tools/trigger_store.hpp"
#include "tools/value_table.hpp"

namespace ffmem::tools {

/// `asked` where it is given, else the folder that the store names (as it was given to the search, so seen from the working
/// folder of then) if a model is there; else empty.
std::filesystem::path find_model_folder(const std::filesystem::path& asked, const TriggerStore& store);

/// The store's model, with the weights held as in the search. Throws file_not_found where there is none, store_invalid for
/// another model, and what loading throws.
std::shared_ptr<const Model> load_model_of(const TriggerStore& store, ModelArguments arguments);

/// Throws store_invalid, naming `file`, where these values are not of the store's model with its weights held as in the search,
/// are not negated as its examples' coefficients ask for, or have tokens beyond its vocabulary.
void check_values_of(const TriggerStore& store, const ValueTable& values, const std::filesystem::path& file);

}  // namespace ffmem::tools
