// Every exported function with arguments that it was not made for: a rheo::Error or a result, and
// never another exception or the end of the process. What is drawn is a function of a seed;
// RHEO_MISUSE=FROM:COUNT has other seeds than the few of a short run (tests/soak/misuse.py).

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <climits>
#include <cstdlib>
#include <functional>
#include <random>
#include <thread>

#include "tests/support/files.h"
#include "tests/support/models.h"

namespace rheo::test {
namespace {

/// Draws what no caller should pass, among what some do.
class Drawn {
 public:
  explicit Drawn(unsigned seed) : random_(seed) {}

  template <class T>
  T of(std::initializer_list<T> values) {
    return values.begin()[random_() % values.size()];
  }
  int integer() { return of({INT_MIN, -1, 0, 1, 2, 3, 4, 9, 65537, INT_MAX}); }
  /// None in between, which some machine may have the memory for.
  std::int64_t count() {
    return of<std::int64_t>({LLONG_MIN, -1, 0, 1, 2, 3, std::int64_t{1} << 50, LLONG_MAX});
  }
  std::uint64_t seed() { return of<std::uint64_t>({0, 1, ULLONG_MAX}); }
  double number() {
    constexpr double kInf = INFINITY;
    return of<double>({0., -0., 1., -1., 0.5, NAN, kInf, -kInf, 1e308, -1e308, 5e-324, 1e30});
  }
  template <class E>
  E word() {
    return static_cast<E>(of({0, 1, 2, 3, -1, 99, INT_MAX}));
  }
  std::string text() {
    return of<std::string>({"", "x", "cuda:-1", "cuda:99999999999", "auto ", "cpu\n", "{}", "[",
                            "{\"steps\":1e400}", std::string(3, '\0'), std::string(5000, 'y'),
                            "\xff\xfe", "%s%n"});
  }
  Shape shape() {
    Shape shape(random_() % 6);
    for (std::int64_t& extent : shape)
      extent = of<std::int64_t>({0, 1, 2, 3, 4, -1, LLONG_MAX, LLONG_MIN, std::int64_t{1} << 33});
    return shape;
  }
  /// Of the right shape and not, with as many values as it says and not.
  template <class T>
  Array<T> array(const Shape& right) {
    Array<T> array{of({0, 1}) ? right : shape(), {}};
    std::size_t values = random_() % 200;
    if (of({0, 1, 1})) {
      values = 1;
      for (std::int64_t extent : array.shape)
        values = extent >= 0 && extent < 100 ? values * static_cast<std::size_t>(extent) : 0;
    }
    if (values > 100000) values = 0;
    for (std::size_t i = 0; i < values; ++i) array.data.push_back(static_cast<T>(value<T>()));
    return array;
  }
  Labels labels() {
    Labels labels(random_() % 4);
    for (int& label : labels) label = integer();
    return labels;
  }

 private:
  template <class T>
  T value() {
    if constexpr (std::is_floating_point_v<T>)
      return random_() % 50 ? T(0.25) : static_cast<T>(of({NAN, INFINITY, -1e30f, 1e-40f}));
    else
      return static_cast<T>(random_());
  }
  std::mt19937 random_;
};

class MisuseTest : public testing::Test {
 protected:
  MisuseTest() {
#ifndef __SANITIZE_ADDRESS__  // which needs the address space for itself
    // So that what is too large is refused by the system, whatever it has.
    const rlimit limit{rlim_t{6} << 30, RLIM_INFINITY};
    ::setrlimit(RLIMIT_AS, &limit);
#endif
    model_.save(good_);
    write_npy(folder_ / "x.npy", data_.images());
    write_png(folder_ / "x.png", {{1, 4, 4, 3}, Bytes(48)});
    std::filesystem::current_path(folder_.path());  // where a path that is cut would lead
  }

  /// f on what is drawn with each seed.
  void each(unsigned count, const std::function<void(Drawn&)>& f) {
    unsigned from = 0;
    if (const char* asked = std::getenv("RHEO_MISUSE")) std::sscanf(asked, "%u:%u", &from, &count);
    for (unsigned seed = from; seed < from + count; ++seed) {
      Drawn drawn(seed);
      try {
        f(drawn);
      } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()), "");
      } catch (const std::exception& error) {
        FAIL() << "seed " << seed << ": " << error.what();
      }
    }
  }

  std::string path(Drawn& d) {
    return d.of<std::string>({"", "/", "/no/such/file", "/dev/null", "/dev/full", folder_.path(),
                              good_, folder_ / "x.npy", folder_ / "x.png", folder_ / "new",
                              std::string("a\0b", 3), std::string(5000, 'p'), "/proc/self/mem"});
  }

  static ModelConfig tiny() {
    return {.height = 4, .width = 4, .channels = 3, .levels = 1, .steps = 1, .hidden = 4};
  }
  static Compute one() {
    return {.device = Device::cpu(1), .precision = Precision::f32, .memory = Memory::automatic};
  }

  const TemporaryFolder folder_;
  const std::string good_ = folder_ / "model.safetensors";
  Model model_ = random_model(tiny(), one());
  const Dataset data_{quantize(noise_images(tiny(), 6), 8)};
};

TEST_F(MisuseTest, OfConfigurations) {
  each(3000, [&](Drawn& d) {
    ModelConfig c;
    c.height = d.integer(), c.width = d.of({c.height, d.integer()}), c.channels = d.integer();
    c.levels = d.of({0, 1, 2, 31, d.integer()}), c.steps = d.integer(), c.hidden = d.integer();
    c.classes = d.integer(), c.n_bits = d.integer();
    c.coupling = d.word<Coupling>(), c.scale = d.word<Scale>(), c.family = d.word<Family>();
    c.permutation = d.word<Permutation>(), c.prior = d.word<Prior>();
    switch (d.of({0, 1, 2, 3, 4})) {
      case 0:
        return c.validate();
      case 1:
        return (void)ModelConfig::from_json(c.to_json());
      case 2:
        return (void)ModelConfig::of_vectors(d.word<Family>(), d.integer()).validate();
      case 3:
        return (void)ModelConfig::from_json(d.text());
    }
    family_name(c.family), family_names();
    mean_score({d.number(), d.number()}, c), bits_per_dim(d.number(), d.count(), d.integer());
  });
}

TEST_F(MisuseTest, OfDevices) {
  each(300, [&](Drawn& d) {
    const int threads = d.integer();
    const Device device = d.of({0, 1})   ? Device::from_name(d.text(), threads)
                          : d.of({0, 1}) ? Device::cuda(threads)
                                         : Device::cpu(threads);
    device.name(), device.description(), device.instruction_set();
  });
}

TEST_F(MisuseTest, OfModels) {
  const auto drawn = model_.sample(2).data;
  each(4000, [&](Drawn& d) {
    const Tensor x = d.array<float>({2, 4, 4, 3}), latents = d.array<float>({2, 48});
    switch (d.of({0, 1, 2, 3, 4, 5, 6, 7, 8})) {
      case 0:
        return (void)model_.log_prob(x, d.labels());
      case 1:
        return (void)model_.encode(x, d.labels());
      case 2:
        return (void)model_.decode(latents, d.labels());
      case 3:
        return (void)model_.sample(d.count(),
                                   {d.seed(), d.number(), d.labels(), d.count(), d.integer()});
      case 4:
        return (void)model_.encode_steps(latents, d.integer());
      case 5:
        return (void)model_.decode_steps(latents, d.integer());
      case 6:
        return (void)model_.plan(d.integer());
      case 7:
        return model_.save(path(d));
    }
    Model other(tiny(), d.seed(), {Device::cpu(1), d.word<Precision>(), d.word<Memory>()});
    other.initialize(x);
    other.sample(1);
  });
  EXPECT_EQ(model_.sample(2).data, drawn) << "after all these errors";
  EXPECT_EQ(model_.config(), tiny());
  EXPECT_TRUE(model_.initialized() && model_.parameter_count() > 0);
  EXPECT_EQ(model_.compute().precision, Precision::f32);
}

TEST_F(MisuseTest, OfFiles) {
  each(1500, [&](Drawn& d) {
    const std::string file = path(d);
    switch (d.of({0, 1, 2, 3, 4, 5, 6, 7, 8})) {
      case 0:
        return (void)Model::load(file, one());
      case 1:
        return (void)inspect_checkpoint(file);
      case 2:
        return (void)inspect_state(file);
      case 3:
        return (void)read_npy(file);
      case 4:
        return (void)read_labels(file);
      case 5:
        return (void)read_image(file, d.count());
      case 6:
        return write_npy(d.of<std::string>({folder_ / "y.npy", "", "/no/y.npy"}),
                         d.array<float>({2, 3}));
      case 7:
        return write_png(d.of<std::string>({folder_ / "y.png", "", "/no/y.png"}),
                         d.array<std::uint8_t>({1, 2, 2, 3}));
    }
    // No more than a file: all that lies in /proc or / would take a while.
    const std::string data = d.of<std::string>({"", "/no", good_, folder_ / "x.npy", "/dev/null"});
    Dataset::open(data, {d.integer(), d.integer(), d.word<Fit>(), path(d), d.count()});
  });
}

TEST_F(MisuseTest, OfDataAndPictures) {
  each(4000, [&](Drawn& d) {
    const Pixels pixels = d.array<std::uint8_t>({2, 4, 4, 3});
    Tensor points = d.array<float>({5, 2});
    switch (d.of({0, 1, 2, 3, 4, 5, 6, 7})) {
      case 0:
        return (void)dequantize(pixels, d.integer(), {d.of({false, true}), d.seed()}, d.count());
      case 1:
        return (void)quantize(points, d.integer());
      case 2:
        return (void)image_grid(pixels, d.integer());
      case 3:
        return (void)toy_points(d.word<Toy>(), d.count(), d.seed(), d.number());
      case 4:
        toy_names(), usual_noise(d.word<Toy>()), version();
        return (void)toy_from_name(d.text());
      case 5:
        if (d.of({0, 1})) return (void)standardise(points);
        return standardise(points, {{d.number()}, {d.number(), d.number()}});
      case 6:
        return (void)Dataset(points).slice(d.count(), d.count()).fingerprint();
    }
    const Dataset data(pixels, d.labels());
    data.slice(d.count(), d.count()), data.fingerprint();
    score(model_, data, {d.of({false, true}), d.seed()});
  });
}

TEST_F(MisuseTest, OfTraining) {
  each(600, [&](Drawn& d) {
    TrainOptions o{.steps = 2, .batch = 2, .init_images = 4};
    for (int changes = d.of({1, 1, 2}); changes > 0; --changes) switch (d.of({0, 1, 2, 3, 4, 5})) {
        case 0:
          o.steps = d.count(), o.batch = d.of({0, -1, 1, 3, 65537, INT_MAX});
          break;
        case 1:
          o.accumulate = d.of({0, -1, 2, INT_MAX}), o.optimizer = d.word<Optimizer>();
          break;
        case 2:
          o.learning_rate = d.number(), o.beta1 = d.number(), o.beta2 = d.number();
          break;
        case 3:
          o.epsilon = d.number(), o.clip_norm = d.number(), o.average = d.number();
          break;
        case 4:
          o.warmup_images = d.count(), o.schedule = d.word<Schedule>(), o.shift = d.integer();
          break;
        case 5:
          o.init_images = d.integer(), o.loader_threads = d.of({0, 1, 2, 65, INT_MAX});
      }
    if (d.of({0, 1, 2}) == 0) return (void)TrainOptions::from_json(o.to_json());
    if (d.of({0, 1, 2}) == 0) return (void)TrainOptions::from_json(d.text());
    if (d.of({0, 1, 2}) == 0) return (void)plan_training(model_, o, d.word<Memory>());
    o.validate();
    Trainer trainer(Model(tiny(), 1, one()), data_, o);
    trainer.step();
    trainer.save(d.of({folder_.path(), folder_ / "none", std::string()}));
    if (d.of({0, 1})) trainer.roll_back(folder_.path());
    trainer.step(), trainer.model().sample(1), trainer.release();
    Trainer::resume(d.of({folder_.path(), folder_ / "none"}), data_, one(), d.of({false, true}));
  });
}

TEST_F(MisuseTest, OfWhatWasMovedFrom) {
  Model model = random_model(tiny(), one()), taken = std::move(model);
  TrainOptions o{.steps = 2, .batch = 2, .init_images = 4};
  Trainer trainer(std::move(taken), data_, o);
  trainer.release();
  Dataset moved = data_.slice(0, 2);
  const Dataset kept = std::move(moved);
  const std::vector<std::function<void()>> calls = {
      [&] { model.sample(1); },
      [&] { model.save(good_); },
      [&] { model.plan(); },
      [&] { model.config(); },
      [&] { model.compute(); },
      [&] { model.initialized(); },
      [&] { model.parameter_count(); },
      [&] { score(model, data_); },
      [&] { plan_training(model, {}); },
      [&] { Trainer(std::move(model), data_, o); },
      [&] { trainer.step(); },
      [&] { trainer.model(); },
      [&] { trainer.release(); },
      [&] { trainer.save(folder_.path()); },
      [&] { trainer.options(); },
      [&] { trainer.plan(); },
      [&] { trainer.steps_done(); },
      [&] { trainer.last_update(); },
      [&] { trainer.rollbacks(); },
      [&] { trainer.roll_back(folder_.path()); },
      [&] { moved.slice(0, 1); },
      [&] { score(model_, moved); },
      [&] { Trainer(Model(tiny()), moved, o).step(); }};
  for (std::size_t i = 0; i < calls.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_THROW(calls[i](), Error);
  }
  EXPECT_EQ(moved.size(), 0);
  EXPECT_NO_THROW(moved.fingerprint());
  Model again = std::move(model);  // which is empty too
  EXPECT_THROW(again.sample(1), Error);
  EXPECT_EQ(kept.size(), 2);
}

TEST_F(MisuseTest, OfKernels) {
  std::vector<float> a(4096, 0.5f), b(4096), c(4096);
  std::vector<double> sums(4096);
  const Device device = Device::cpu(1);
  each(4000, [&](Drawn& d) {
    const auto size = [&] { return d.of({INT_MIN, -1, 0, 1, 2, 4, INT_MAX}); };
    const auto rows = [&] {
      return d.of<std::int64_t>({LLONG_MIN, -1, 0, 1, 3, (std::int64_t{1} << 40) + 1, LLONG_MAX});
    };
    const auto in = [&] { return d.of({0, 1, 1, 1}) ? a.data() : nullptr; };
    const auto out = [&] { return d.of({0, 1, 1, 1}) ? b.data() : nullptr; };
    const CouplingCall coupling{
        rows(), size(), size(),   size(), d.word<Coupling>(), d.word<Scale>(), in(),
        in(),   out(),  c.data(), in()};
    const MixCall mix{rows(), size(), in(), in(), in(), out()};
    switch (d.of({0, 1, 2, 3, 4, 5, 6, 7, 8, 9})) {
      case 0:
        return coupling_forward(device, coupling, nullptr);
      case 1:
        return coupling_inverse(device, coupling, nullptr);
      case 2:
        return (void)coupling_partials(size(), size());
      case 3:
        return mix_forward(device, mix, nullptr);
      case 4:
        return mix_inverse(device, mix, nullptr);
      case 5:
        return log_det_sum(device, in(), rows(), size(), d.of({0, 1}) ? sums.data() : nullptr,
                           nullptr);
      case 6:
        return linear_forward(device, {rows(), size(), size(), in(), in(), out(), in()}, nullptr);
      case 7:
        return linear_backward_data(device, {rows(), size(), size(), in(), in(), out(), in()},
                                    nullptr);
      case 8:
        return linear_backward_weights(device, {rows(), size(), size(), in(), in(), out(), out()},
                                       nullptr);
    }
    std::vector<double> state((adam_state_bytes() + 7) / 8);
    adam_update(device,
                {rows(), in(), out(), out(), out(), d.of({0, 1}) ? state.data() : nullptr,
                 d.number(), d.number(), d.number(), d.number(), d.number()},
                nullptr);
  });
}

/// Each on its own thread, as it is by itself.
TEST_F(MisuseTest, TwoModelsOnTwoThreads) {
  const auto work = [&](std::uint64_t seed) {
    const TrainOptions o{.steps = 6, .batch = 3, .average = 0.5, .init_images = 6, .seed = seed};
    Trainer trainer(Model(tiny(), seed, one()), data_, o);
    for (int i = 0; i < 6; ++i) trainer.step();
    Model model = trainer.release();
    EXPECT_THROW(model.decode({{1, 1}, {0}}), Error);
    return model.sample(4, {.seed = seed}).data;
  };
  const std::vector<float> alone[] = {work(1), work(2)};
  std::vector<float> together[2];
  {
    std::jthread first([&] { together[0] = work(1); }), second([&] { together[1] = work(2); });
  }
  EXPECT_EQ(together[0], alone[0]);
  EXPECT_EQ(together[1], alone[1]);
}

}  // namespace
}  // namespace rheo::test
