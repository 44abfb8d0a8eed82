/** Small, fast inference of ONNX models. The names are those of onnxruntime's packages for JavaScript. */

export interface TypedArrays {
  float32: Float32Array;
  uint8: Uint8Array;
  int8: Int8Array;
  uint16: Uint16Array;
  int16: Int16Array;
  int32: Int32Array;
  int64: BigInt64Array;
  string: string[];
  /** 0 or 1 */
  bool: Uint8Array;
  /** Bits, or Float16Array where the runtime has it. */
  float16: Uint16Array;
  float64: Float64Array;
  uint32: Uint32Array;
  uint64: BigUint64Array;
  /** Real and imaginary parts in turn. */
  complex64: Float32Array;
  complex128: Float64Array;
  /** The bits, as for all types below. */
  bfloat16: Uint16Array;
  float8e4m3fn: Uint8Array;
  float8e4m3fnuz: Uint8Array;
  float8e5m2: Uint8Array;
  float8e5m2fnuz: Uint8Array;
  float8e8m0: Uint8Array;
  /** Packed, low bits first. */
  uint4: Uint8Array;
  int4: Uint8Array;
  float4e2m1: Uint8Array;
  uint2: Uint8Array;
  int2: Uint8Array;
}
export type TensorType = keyof TypedArrays;

export class Tensor<T extends TensorType = TensorType> {
  /** The data is not copied where it is the typed array of the type; dims: its length by default. */
  constructor(type: T, data: TypedArrays[T] | readonly (number | bigint | boolean | string)[], dims?: readonly number[]);
  /** The type is that of the array. */
  constructor(
    data:
      | Float32Array | Float64Array | Int8Array | Int16Array | Int32Array | BigInt64Array | Uint8Array | Uint8ClampedArray
      | Uint16Array | Uint32Array | BigUint64Array | readonly string[] | readonly boolean[],
    dims?: readonly number[],
  );
  /** A tensor of zeros in memory that every run uses without a copy. */
  static allocate<T extends Exclude<TensorType, 'string'>>(type: T, dims: readonly number[]): Tensor<T>;

  readonly type: T;
  readonly dims: readonly number[];
  readonly size: number;
  readonly location: 'cpu';
  /** Of a tensor that a run gave: a view of the engine's memory, where the runtime allows that. */
  readonly data: TypedArrays[T];
  getData(): Promise<TypedArrays[T]>;
  /** Shares the data. */
  reshape(dims: readonly number[]): Tensor<T>;
  /** Lets go of the data before the garbage collector finds it. */
  dispose(): void;
}

/** A sequence is an array, a map a Map, an optional without content null. */
export type Value = Tensor | Value[] | Map<bigint | string, number | bigint | string> | null;

export interface SessionOptions {
  /** Threads that compute; 0, the default: one for each core. */
  intraOpNumThreads?: number;
  /** Bytes for what runs allocate; 0, the default: no limit. */
  memoryLimit?: number;
  graphOptimizationLevel?: 'disabled' | 'basic' | 'extended' | 'layout' | 'all';
  /** Symbolic sizes of the inputs that become numbers. */
  freeDimensionOverrides?: Readonly<Record<string, number>>;
  /** The content of external data files, by the location that the model names. */
  externalData?: readonly { path: string; data: Uint8Array | ArrayBuffer }[];
  /** What loading computes is kept there for the next start. */
  cacheFolder?: string;
  /** Those of onnxruntime without effect; other names are refused. */
  executionProviders?: readonly (string | { readonly name: string })[];
  interOpNumThreads?: number;
  executionMode?: 'sequential' | 'parallel';
  enableCpuMemArena?: boolean;
  enableMemPattern?: boolean;
  logId?: string;
  logSeverityLevel?: 0 | 1 | 2 | 3 | 4;
  logVerbosityLevel?: number;
  extra?: Readonly<Record<string, unknown>>;
}

export interface RunOptions {
  /** Stops the run at its next step; the promise is rejected with the signal's reason. */
  signal?: AbortSignal;
  /** Milliseconds from the call on, else a LinnetError of code DEADLINE_EXCEEDED. */
  timeout?: number;
  /** Those of onnxruntime without effect. */
  logSeverityLevel?: 0 | 1 | 2 | 3 | 4;
  logVerbosityLevel?: number;
  tag?: string;
  extra?: Readonly<Record<string, unknown>>;
}

export interface ValueMetadata {
  readonly name: string;
  /** 'float32', 'seq(float32)', 'map(int64,float32)', 'optional(float32)' */
  readonly type: string;
  /** Numbers, names of symbolic sizes, '' for sizes without a name; undefined where the rank is not known. */
  readonly shape?: readonly (number | string)[];
  readonly isTensor: boolean;
}

/** Names of outputs or inner values, or tensors by output name that the outputs are written to. */
export type Fetches = readonly string[] | Readonly<Record<string, Tensor | null>>;

/** Inputs and outputs that stay bound from run to run, which neither allocates nor copies; one run at a time. */
export interface Binding {
  setInput(name: string, tensor: Tensor): void;
  setOutput(name: string, tensor: Tensor): void;
  /** The outputs that are bound: the tensors that were given. */
  run(options?: RunOptions): Promise<Record<string, Tensor>>;
  runSync(options?: Omit<RunOptions, 'signal'>): Record<string, Tensor>;
  /** A run that is under way finishes. */
  release(): void;
}

export class InferenceSession {
  private constructor();
  /** From a path, a file: URL or bytes, which are copied. */
  static create(source: string | URL | Uint8Array | ArrayBuffer, options?: SessionOptions): Promise<InferenceSession>;

  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly inputMetadata: readonly ValueMetadata[];
  readonly outputMetadata: readonly ValueMetadata[];
  readonly modelMetadata: Readonly<Record<string, string>>;

  run(feeds: Readonly<Record<string, Value>>, options?: RunOptions): Promise<Record<string, Value>>;
  run(feeds: Readonly<Record<string, Value>>, fetches: Fetches, options?: RunOptions): Promise<Record<string, Value>>;
  /** The thread waits for the outputs. */
  runSync(feeds: Readonly<Record<string, Value>>, options?: Omit<RunOptions, 'signal'>): Record<string, Value>;
  runSync(feeds: Readonly<Record<string, Value>>, fetches: Fetches, options?: Omit<RunOptions, 'signal'>): Record<string, Value>;
  /** Tensors of Tensor.allocate, or of runs, that are used where they lie from run to run: write to the inputs' data, run, read the outputs'. */
  bind(feeds: Readonly<Record<string, Tensor>>, fetches?: Readonly<Record<string, Tensor>>): Binding;
  /** Closes the session; runs that are under way finish. */
  release(): Promise<void>;
  /** Gives memory that no run uses back to the system. */
  trim(): void;
}

/** Called before each stage of what is written: `done` of `total` (0: not known), and what comes. What it throws ends all. */
export type Progress = (done: number, total: number, what: string) => void;

export interface WriteOptions {
  /** Threads that compute; 0, the default: one for each core. */
  threads?: number;
  /** Symbolic sizes of the inputs that become numbers. */
  freeDimensionOverrides?: Readonly<Record<string, number>>;
  /** Rewrites to leave out, by name. */
  disabledPasses?: readonly string[];
  externalData?: SessionOptions['externalData'];
  onProgress?: Progress;
  /** Ends it; no file is left, and the promise is rejected with the signal's reason. */
  signal?: AbortSignal;
}

export interface OptimizeOptions extends WriteOptions {
  /** Who can load the result: all with standard operators (basic), who knows those of com.microsoft (extended, the default), Linnet (all). */
  level?: 'disabled' | 'basic' | 'extended' | 'all';
  /** What float32 becomes. */
  floats?: 'float16' | 'bfloat16';
  /** Inputs and outputs become that, too. */
  convertIo?: boolean;
  /** Operators, and nodes by name, that go on computing in float32. */
  keepFloat?: readonly string[];
  /** Weights of at least so many bytes go to a file beside the model. */
  externalFrom?: number;
  /** Shapes of inputs, which become these. */
  shapes?: Readonly<Record<string, readonly number[]>>;
}

export interface OptimizeReport {
  nodes_before: number;
  nodes_after: number;
  bytes_before: number;
  bytes_after: number;
  converted_constants: number;
  casts: number;
  kept_float: string[];
  passes: { pass: string; changes: number; ms: number }[];
}

export type Feeds = Readonly<Record<string, Value>>;

export type Samples = Iterable<Feeds> | AsyncIterable<Feeds> | (() => Iterable<Feeds> | AsyncIterable<Feeds>);

/** Of some measure; null for what is infinite. */
export interface Quality {
  samples: number;
  overall: { mean_cosine?: number | null; snr_db?: number | null; max_abs_error?: number | null; kl_divergence?: number | null; top1_agreement?: number; equal?: number };
  task?: { output: string; reference_accuracy: number; accuracy: number };
}

export interface QuantizeOptions extends WriteOptions {
  /** dynamic, the default: 8-bit weights; static: activations with measured ranges, too; weights: blocks of few bits, all else in floats. */
  scheme?: 'dynamic' | 'static' | 'weights';
  /** Nodes by name, operator type or pattern with * and ?. */
  include?: readonly string[];
  exclude?: readonly string[];
  /** dynamic and static: int8 by default; symmetric by the type. */
  weightType?: 'int8' | 'uint8';
  weightSymmetric?: boolean;
  perChannel?: boolean;
  reduceRange?: boolean;
  /** static, the method gptq, and explaining: they are asked for one at a time; a function where they may be needed more than once. */
  samples?: Samples;
  format?: 'qdq' | 'qoperator';
  activationType?: 'int8' | 'uint8' | 'int16' | 'uint16';
  activationSymmetric?: boolean;
  calibrationMethod?: 'minmax' | 'entropy' | 'percentile' | 'mse';
  percentile?: number;
  numBins?: number;
  numQuantizedBins?: number;
  movingAverage?: boolean;
  symmetricRange?: boolean;
  smoothQuant?: boolean;
  smoothQuantAlpha?: number;
  /** True by default. */
  biasCorrection?: boolean;
  equalise?: boolean;
  /** weights */
  bits?: 4 | 8;
  blockSize?: 16 | 32 | 64 | 128 | 256;
  method?: 'nearest' | 'hqq' | 'gptq';
  /** gptq: as a part of the mean square of inputs; the columns with the greatest inputs first. */
  damping?: number;
  actOrder?: boolean;
  /** nearest and gptq: ranges narrower than the weights where that has less errors. */
  searchRanges?: boolean;
  embeddings?: boolean;
  accuracyLevel?: 0 | 4;
  /** Runs both models on the samples, which are kept in memory: the report has quality, noise inside, and times. What follows implies it. */
  explain?: boolean;
  /** The samples' right answers: the index of the greatest element of labelOutput, or its number. */
  labels?: readonly (number | bigint)[];
  labelOutput?: string;
  /** So many nodes, those of the noisiest weights first, are quantised alone. */
  sensitivity?: number | 'all';
  /** Nodes that take longer than before on this machine stay in floats. */
  onlyFaster?: boolean;
}

export interface QuantizeReport {
  bytes_before: number;
  bytes_after: number;
  /** Nodes. */
  quantized: number;
  nodes: { node: string; result?: string; reason?: string; weight_snr_db?: number | null; bytes_before?: number; bytes_after?: number }[];
  quality?: Quality;
}

export interface TuneOptions {
  /** To judge by, and to calibrate with where there are no others for that. All are kept in memory. */
  samples: Samples;
  calibration?: Samples;
  /** The model to write; model.onnx in the folder by default. */
  output?: string | URL;
  /** What the measure may lose beside the model itself; 0.01 by default, 0: nothing. */
  maxLoss?: number;
  /** Milliseconds that 95 of 100 runs take at most. */
  p95Ms?: number;
  maxBytes?: number;
  maxMemory?: number;
  /** accuracy with labels, else cosine. */
  measure?: 'cosine' | 'top1' | 'accuracy';
  prefer?: 'speed' | 'size' | 'quality' | 'memory';
  labels?: readonly (number | bigint)[];
  /** Numbers of threads to try; 1 by default. */
  threads?: readonly number[];
  /** Seconds after which nothing new is begun; 300 by default. */
  budget?: number;
  /** Goes on with a search in the folder. */
  resume?: boolean;
  /** Where the command line finds the samples, for the command in the manifest. */
  samplePath?: string | URL;
  calibrationPath?: string | URL;
  signal?: AbortSignal;
  onProgress?: (done: number, total: number, what: string) => void;
}

export interface TuneReport {
  candidates: { arguments: string[]; fate: string; reason?: string; bytes?: number; loss?: number }[];
  points: { candidate: number; threads: number; within: boolean; front: boolean }[];
  /** One of the points; left out where nothing keeps the limits. */
  chosen?: number;
  command?: string;
  beyond?: string;
}

type ModelSource = string | URL | Uint8Array | ArrayBuffer;
/**
 * These write a file, whole or not at all, while the event loop goes on. SIGINT and SIGTERM end the process when what is written has been
 * cancelled and has left nothing behind, a second one at once, unless the program listens to them itself.
 */
export function optimize(source: ModelSource, path: string | URL, options?: OptimizeOptions): Promise<OptimizeReport>;
/** For this version of Linnet: InferenceSession.create takes the file, and it starts at once. */
export function compile(source: ModelSource, path: string | URL, options?: WriteOptions): Promise<void>;
export function quantize(source: ModelSource, path: string | URL, options?: QuantizeOptions): Promise<QuantizeReport>;

/** Searches for the form of a model that suits limits on this machine; writes it, and manifest.json, to the folder. */
export function tune(model: string | URL, folder: string | URL, options: TuneOptions): Promise<TuneReport>;

export type ErrorCode =
  | 'INVALID_ARGUMENT' | 'INVALID_MODEL' | 'UNSUPPORTED' | 'NOT_FOUND' | 'IO' | 'OUT_OF_MEMORY' | 'CANCELLED'
  | 'DEADLINE_EXCEEDED' | 'INTERNAL' | 'CLOSED' | 'CALLBACK_FAILED';

export class LinnetError extends Error {
  readonly code: ErrorCode;
  /** The path of the node that failed, and the types and shapes of its inputs; or ''. */
  readonly node: string;
  readonly inputs: string;
}

export const version: string;
/** Whether this build on this machine has "device:cpu", "isa:avx2" (in use), or an operator, "op:ai.onnx.Conv". */
export function hasFeature(name: string): boolean;
/** Native objects that are open in this process: for tests that look for leaks. */
export function openHandles(): number;
