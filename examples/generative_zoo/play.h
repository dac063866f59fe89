#pragma once

#include "examples/generative_zoo/game.h"
#include "examples/generative_zoo/record.h"

namespace zoo {

/// Plays a game on the moons or the digits and keeps what the page shows of it in `record`.
void play(const Request& request, Record& record, const Data& data, const Divergence& divergence,
          int updates);

}  // namespace zoo
