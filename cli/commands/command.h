// A subcommand of `linnet`: its options and what it does. One file each in this folder.
#pragma once

#include <CLI/CLI.hpp>

namespace linnet::cli {

// Exit codes of every command.
inline constexpr int kSuccess = 0;
inline constexpr int kFailed = 1;  // the work was done, and its answer is no: a check that fails, models that differ
inline constexpr int kError = 2;   // the work could not be done; one sentence on stderr says why
inline constexpr int kInterrupted = 130;  // by the user, as shells say it

// Each adds its subcommand to `app` and stores the exit code of its run in `exit_code`.
void add_check(CLI::App& app, int& exit_code);
void add_bench(CLI::App& app, int& exit_code);
void add_compile(CLI::App& app, int& exit_code);
void add_diff(CLI::App& app, int& exit_code);
void add_dump(CLI::App& app, int& exit_code);
void add_inspect(CLI::App& app, int& exit_code);
void add_optimize(CLI::App& app, int& exit_code);
void add_profile(CLI::App& app, int& exit_code);
void add_quantize(CLI::App& app, int& exit_code);
void add_run(CLI::App& app, int& exit_code);
void add_tune(CLI::App& app, int& exit_code);

}  // namespace linnet::cli
