#include "c_api/samples.h"

namespace linnet::c_api {
namespace {

// What one of the caller's functions made of a sample: read(handles, count) gives a status.
template <class Read>
Result<std::vector<Value>> read_sample(size_t count, Read&& read) {
  std::vector<linnet_value*> handles(count, nullptr);
  Status status = called("the sample function", [&] { return read(handles.data(), handles.size()); });
  std::vector<Value> values(count);
  for (size_t k = 0; k < count; ++k) {
    if (!handles[k]) continue;  // an optional input that holds nothing
    if (const Result<Pin<ValueObject>> value = use<ValueObject>(handles[k]); value.ok()) {
      values[k] = (*value)->value;
    } else if (status.ok()) {
      status = value.status();
    }
    linnet_release(handles[k]);
  }
  LINNET_TRY(std::move(status));
  return values;
}

int64_t posted_pass(size_t pass, bool calibration) {
  return calibration ? -1 - static_cast<int64_t>(pass) : static_cast<int64_t>(pass);
}

}  // namespace

Result<Samples> samples_of(const SampleFunctions& given, SharedTask* task) {
  Samples samples;
  samples.name = [given](size_t i) { return concat(given.calibration ? "calibration sample " : "sample ", i); };
  if (given.sample || given.count) {
    LINNET_TRY(require(reinterpret_cast<const void*>(given.sample), "sample"));
    samples.count = given.count;
    samples.read = [given](size_t i, const Model& model) {
      return read_sample(model.inputs.size(),
                         [&](linnet_value** to, size_t count) { return given.sample(given.user, i, to, count); });
    };
  } else if (given.next || (given.may_post && task && task->completion.post)) {
    samples.count = Samples::kUnknown;
    samples.read = [given, task, pass = SIZE_MAX](size_t i, const Model& model) mutable -> Result<std::vector<Value>> {
      if (i == 0) ++pass;
      if (!given.next) return task->ask(posted_pass(pass, given.calibration), model.inputs);
      int32_t ended = 0;
      std::vector<const char*> names;
      for (const Model::Port& port : model.inputs) names.push_back(port.name.c_str());
      LINNET_ASSIGN(std::vector<Value> values, read_sample(model.inputs.size(), [&](linnet_value** to, size_t count) {
                      return given.next(given.user, pass, names.data(), to, count, &ended);
                    }));
      if (ended) values.clear();
      return values;
    };
  }
  return samples;
}

Result<Samples> with_known_count(Samples samples, const ModelSource& source, const LoadOptions& load,
                                 const StopToken* stop, FunctionRef<void(size_t)> tell) {
  if (samples.count != Samples::kUnknown) return samples;
  LINNET_ASSIGN(const LoadedGraph loaded, load_graph(source, load));
  const auto kept = std::make_shared<std::vector<std::vector<Value>>>();
  for (;;) {
    LINNET_REQUIRE(!stop || !stop->stop_requested(),
                   error(Code::cancelled, "the call was cancelled while samples were read"));
    tell(kept->size());
    LINNET_ASSIGN(std::vector<Value> inputs, samples.read(kept->size(), *loaded.model));
    if (inputs.empty()) break;
    kept->push_back(std::move(inputs));
  }
  samples.count = kept->size();
  samples.read = [kept](size_t i, const Model&) -> Result<std::vector<Value>> { return (*kept)[i]; };
  return samples;
}

Result<std::vector<int64_t>> labels_of(const int64_t* labels, size_t count) {
  if (count) LINNET_TRY(require(labels, "labels"));
  return std::vector<int64_t>(labels, labels + count);
}

}  // namespace linnet::c_api
