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
}

export interface RunOptions {
  /** Stops the run at its next step; the promise is rejected with the signal's reason. */
  signal?: AbortSignal;
  /** Milliseconds from the call on, else a LinnetError of code DEADLINE_EXCEEDED. */
  timeout?: number;
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
  /** Closes the session; runs that are under way finish. */
  release(): Promise<void>;
  /** Gives memory that no run uses back to the system. */
  trim(): void;
}

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
