// The command line of Linnet: one file a command in commands/.
#include <cstdio>
#include <exception>
#include <string_view>

#include "commands/command.h"

// One sentence for arguments that do not parse.
static std::string what_failed(const CLI::App* app, const CLI::Error& error) {
  std::string command = "linnet";
  for (const CLI::App* sub : app->get_subcommands()) command += " " + sub->get_name();
  return command + ": " + error.what() + "; " + command + " --help tells more\n";
}

struct Command {
  std::string_view name;
  void (*add)(CLI::App& app, int& exit_code);
};

// Only the command that is asked for, or all where none is: describing the options of all of them takes as long as the
// whole run of a small model. False where there is no such command.
static bool add_commands(CLI::App& app, std::string_view asked, int& exit_code) {
  using namespace linnet::cli;
  static constexpr Command kCommands[] = {
      {"run", add_run},           {"inspect", add_inspect},   {"profile", add_profile}, {"dump", add_dump},
      {"diff", add_diff},         {"check", add_check},       {"bench", add_bench},     {"compile", add_compile},
      {"optimize", add_optimize}, {"quantize", add_quantize}, {"tune", add_tune}};
  const bool all = asked.empty() || asked.front() == '-';
  bool any = false;
  for (const Command& command : kCommands)
    if (all || command.name == asked) {
      command.add(app, exit_code);
      any = true;
    }
  return any;
}

int main(int argc, char** argv) {
  CLI::App app{"Linnet runs ONNX models on this machine."};
  app.name("linnet");
  app.require_subcommand(1);
  app.set_version_flag("--version", LINNET_VERSION);
  app.failure_message(what_failed);
  int exit_code = linnet::cli::kSuccess;
  if (!add_commands(app, argc > 1 ? argv[1] : "", exit_code)) {
    std::fprintf(stderr, "linnet: there is no command '%s'; linnet --help lists them\n", argv[1]);
    return linnet::cli::kError;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? linnet::cli::kSuccess : linnet::cli::kError;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "linnet: %s\n", e.what());
    return linnet::cli::kError;
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout)) {
    std::fprintf(stderr, "linnet: the output could not be written\n");
    return linnet::cli::kError;
  }
  return exit_code;
}
