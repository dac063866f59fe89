#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/nearest.h"
#include "cli/numbers.h"
#include "cli/output.h"
#include "cli/signals.h"
#include "rheo/version.h"

namespace rheo::cli {

namespace {

struct Command {
  const char* name;
  const char* summary;
  Run (*add)(CLI::App& app);
};

constexpr Command kCommands[] = {
    {"train", "Train a model on images or vectors, or go on with a run", add_train},
    {"sample", "Draw images or vectors from a model", add_sample},
    {"score", "log p of images, and their mean in bits per dimension; of vectors in nats",
     add_score},
    {"encode", "Images or vectors to latents", add_encode},
    {"decode", "Latents to images or vectors", add_decode},
    {"interpolate", "What lies on the way from one image or vector to another", add_interpolate},
    {"reconstruct", "Encode images or vectors, decode them, and tell what came back",
     add_reconstruct},
    {"info", "Check a checkpoint and describe its model", add_info},
    {"verify", "Say whether a checkpoint or a run is whole, part by part", add_verify},
    {"toy", "Points of a two-dimensional distribution, to look at", add_toy},
};

/// The flag, or else the word, that nothing expects; empty where there is none. CLI11 puts the
/// value of a flag before it.
std::string unexpected(const CLI::App& app) {
  const auto words = app.remaining(true);
  if (app.get_subcommands().empty()) return words.empty() ? std::string() : words.front();
  const auto flag = std::find_if(words.begin(), words.end(),
                                 [](const std::string& word) { return word.starts_with('-'); });
  if (flag != words.end()) return flag->substr(0, flag->find('='));
  return words.empty() ? std::string() : words.front();
}

/// What an unknown flag or command may have been meant to be.
std::string meant(const std::string& unknown, const CLI::App* chosen) {
  std::vector<std::string> known;
  if (chosen)
    for (const CLI::Option* option : chosen->get_options())
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  else
    for (const Command& command : kCommands) known.emplace_back(command.name);
  known.insert(known.end(), {"--help", "--version"});
  return unknown.empty() ? unknown : suggestion(unknown, known);
}

int misused(const CLI::App& app, const CLI::ParseError& error) {
  const auto chosen = app.get_subcommands();
  const CLI::App* command = chosen.empty() ? nullptr : chosen.front();
  const std::string unknown = unexpected(app);
  std::string text = error.what();
  if (dynamic_cast<const CLI::ExtrasError*>(&error) && !unknown.empty())
    text = fmt::format("no such {}: {}",
                       unknown[0] == '-' ? "option"
                       : command         ? "argument"
                                         : "command",
                       unknown);
  return report(fmt::format("{}{} (see rheo{} --help)", text, meant(unknown, command),
                            command ? " " + command->get_name() : ""),
                kUsage);
}

/// An empty word is most likely a shell variable without a value, and CLI11 takes it for zero.
void require_no_empty_word(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool unfinished = word.starts_with("--") && word.ends_with('=');
    if (word.empty() || unfinished)
      misuse(unfinished ? argv[i]
             : i > 1    ? argv[i - 1]
                        : "rheo",
             "must not be followed by an empty word; leave it out or give a value");
  }
}

int run(int argc, char** argv) {
  CLI::App app(
      "Train normalizing flows, Glow and its family, on images or vectors, and sample, score and "
      "encode with them.",
      "rheo");
  app.set_version_flag("--version", std::string("rheo ") + version());
  std::map<const CLI::App*, Run> runs;
  for (const Command& command : kCommands) {
    CLI::App* subcommand = app.add_subcommand(command.name, command.summary);
    runs[subcommand] = command.add(*subcommand);
    require_plain_numbers(*subcommand);
  }
  try {
    require_no_empty_word(argc, argv);
    app.parse(argc, argv);
    const auto chosen = app.get_subcommands();
    if (chosen.size() != 1) throw CLI::RequiredError("one subcommand");
    return runs.at(chosen.front())();
  } catch (const CLI::CallForHelp&) {
    print(app.help());
    return kDone;
  } catch (const CLI::CallForVersion& version_text) {
    print(std::string(version_text.what()) + "\n");
    return kDone;
  } catch (const CLI::ParseError& error) {
    return misused(app, error);
  } catch (const Stopped&) {
    return report("stopped by a signal before there was anything to save",
                  kSignal + stop_requested());
  } catch (const std::exception& error) {
    return report(error);
  }
}

/// Results that did not get out are a failure, but not the first one to tell of.
int finish(int code) {
  try {
    flush_results();
  } catch (const Error& error) {
    if (code == kDone) return report(error);
  }
  return code;
}

/// Starts the program again with threads that sleep while they wait for one another, unless its
/// user has chosen. The OpenMP runtime reads this before main begins, and by default spins: beside
/// one other busy process on two cores that made training several times slower (docs/results.md).
void wait_asleep(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  std::error_code none;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", none);
  if (none || setenv("OMP_WAIT_POLICY", "passive", 1) != 0) return;
  execv(self.c_str(), argv);  // returns only where it failed: then they spin
}

}  // namespace

}  // namespace rheo::cli

int main(int argc, char** argv) {
  rheo::cli::wait_asleep(argv);
  rheo::cli::guard_standard_descriptors();
  rheo::cli::ignore_write_signals();
  return rheo::cli::finish(rheo::cli::run(argc, argv));
}
