'use strict';
const native = require('./native.js');
const { abortReason, bytesOf, integer, invalid, known, pathOf } = require('./arguments.js');
const { Tensor, fromForm, toForm, typeOf } = require('./tensor.js');

const LEVELS = { disabled: 0, basic: 1, extended: 2, layout: 3, all: 3 };

// Names of onnxruntime's that say nothing to this engine are accepted.
const SESSION_OPTIONS = [
  'intraOpNumThreads', 'memoryLimit', 'graphOptimizationLevel', 'freeDimensionOverrides', 'externalData', 'cacheFolder',
  'executionProviders', 'interOpNumThreads', 'executionMode', 'enableCpuMemArena', 'enableMemPattern', 'logId', 'logSeverityLevel',
  'logVerbosityLevel', 'extra',
];
const RUN_OPTIONS = ['signal', 'timeout', 'logSeverityLevel', 'logVerbosityLevel', 'tag', 'extra'];

function milliseconds(timeout) {
  if (timeout === undefined) return 0;
  if (typeof timeout !== 'number' || !(timeout >= 0)) throw invalid('timeout must be a number of milliseconds');
  return Number.isFinite(timeout) ? Math.ceil(timeout) : 0;
}

function loadOptions(options) {
  known(options, SESSION_OPTIONS, 'InferenceSession.create');
  for (const provider of options.executionProviders ?? []) {
    const name = provider?.name ?? provider;
    if (name !== 'cpu') process.emitWarning(`${name} is not available; the model runs on the CPU`);
  }
  const level = options.graphOptimizationLevel ?? 'all';
  if (!Object.hasOwn(LEVELS, level)) throw invalid(`graphOptimizationLevel must be one of ${Object.keys(LEVELS).join(', ')}`);
  return {
    threads: integer(options.intraOpNumThreads, 'intraOpNumThreads'),
    memoryLimit: integer(options.memoryLimit, 'memoryLimit'),
    level: LEVELS[level],
    cacheFolder: options.cacheFolder,
    sizes: options.freeDimensionOverrides,
    externalData: options.externalData?.map(({ path, data }) => ({ path: String(path), data: bytesOf(data) })),
  };
}

function runOptions(options) {
  const { signal } = known(options ?? {}, RUN_OPTIONS, 'run');
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw invalid('signal must be an AbortSignal');
  return options ?? {};
}

// A promise of what begin(told) tells of; it gives the id by which the session cancels it.
function ended(session, signal, begin) {
  if (signal?.aborted) throw abortReason(signal);
  return new Promise((resolve, reject) => {
    const abort = () => session.cancel(id);
    const id = begin((error, results) => {
      signal?.removeEventListener('abort', abort);
      if (!error) resolve(results);
      else reject(signal?.aborted && error.code === 'CANCELLED' ? abortReason(signal) : error);
    });
    signal?.addEventListener('abort', abort, { once: true });
  });
}

/** Tensors that stay bound from run to run, which neither allocates nor copies; one run at a time. InferenceSession.bind gives one. */
class Binding {
  #session;
  #native;
  #outputs = {};

  constructor(session, feeds, fetches) {
    this.#session = session;
    this.#native = session.bind();
    for (const [name, tensor] of Object.entries(feeds)) this.setInput(name, tensor);
    for (const [name, tensor] of Object.entries(fetches)) this.setOutput(name, tensor);
  }

  setInput(name, tensor) {
    this.#native.setInput(String(name), toForm(tensor));
  }

  setOutput(name, tensor) {
    this.#native.setOutput(String(name), toForm(tensor));
    this.#outputs[name] = tensor;
  }

  /** A promise of the outputs that are bound, which are the tensors that were given. */
  async run(options) {
    const { signal, timeout } = runOptions(options);
    const outputs = { ...this.#outputs };
    await ended(this.#session, signal, (told) => this.#native.run(milliseconds(timeout), told));
    return outputs;
  }

  runSync(options) {
    const { signal, timeout } = runOptions(options);
    if (signal?.aborted) throw abortReason(signal);
    this.#native.runSync(milliseconds(timeout));
    return { ...this.#outputs };
  }

  /** A run that is under way finishes. */
  release() {
    this.#native.close();
  }
}

/** A model that is ready to run; runs may be under way at once. */
class InferenceSession {
  #native;
  #inputs;
  #outputs;

  /** From a path, a file: URL or bytes. Loads on another thread. */
  static async create(source, options = {}) {
    const from = typeof source === 'string' || source instanceof URL ? pathOf(source) : bytesOf(source);
    return new InferenceSession(await native.load(from, loadOptions(options)));
  }

  /** Not to be called: InferenceSession.create makes sessions. */
  constructor(loaded) {
    if (!loaded?.session) throw invalid('InferenceSession.create makes sessions');
    this.#native = loaded.session;
    this.#inputs = new Map(loaded.inputs.map((port) => [port.name, port]));
    this.#outputs = new Map(loaded.outputs.map((port) => [port.name, port]));
    const describe = (port) => ({ name: port.name, type: typeOf(port), shape: port.shape, isTensor: port.kind === 1 });
    this.inputNames = loaded.inputs.map((port) => port.name);
    this.outputNames = loaded.outputs.map((port) => port.name);
    this.inputMetadata = loaded.inputs.map(describe);
    this.outputMetadata = loaded.outputs.map(describe);
    this.modelMetadata = loaded.metadata;
  }

  /** run(feeds, fetches?, options?): a promise of the outputs by name. The event loop goes on meanwhile. */
  async run(feeds, ...rest) {
    const call = this.#arguments(feeds, rest);
    const forms = await ended(this.#native, call.options.signal, (told) =>
      this.#native.run(call.names, call.inputs, call.wanted, call.targets, call.timeout, told));
    return this.#results(call, forms);
  }

  /** As run, but the thread waits for the outputs. */
  runSync(feeds, ...rest) {
    const call = this.#arguments(feeds, rest);
    if (call.options.signal?.aborted) throw abortReason(call.options.signal);
    const forms = this.#native.runSync(call.names, call.inputs, call.wanted, call.targets, call.timeout);
    return this.#results(call, forms);
  }

  /** bind(feeds, fetches?): tensors of Tensor.allocate that stay where they are from run to run. */
  bind(feeds, fetches = {}) {
    return new Binding(this.#native, feeds, fetches);
  }

  /** Closes the session; runs that are under way finish. */
  async release() {
    this.#native.close();
  }

  /** Gives memory that no run uses back to the system. */
  trim() {
    this.#native.trim();
  }

  #arguments(feeds, rest) {
    if (typeof feeds !== 'object' || feeds === null || feeds instanceof Tensor) throw invalid('feeds must be an object of values by input name');
    const [fetches, options] = this.#isFetches(rest[0]) ? rest : [undefined, rest[1] ?? rest[0]];
    const names = Object.keys(feeds);
    const call = {
      names,
      inputs: names.map((name) => toForm(feeds[name], this.#inputs.get(name) ?? { name, dtype: 0 })),
      wanted: null,
      targets: null,
      given: {},
      options: runOptions(options),
      timeout: milliseconds(options?.timeout),
    };
    if (Array.isArray(fetches)) {
      call.wanted = fetches.map(String);
    } else if (fetches) {
      call.wanted = Object.keys(fetches);
      call.given = fetches;
      call.targets = call.wanted.map((name) => toForm(fetches[name], this.#outputs.get(name)));
    }
    return call;
  }

  #isFetches(value) {
    if (Array.isArray(value)) return true;
    return typeof value === 'object' && value !== null && Object.keys(value).some((name) => this.#outputs.has(name));
  }

  // A tensor that was given for an output is that output; what could not be written to its memory is copied there.
  #results(call, forms) {
    const names = call.wanted?.length ? call.wanted : this.outputNames;
    const results = {};
    names.forEach((name, i) => {
      const given = call.given[name];
      if (!(given instanceof Tensor)) {
        results[name] = fromForm(forms[i]);
        return;
      }
      if (forms[i] !== null) copyInto(given, fromForm(forms[i]), name);
      results[name] = given;
    });
    return results;
  }
}

function copyInto(target, result, name) {
  if (!(result instanceof Tensor) || result === target) return;
  const same = result.type === target.type && result.dims.length === target.dims.length && result.dims.every((size, i) => size === target.dims[i]);
  if (!same) throw invalid(`output '${name}' is ${result.type}[${result.dims}]; the tensor given for it is ${target.type}[${target.dims}]`);
  if (result.type === 'string') target.data.splice(0, Infinity, ...result.data);
  else target.data.set(result.data);
}

module.exports = { InferenceSession };
