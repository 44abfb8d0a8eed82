'use strict';
// Models that are written to files: optimized, compiled, quantised, tuned.
const native = require('./native.js');
const { LinnetError } = require('./errors.js');
const { isMainThread } = require('node:worker_threads');
const { abortReason, bytesOf, integer, invalid, known, pathOf } = require('./arguments.js');
const { toForm } = require('./tensor.js');

const LEVELS = { disabled: 0, basic: 1, extended: 2, all: 3 };
const FLOATS = { float16: 10, bfloat16: 16 };
const INTEGERS = { uint8: 2, int8: 3, uint16: 4, int16: 5 };
const SCHEMES = { dynamic: 0, static: 1, weights: 2 };
const FORMATS = { qdq: 0, qoperator: 1 };

const WRITE = ['threads', 'freeDimensionOverrides', 'disabledPasses', 'externalData', 'onProgress', 'signal'];
const OPTIMIZE = [...WRITE, 'level', 'floats', 'convertIo', 'keepFloat', 'externalFrom', 'shapes'];
// The schemes that have a use for an option.
const EIGHT_BITS = ['dynamic', 'static'], STATIC = ['static'], WEIGHTS = ['weights'];
const QUANTIZE_FOR = {
  weightType: EIGHT_BITS, perChannel: EIGHT_BITS, reduceRange: EIGHT_BITS, format: STATIC, activationType: STATIC, activationSymmetric: STATIC,
  calibrationMethod: STATIC, percentile: STATIC, numBins: STATIC, numQuantizedBins: STATIC, movingAverage: STATIC, symmetricRange: STATIC,
  smoothQuant: STATIC, smoothQuantAlpha: STATIC, biasCorrection: STATIC, equalise: STATIC, bits: WEIGHTS, blockSize: WEIGHTS, method: WEIGHTS,
  damping: WEIGHTS, actOrder: WEIGHTS, searchRanges: WEIGHTS, embeddings: WEIGHTS, accuracyLevel: WEIGHTS,
};
const QUANTIZE = [
  ...WRITE, 'scheme', 'include', 'exclude', 'weightSymmetric', 'samples', 'explain', 'labels', 'labelOutput', 'sensitivity', 'onlyFaster',
  ...Object.keys(QUANTIZE_FOR),
];
const TUNE = [
  'samples', 'calibration', 'output', 'maxLoss', 'p95Ms', 'maxBytes', 'maxMemory', 'measure', 'prefer', 'labels', 'threads', 'budget', 'resume',
  'samplePath', 'calibrationPath', 'signal', 'onProgress',
];

function choice(value, choices, name, otherwise = 0) {
  if (value === undefined) return otherwise;
  if (!Object.hasOwn(choices, value)) throw invalid(`${name} must be one of ${Object.keys(choices).join(', ')}`);
  return choices[value];
}

function texts(list, name) {
  if (list === undefined) return [];
  if (!Array.isArray(list)) throw invalid(`${name} must be an array of names`);
  return list.map(String);
}

// A number above 0; 0 would stand for the default.
function positive(value, name) {
  if (value === undefined) return 0;
  if (typeof value !== 'number' || !(value > 0)) throw invalid(`${name} must be a number above 0`);
  return value;
}

// Numbers or BigInts.
function integers(list, name) {
  if (list === undefined) return [];
  const numbers = typeof list === 'object' && list?.[Symbol.iterator] ? Array.from(list, Number) : [NaN];
  if (!numbers.every(Number.isSafeInteger)) throw invalid(`${name} must be an array of integers`);
  return numbers;
}

function flag(value) {
  return value ? 1 : 0;
}

// Answers the questions for samples from an iterable, an async iterable, or a function that gives one.
class Samples {
  #from;
  #iterator;
  #pass = 0;

  constructor(from) {
    this.#from = from;
    this.#iterator = this.#begin();
  }

  #begin() {
    const list = typeof this.#from === 'function' ? this.#from() : this.#from;
    const begin = list?.[Symbol.asyncIterator] ?? list?.[Symbol.iterator];
    if (typeof begin !== 'function') throw invalid('samples must be an iterable of feeds, or a function that gives one');
    return begin.call(list);
  }

  async next(pass, names) {
    if (pass !== this.#pass) {
      const last = this.#iterator;
      this.#iterator = this.#begin();
      if (this.#iterator === last) throw invalid('the samples are needed more than once: pass an array, or a function that gives them anew');
      this.#pass = pass;
    }
    const { done, value } = await this.#iterator.next();
    if (done) return null;
    if (typeof value !== 'object' || value === null) throw invalid('a sample must be an object of values by input name');
    for (const name of Object.keys(value)) {
      if (!names.includes(name)) throw new LinnetError('NOT_FOUND', `the model has no input named '${name}'`);
    }
    return names.map((name) => toForm(value[name], { name, dtype: 0 }));
  }

  end() {
    // A generator's `finally` runs; what it throws has nobody to go to.
    Promise.resolve(this.#iterator.return?.()).catch(() => {});
  }
}

// Ctrl-C, and being asked to end: what is written meanwhile is cancelled, so that it leaves nothing behind, and then the
// signal has its effect; a second one has it at once. A program that listens itself decides for itself.
const underWay = new Set();
let interrupted;

function interrupt(name) {
  if (process.listenerCount(name) > 0) return; // somebody else's; this one was removed
  interrupted = name;
  for (const id of underWay) native.cancelWriting(id);
}

function begin(id) {
  if (isMainThread && underWay.size === 0) {
    for (const name of ['SIGINT', 'SIGTERM']) {
      if (process.listenerCount(name) === 0) process.once(name, interrupt);
    }
  }
  underWay.add(id);
}

// Whether anybody shall be told of the end.
function end(id) {
  underWay.delete(id);
  if (underWay.size > 0) return !interrupted;
  for (const name of ['SIGINT', 'SIGTERM']) process.removeListener(name, interrupt);
  if (interrupted) process.kill(process.pid, interrupted);
  return !interrupted;
}

async function write(kind, source, path, options, settings, samples, calibration) {
  const from = typeof source === 'string' || source instanceof URL ? pathOf(source) : bytesOf(source);
  if (typeof path !== 'string' && !(path instanceof URL)) throw invalid('the path to write to must be a string or a URL');
  const to = pathOf(path);
  const { signal, onProgress } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw invalid('signal must be an AbortSignal');
  if (onProgress !== undefined && typeof onProgress !== 'function') throw invalid('onProgress must be a function');
  if (signal?.aborted) throw abortReason(signal);
  let failure; // of the caller's functions; goes before what the engine says of it
  const fail = (error) => {
    failure ??= { error };
    native.cancelWriting(id);
  };
  let id;
  try {
    return await new Promise((resolve, reject) => {
      const abort = () => native.cancelWriting(id);
      const call = {
        level: LEVELS.all,
        ...settings,
        threads: integer(options.threads, 'threads'),
        sizes: options.freeDimensionOverrides,
        disabled: texts(options.disabledPasses, 'disabledPasses'),
        externalData: options.externalData?.map(({ path: name, data }) => ({ path: String(name), data: bytesOf(data) })),
        progress: onProgress && ((...step) => {
          try {
            if (!failure) onProgress(...step);
          } catch (error) {
            fail(error);
          }
        }),
        sample: samples && ((pass, names) => {
          const asked = pass < 0 ? calibration.next(-1 - pass, names) : samples.next(pass, names);
          asked.then((forms) => native.giveSample(id, forms)).catch((error) => {
            fail(error);
            native.giveSample(id, false);
          });
        }),
      };
      id = native.write(kind, from, to, call, (error, report) => {
        signal?.removeEventListener('abort', abort);
        if (!end(id)) return;
        if (failure) reject(failure.error);
        else if (!error) resolve(report ? JSON.parse(report) : undefined);
        else reject(signal?.aborted && error.code === 'CANCELLED' ? abortReason(signal) : error);
      });
      begin(id);
      signal?.addEventListener('abort', abort, { once: true });
    });
  } finally {
    samples?.end();
    calibration?.end();
  }
}

/** Writes the model rewritten into a faster one, as an .onnx file; a promise of what was done. */
async function optimize(source, path, options = {}) {
  const shapes = Object.entries(known(options, OPTIMIZE, 'optimize').shapes ?? {});
  return write('optimize', source, path, options, {
    level: choice(options.level, LEVELS, 'level', LEVELS.extended),
    floats: choice(options.floats, FLOATS, 'floats'),
    convertIo: flag(options.convertIo),
    keepFloat: texts(options.keepFloat, 'keepFloat'),
    externalFrom: integer(options.externalFrom, 'externalFrom'),
    shapedInputs: shapes.map(([name]) => name),
    shapes: shapes.map(([name, dims]) => dims.map((size) => integer(size, `a size of '${name}'`))),
  });
}

/** Writes the model optimized and packed for this version of Linnet: InferenceSession.create takes the file, and it starts at once. */
async function compile(source, path, options = {}) {
  known(options, WRITE, 'compile');
  await write('compile', source, path, options, {});
}

/** Writes the model in lower precision; a promise of what became of each node. */
async function quantize(source, path, options = {}) {
  known(options, QUANTIZE, 'quantize');
  const scheme = choice(options.scheme, SCHEMES, 'scheme');
  for (const [name, uses] of Object.entries(QUANTIZE_FOR)) {
    const given = options[name] !== undefined && options[name] !== false;
    if (given && !uses.includes(options.scheme ?? 'dynamic')) throw invalid(`${name} has no use without the scheme ${uses.map((use) => `'${use}'`).join(' or ')}`);
  }
  const symmetric = options.weightSymmetric;
  const { explain, labels, labelOutput, sensitivity, onlyFaster } = options;
  const explains = Boolean(explain || labels || labelOutput || sensitivity || onlyFaster);
  const wantsSamples = options.scheme === 'static' || options.method === 'gptq' || explains;
  if (wantsSamples !== (options.samples !== undefined)) throw invalid("samples are for the scheme 'static', the method 'gptq' and to explain with, which need them");
  return write('quantize', source, path, options, {
    scheme,
    include: texts(options.include, 'include'),
    exclude: texts(options.exclude, 'exclude'),
    weightType: choice(options.weightType, { int8: 3, uint8: 2 }, 'weightType'),
    weightSymmetry: symmetric === undefined ? 0 : symmetric ? 1 : 2,
    perChannel: flag(options.perChannel),
    reduceRange: flag(options.reduceRange),
    qOperator: choice(options.format, FORMATS, 'format'),
    activationType: choice(options.activationType, INTEGERS, 'activationType'),
    activationSymmetric: flag(options.activationSymmetric),
    calibrationMethod: options.calibrationMethod,
    percentile: positive(options.percentile, 'percentile'),
    numBins: positive(options.numBins, 'numBins'),
    numQuantizedBins: positive(options.numQuantizedBins, 'numQuantizedBins'),
    movingAverage: flag(options.movingAverage),
    symmetricRange: flag(options.symmetricRange),
    smoothQuant: flag(options.smoothQuant),
    smoothQuantAlpha: positive(options.smoothQuantAlpha, 'smoothQuantAlpha'),
    keepBiases: flag(options.biasCorrection === false),
    equalise: flag(options.equalise),
    bits: positive(options.bits, 'bits'),
    blockSize: positive(options.blockSize, 'blockSize'),
    method: options.method,
    damping: positive(options.damping, 'damping'),
    actOrder: flag(options.actOrder),
    searchRanges: flag(options.searchRanges),
    embeddings: flag(options.embeddings),
    accuracyLevel: integer(options.accuracyLevel, 'accuracyLevel'),
    explain: flag(explains),
    labels: integers(labels, 'labels'),
    labelOutput,
    sensitivity: sensitivity === 'all' ? Number.MAX_SAFE_INTEGER : integer(sensitivity, 'sensitivity'),
    onlyFaster: flag(onlyFaster),
  }, wantsSamples ? new Samples(options.samples) : undefined);
}

/** Searches for the form of the model that suits limits, and writes it to the folder; a promise of all that was tried. */
async function tune(model, folder, options = {}) {
  known(options, TUNE, 'tune');
  if (typeof model !== 'string' && !(model instanceof URL)) throw invalid('the model to tune must be a path or a URL');
  return write('tune', model, folder, { ...options, threads: 1 }, {
    output: options.output === undefined ? '' : pathOf(options.output),
    maxLoss: options.maxLoss === 0 ? 0 : positive(options.maxLoss, 'maxLoss'),
    noLoss: flag(options.maxLoss === 0),
    p95Ms: positive(options.p95Ms, 'p95Ms'),
    maxBytes: positive(options.maxBytes, 'maxBytes'),
    maxMemory: positive(options.maxMemory, 'maxMemory'),
    measure: options.measure,
    prefer: options.prefer,
    labels: integers(options.labels, 'labels'),
    threadCounts: integers(options.threads, 'threads').map((count) => positive(count, 'a number of threads')),
    budget: positive(options.budget, 'budget'),
    resume: flag(options.resume),
    samplePath: options.samplePath === undefined ? '' : pathOf(options.samplePath),
    calibrationPath: options.calibrationPath === undefined ? '' : pathOf(options.calibrationPath),
    calibrates: flag(options.calibration !== undefined),
  }, new Samples(options.samples), options.calibration === undefined ? undefined : new Samples(options.calibration));
}

module.exports = { compile, optimize, quantize, tune };
