// The command line of Linnet: one file a command in commands/.
#include <cstdio>
#include <exception>

#include "commands/command.h"

// One sentence for arguments that do not parse.
static std::string what_failed(const CLI::App* app, const CLI::Error& error) {
  std::string command = "linnet";
  for (const CLI::App* sub : app->get_subcommands()) command += " " + sub->get_name();
  return command + ": " + error.what() + "; " + command + " --help tells more\n";
}

int main(int argc, char** argv) {
  CLI::App app{"Linnet runs ONNX models on this machine."};
  app.name("linnet");
  app.require_subcommand(1);
  app.set_version_flag("--version", LINNET_VERSION);
  app.failure_message(what_failed);
  int exit_code = linnet::cli::kSuccess;
  linnet::cli::add_run(app, exit_code);
  linnet::cli::add_inspect(app, exit_code);
  linnet::cli::add_profile(app, exit_code);
  linnet::cli::add_dump(app, exit_code);
  linnet::cli::add_diff(app, exit_code);
  linnet::cli::add_check(app, exit_code);
  linnet::cli::add_bench(app, exit_code);
  linnet::cli::add_compile(app, exit_code);
  linnet::cli::add_optimize(app, exit_code);
  linnet::cli::add_quantize(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? linnet::cli::kSuccess : linnet::cli::kError;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "linnet: %s\n", e.what());
    return linnet::cli::kError;
  }
  return exit_code;
}
