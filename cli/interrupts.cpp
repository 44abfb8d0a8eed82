#include "interrupts.h"

#include <csignal>

namespace linnet::cli {
namespace {

StopToken interrupted;

void interrupt(int signal) {
  interrupted.request_stop();
  std::signal(signal, SIG_DFL);
}

}  // namespace

const StopToken& stop_on_interrupt() {
  [[maybe_unused]] static const bool once = [] {
    std::signal(SIGINT, interrupt);
    std::signal(SIGTERM, interrupt);
    return true;
  }();
  return interrupted;
}

}  // namespace linnet::cli
