// The command line of Linnet: one file a command in commands/.
#include <cstdio>
#include <exception>
#include <string_view>

#include "base/nearest_name.h"
#include "base/result.h"
#include "commands/command.h"

// "there is no option '--ouptut'; did you mean '--output'?", or what else the command does not know; nothing where it
// knows all.
static std::string what_is_unknown(const CLI::App& command) {
  std::string others;
  for (const std::string& argument : command.remaining()) {
    if (argument.size() < 2 || argument[0] != '-') {
      others += (others.empty() ? "'" : ", '") + argument + "'";
      continue;
    }
    std::vector<std::string> options;
    for (const CLI::Option* option : command.get_options())
      if (option->nonpositional()) options.push_back("--" + option->get_single_name());
    const std::vector<std::string_view> names(options.begin(), options.end());
    const std::string name = argument.substr(0, argument.find('='));
    return linnet::concat("there is no option '", name, "'", linnet::did_you_mean(name, names));
  }
  return others.empty() ? others : "not expected: " + others;
}

// One sentence for arguments that do not parse. What is unknown comes first: it may be what is missing, misspelt.
static std::string what_failed(const CLI::App* app, const CLI::Error& error) {
  std::string command = "linnet";
  for (auto given = app->get_subcommands(); !given.empty(); given = app->get_subcommands()) {
    app = given.front();
    command += " " + app->get_name();
  }
  std::string sentence = what_is_unknown(*app);
  if (sentence.empty()) sentence = error.what();
  return linnet::concat(command, ": ", sentence, sentence.ends_with('?') ? " " : "; ", command, " --help tells more\n");
}

struct Command {
  std::string_view name;
  void (*add)(CLI::App& app, int& exit_code);
};

static constexpr Command kCommands[] = {
    {"run", linnet::cli::add_run},           {"inspect", linnet::cli::add_inspect},
    {"profile", linnet::cli::add_profile},   {"dump", linnet::cli::add_dump},
    {"diff", linnet::cli::add_diff},         {"check", linnet::cli::add_check},
    {"bench", linnet::cli::add_bench},       {"compile", linnet::cli::add_compile},
    {"optimize", linnet::cli::add_optimize}, {"quantize", linnet::cli::add_quantize},
    {"tune", linnet::cli::add_tune}};

// Only the command that is asked for, or all where none is: describing the options of all of them takes as long as the
// whole run of a small model. False where there is no such command.
static bool add_commands(CLI::App& app, std::string_view asked, int& exit_code) {
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
    std::vector<std::string_view> names;
    for (const Command& command : kCommands) names.push_back(command.name);
    std::fprintf(stderr, "linnet: there is no command '%s'%s linnet --help lists them\n", argv[1],
                 linnet::did_you_mean(argv[1], names).empty() ? ";" : linnet::did_you_mean(argv[1], names).c_str());
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
