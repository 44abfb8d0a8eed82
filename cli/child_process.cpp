#include "child_process.h"

#ifdef __linux__
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#endif

namespace linnet::cli {

#ifdef __linux__

Result<std::string> run_linnet(const std::vector<std::string>& arguments) {
  int ends[2];
  LINNET_REQUIRE(::pipe2(ends, O_CLOEXEC) == 0, error(Code::io, "cannot make a pipe: ", std::strerror(errno)));
  std::vector<std::string> words = {"linnet"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const int failed = ::posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  std::string output;
  if (failed == 0) {
    char buffer[4096];
    for (ssize_t got = 0; (got = ::read(ends[0], buffer, sizeof buffer)) != 0;) {
      if (got < 0 && errno != EINTR) break;
      if (got > 0) output.append(buffer, static_cast<size_t>(got));
    }
  }
  ::close(ends[0]);
  LINNET_REQUIRE(failed == 0, error(Code::io, "cannot start a process: ", std::strerror(failed)));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  LINNET_REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0, error(Code::io, "'linnet ", arguments[0], "' failed"));
  return output;
}

#else

Result<std::string> run_linnet(const std::vector<std::string>&) {
  return unsupported("processes of their own are not started on this system");
}

#endif

}  // namespace linnet::cli
