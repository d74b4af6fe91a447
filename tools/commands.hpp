// The subcommands of ffmem, one file each. Each function adds its subcommand, with options, help and callback, to the app.
#pragma once

namespace CLI {
class App;
}

namespace ffmem::tools {

void add_info(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_generate(CLI::App& app);
void add_perplexity(CLI::App& app);
void add_bench(CLI::App& app);
void add_capture(CLI::App& app);
void add_trace(CLI::App& app);
void add_triggers(CLI::App& app);
void add_merge(CLI::App& app);
void add_show(CLI::App& app);
void add_values(CLI::App& app);
void add_report(CLI::App& app);
void add_experiment(CLI::App& app);
void add_export(CLI::App& app);
void add_suite(CLI::App& app);

}  // namespace ffmem::tools
